"""What a process runs under, as the first event of its attempt tells it: nothing secret, and never a reason not to start.

What can't be read has no digest: an attempt that cleans up has to start where the policies are gone, too.
"""

from __future__ import annotations

import os
import platform
import pwd
import re
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from prefect_gatehouse.canonical import digest, sha256_file
from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.ledger.events import RanUnder, ReadFrom
from prefect_gatehouse.policy.cedar import policies_digest
from prefect_gatehouse.run.packages import CACHE, Installed, installed, look_again, look_aside
from prefect_gatehouse.settings import Settings, load_settings

T = TypeVar("T")
_TOLD = ("policies", "tiers", "classes", "people", "bundle")
_SIGNS_IN = re.compile("//[^/@]*@")


def packages_cache(settings: Settings) -> Path:
    """The file that keeps digests of what is installed."""
    return settings.home / CACHE


def packages_of(settings: Settings) -> Installed:
    """What is installed now, with the digests that this installation has kept.

    Raises:
        StorageError: An installed file can't be read.
    """
    return installed(packages_cache(settings))


def look_anew() -> None:
    """Forgets what was seen of the packages and looks in a thread: it takes as long as Prefect needs to begin a run."""
    look_again()
    with suppress(GatehouseError):  # whoever needs it looks, and is told
        look_aside(packages_cache(load_settings()))


def ran_under(settings: Settings) -> RanUnder:
    """What this process runs under."""
    people, bundle = settings.people_folder(), settings.bundle_file()
    packages = _or_none(lambda: packages_of(settings))
    return RanUnder(
        host=socket.gethostname(),
        user=this_user(),
        python=f"{platform.python_version()} {sys.executable}",
        policies=_read(settings.policies, lambda: policies_digest(settings.policies)),
        tiers=_read(settings.tiers, lambda: sha256_file(settings.tiers)),
        classes=_read(settings.classes, lambda: sha256_file(settings.classes)),
        people=_read(people, lambda: digest({name: sha256_file(people / name) for name in ("allowed_signers", "people.json")})),
        bundle=_read(bundle, lambda: sha256_file(bundle)) if bundle.exists() else None,
        settings={
            name: _SIGNS_IN.sub("//", str(value)).partition("?")[0]
            for name, value in settings.model_dump(exclude_defaults=True).items()
            if name not in _TOLD
        },
        packages=packages.digest if packages is not None else "",
    )


def versions_of(settings: Settings) -> tuple[str, ...]:
    """Each distribution that is installed, as ``name==version``; nothing where that can't be read."""
    packages = _or_none(lambda: packages_of(settings))
    return packages.versions if packages is not None else ()


def _read(path: Path, sha256: Callable[[], str]) -> ReadFrom:
    return ReadFrom(path=str(path.absolute()), sha256=_or_none(sha256) or "")


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except (OSError, GatehouseError):
        return None


def this_user() -> str:
    """The operating system's user of this process."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name  # not from the environment, which says what it likes
    except KeyError:  # a container's user without a name
        return str(os.getuid())
