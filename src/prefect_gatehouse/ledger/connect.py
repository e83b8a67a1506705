"""How the ledger's database is opened, and what is told when it fails: SQLite (WAL, synchronous FULL) or PostgreSQL."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, PoolProxiedConnection, QueuePool

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

_PARENTS: list[Any] = []
"""Connections that a fork brought along; they are the parent's."""


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
        if make_url(url).get_backend_name() == "sqlite":
            # Who closes the last connection of a WAL database copies the log back and deletes it: as much again as the transaction.
            engine = create_engine(url, poolclass=QueuePool, max_overflow=-1, hide_parameters=True)
        else:
            # No pool: a server may drop a connection that sits in a process for hours.
            engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    except (SQLAlchemyError, ImportError, ValueError):
        advice = "give sqlite:////folder/ledger.sqlite, or postgresql+psycopg://... with the extra postgresql installed"
        raise StorageError("the ledger's URL is not understood", where="GATEHOUSE_LEDGER_URL", advice=advice) from None
    if engine.dialect.name not in {"sqlite", "postgresql"}:
        raise StorageError("the ledger needs SQLite or PostgreSQL", where="GATEHOUSE_LEDGER_URL", advice="give the URL of one of them")
    if engine.dialect.name == "sqlite":
        _listen(engine)
    return engine


def _listen(engine: Engine) -> None:
    """What happens when an SQLite connection is opened, taken from the pool, and begins."""

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        record.info["of"] = _place(engine)  # the first pragma that writes has made the file

    @event.listens_for(engine, "checkout")
    def _checkout(connection: Any, record: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
        if record.info["of"] == _place(engine):
            return
        if record.info["of"][0] != os.getpid():
            # Not even closed: https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_
            _PARENTS.append(connection)
            record.dbapi_connection = proxy.dbapi_connection = None  # type: ignore[misc]
        raise DisconnectionError  # the pool opens another one

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("gatehouse_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _place(engine: Engine) -> tuple[int, int, int]:
    """What a kept connection is good for: SQLite's must not be used behind a fork, nor when another file has the ledger's name."""
    try:
        found = Path(engine.url.database or "").stat()
    except OSError:
        return os.getpid(), 0, 0
    return os.getpid(), found.st_dev, found.st_ino
