"""How the ledger's database is opened, and what is told when it fails: SQLite (WAL, synchronous FULL) or PostgreSQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from prefect_gatehouse.errors import StorageError

_CAUSES = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_READONLY": "it is read-only",
    "SQLITE_IOERR": "the disk fails, is full or is read-only",
    "SQLITE_CANTOPEN": "it can't be opened: no permission, or the disk is read-only",
    "SQLITE_BUSY": "another process holds it",
    "SQLITE_CORRUPT": "the file is damaged",
    "SQLITE_NOTADB": "the file is no database",
}
"""SQLite's result codes, in words; https://www.sqlite.org/rescode.html."""


def cause_of(error: SQLAlchemyError) -> str:
    """Why, without the driver's text: it can hold a statement and its values."""
    original = getattr(error, "orig", None) or error
    code = getattr(original, "sqlite_errorname", "")
    for name, words in _CAUSES.items():
        if code == name or code.startswith(f"{name}_"):
            return words
    return type(original).__name__


def open_engine(url: str) -> Engine:
    """The engine of a ledger's URL; on SQLite with WAL, every commit on the disk, and a writer's lock from a transaction's start.

    Raises:
        StorageError: The URL is no SQLAlchemy URL, or of another database.
    """
    try:
        # No pool: a connection must not survive a fork or sit in a suspended process, and SQLite opens one in 0.1 ms.
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    except (SQLAlchemyError, ImportError, ValueError):
        advice = "give sqlite:////folder/ledger.sqlite, or postgresql+psycopg://... with the extra postgresql installed"
        raise StorageError("the ledger's URL is not understood", where="GATEHOUSE_LEDGER_URL", advice=advice) from None
    if engine.dialect.name not in {"sqlite", "postgresql"}:
        raise StorageError("the ledger needs SQLite or PostgreSQL", where="GATEHOUSE_LEDGER_URL", advice="give the URL of one of them")
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _connect(connection: Any, _record: object) -> None:
            connection.isolation_level = None
            cursor = connection.cursor()
            for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            write = connection.get_execution_options().get("gatehouse_write", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine
