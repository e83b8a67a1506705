"""Digests of what is installed, as an installation that has run before keeps them: reading all of it takes each new home some seconds."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from prefect_gatehouse.run.packages import look_again
from prefect_gatehouse.run.under import packages_cache, packages_of
from prefect_gatehouse.settings import Settings


@cache
def _kept() -> Path:
    settings = Settings(home=Path(tempfile.mkdtemp()))
    look_again()  # what this process has seen a moment ago it would not write down
    packages_of(settings)
    return packages_cache(settings)


def know_packages(home: Path) -> Path:
    """A home whose processes read only what has changed since these tests began."""
    settings = Settings(home=home)
    settings.folder("")
    if not packages_cache(settings).exists():
        shutil.copy(_kept(), packages_cache(settings))
    return home
