"""The one way to open an installation's ledger: whoever needs it takes it from here, and is told the same when it can't be used."""

from __future__ import annotations

from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.settings import Settings


def open_ledger(settings: Settings) -> Ledger:
    """The installation's ledger, made with its home where it is missing; use it as a context manager, or close it.

    Args:
        settings: The installation.

    Raises:
        StorageError: The home or the database can't be made or opened, or the ledger is of another release.
    """
    settings.folder("")
    return Ledger(settings.ledger())


def has_ledger(settings: Settings) -> bool:
    """Whether there is a ledger to open, for whoever must not make one; a database server is taken to have it."""
    return bool(settings.ledger_url) or (settings.home / "ledger.sqlite").exists()
