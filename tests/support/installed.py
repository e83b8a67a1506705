"""Digests of what is installed, as an installation that has run before keeps them: reading all of it takes each new home some seconds."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

from prefect_gatehouse.run import packages
from prefect_gatehouse.run.under import packages_cache, packages_of
from prefect_gatehouse.settings import Settings


@cache
def _kept() -> Path:
    settings = Settings(home=Path(tempfile.mkdtemp()))
    packages.look_again()  # what this process has seen a moment ago it would not write down
    packages_of(settings)
    return packages_cache(settings)


def look() -> None:
    """Looks at what is installed, for children that will be forked."""
    _kept()


def inherit_look(parent: int) -> None:
    """In a child that was forked: what its parent saw is what it would see, and looking at twenty thousand files takes longer than its work."""
    folders = packages.site_folders()
    packages._seen[os.getpid(), folders] = replace(packages._seen[parent, folders], at=time.monotonic())


def know_packages(home: Path) -> Path:
    """A home whose processes read only what has changed since these tests began."""
    settings = Settings(home=home)
    settings.folder("")
    if not packages_cache(settings).exists():
        shutil.copy(_kept(), packages_cache(settings))
    return home
