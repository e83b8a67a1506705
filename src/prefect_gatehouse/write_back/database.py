"""The target database, opened for writing or for looking only, and what its drivers' errors mean without their text."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import BigInteger, Connection, Engine, create_engine, event, func, literal, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from prefect_gatehouse.errors import DataRefused, GatehouseError, StorageError, Unavailable
from prefect_gatehouse.manifest.endpoints import Use, parse

WHERE = "write_back"
REFUSED: tuple[type[Exception], ...] = (IntegrityError, DataError, OverflowError, ValueError)
"""What a value that does not fit raises: the database, or the driver that can't encode it."""

_LOCK = 0x67617465  # "gate": the first half of our advisory locks
_CONNECT_SECONDS = 15
_LOOK_SECONDS = 30  # somebody who alters the table now makes a look at it wait
_NO_ROOM = ("full", "readonly", "read-only", "no space")
_NO_RIGHT = "42501"  # SQLSTATE insufficient_privilege


@contextmanager
def database(url: str) -> Iterator[Engine]:
    """The database of an address, to write into.

    Raises:
        InputError: The address is none.
        DataRefused: A value or a row was refused.
        StorageError: The database is full or read-only, or the role lacks a right.
        Unavailable: The driver is not installed, or the database does not answer.
    """
    with _opened(parse(url), {}, WHERE) as engine:
        if engine.dialect.name == "sqlite":
            _as_sqlite(engine)
        yield engine


@contextmanager
def looked_at(url: str, use: Use) -> Iterator[Connection]:
    """A connection that can't write, in one transaction that is rolled back.

    Args:
        url: SQLAlchemy URL; never repeated in an error.
        use: Which credential it came from.

    Raises:
        InputError: The address is none.
        StorageError: The role lacks a right.
        Unavailable: The driver is not installed, or the database does not answer.
    """
    parsed = parse(url, use)
    where = f"credentials.{use}"
    arguments: dict[str, Any] = {}
    if parsed.get_backend_name() == "sqlite":
        arguments["creator"] = lambda: sqlite3.connect(f"file:{quote(str(Path(parsed.database or '')))}?mode=ro", uri=True, timeout=5.0)
    elif parsed.get_backend_name() == "postgresql" and "connect_timeout" not in parsed.query:
        arguments["connect_args"] = {"connect_timeout": _CONNECT_SECONDS}
    with _opened(parsed, arguments, where) as engine, engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection = connection.execution_options(postgresql_readonly=True)
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {_LOOK_SECONDS * 1000}")
        yield connection


def require_driver(parsed: URL, where: str, **arguments: Any) -> Engine:
    """The engine of an address; nothing is connected to.

    Raises:
        Unavailable: The driver is not installed.
    """
    try:
        return create_engine(parsed, poolclass=NullPool, hide_parameters=True, **arguments)
    except (SQLAlchemyError, ImportError):
        raise Unavailable("the database's driver is not installed", where=where, advice="install it, then resume the run") from None


@contextmanager
def _opened(parsed: URL, arguments: Mapping[str, Any], where: str) -> Iterator[Engine]:
    engine = require_driver(parsed, where, **arguments)
    try:
        yield engine
    except GatehouseError:
        raise
    except (SQLAlchemyError, OverflowError, ValueError) as error:
        raise _ours(error, where) from None
    finally:
        engine.dispose()


def _ours(error: Exception, where: str) -> GatehouseError:
    if isinstance(error, IntegrityError | DataError):
        advice = "compare the table's constraints with the output's columns"
        return DataRefused(f"the table refuses the rows ({type(error).__name__})", where=where, advice=advice)
    if not isinstance(error, SQLAlchemyError):  # some drivers raise Python's own for a value that they can't encode
        return DataRefused("the database does not take a value", where=where, advice="return numbers of 64 bits and text that is Unicode")
    origin = getattr(error, "orig", None)
    if getattr(origin, "sqlstate", None) == _NO_RIGHT:
        return StorageError("the role lacks a right", where=where, advice="grant it (docs/operators.md lists them), then resume the run")
    if any(word in str(origin).lower() for word in _NO_ROOM):
        return StorageError("the database is full or read-only", where=where, advice="make room or grant the right, then resume the run")
    advice = "check the database, then resume the run"
    return Unavailable(f"the database can't be used ({type(error).__name__})", where=where, advice=advice)


def _as_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout=30000")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def writing(engine: Engine, table: str = "") -> Iterator[Connection]:
    """A transaction that is alone with the table of that name among Gatehouse's own: two runs that create or fill it go one by one."""
    with engine.connect() as connection, connection.begin():
        if engine.dialect.name == "postgresql":  # SQLite's BEGIN IMMEDIATE lets one in anyway
            connection.execute(select(func.pg_advisory_xact_lock(literal(_LOCK << 32 | zlib.crc32(table.encode()), BigInteger()))))
        yield connection
