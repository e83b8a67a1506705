"""What differs between databases when one is only read: how it is kept from writing, how long a query may take, what its errors mean."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import SQLAlchemyError

from prefect_gatehouse.data.sources.query import WHERE
from prefect_gatehouse.data.sources.sql_types import postgresql_type
from prefect_gatehouse.errors import Denied, GatehouseError, InputError, Unavailable

STATEMENT_SECONDS = 600.0
"""How long the database may work on one block of rows."""
_CONNECT_SECONDS = 15
_STEPS = 100_000  # of SQLite's machine between two looks at the clock: about a millisecond

_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE, sqlite3.SQLITE_TRANSACTION})


class Deadline:
    """When the database has worked too long."""

    def __init__(self) -> None:
        self._until = 0.0
        self.begin()

    def begin(self) -> None:
        """A new block of rows is asked for."""
        self._until = time.monotonic() + STATEMENT_SECONDS

    def passed(self) -> bool:
        """Whether it has."""
        return time.monotonic() > self._until


@dataclass(frozen=True)
class ReadOnly:
    """How a database is opened so that nothing is written.

    Attributes:
        engine: Arguments of ``create_engine``.
        connection: Execution options of the connection.
        prepare: Called with the driver's connection when SQLAlchemy has looked at the database.
        statements: What is said first.
    """

    engine: Mapping[str, object] = field(default_factory=dict)
    connection: Mapping[str, object] = field(default_factory=dict)
    prepare: Callable[[object], None] | None = None
    statements: tuple[str, ...] = ()


def read_only(url: URL, deadline: Deadline) -> ReadOnly:
    """How the database of an address is opened."""
    dialect = url.get_backend_name()
    if dialect == "sqlite":
        return ReadOnly(engine={"creator": _sqlite(url)}, prepare=partial(_restrict, deadline), statements=("BEGIN",))
    if dialect == "postgresql":
        # A snapshot: the second look at a table sees what the first saw.
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        arguments = {} if "connect_timeout" in url.query else {"connect_timeout": _CONNECT_SECONDS}
        timeout = f"SET LOCAL statement_timeout = {int(STATEMENT_SECONDS * 1000)}"
        return ReadOnly(engine={"connect_args": arguments}, connection=options, statements=(timeout,))
    return ReadOnly()


def _sqlite(url: URL) -> Callable[[], sqlite3.Connection]:
    wait = url.query.get("timeout", "5")

    def connect() -> sqlite3.Connection:
        path = Path(url.database or "").resolve()
        return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=float(str(wait)), check_same_thread=False)

    return connect


def _restrict(deadline: Deadline, connection: object) -> None:
    assert isinstance(connection, sqlite3.Connection)  # what _sqlite made
    connection.set_authorizer(_authorised)
    connection.set_progress_handler(deadline.passed, _STEPS)


def _authorised(action: int, _first: str | None, second: str | None, *_: object) -> int:
    """SQLite asks for each thing that a statement does; ATTACH, PRAGMA and everything that writes are none of ours."""
    if action not in _ALLOWED or (action == sqlite3.SQLITE_FUNCTION and second == "load_extension"):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def as_text(column: str) -> str:
    """A column that the database writes as text."""
    return f"CAST({column} AS text) AS {column}"


def declared_types(dialect: str, cursor: DBAPICursor | None) -> dict[str, pa.DataType | str] | None:
    """What the driver says of the columns' types; None where it says nothing that can be relied upon."""
    if dialect != "postgresql" or cursor is None:
        return None
    # Each item is (name, type, display size, internal size, precision, scale, null), PEP 249.
    return {str(item[0]): postgresql_type(int(str(item[1])), item[4], item[5]) for item in cursor.description or ()}


@contextmanager
def translated() -> Iterator[None]:
    """Turns the drivers' errors, which quote the query and its values, into ours, which tell a code at most."""
    try:
        yield
    except GatehouseError:
        raise
    except SQLAlchemyError as error:
        raise _ours(error) from None
    except (sqlite3.Error, UnicodeError, OverflowError, ValueError):
        raise InputError("the database sent a value that can't be read", where=WHERE, advice="cast it in the query") from None


def _ours(error: SQLAlchemyError) -> GatehouseError:
    """By SQLSTATE (ISO/IEC 9075, PostgreSQL appendix A), or by SQLite's result code."""
    origin = getattr(error, "orig", None)
    state = str(getattr(origin, "sqlstate", None) or "")
    code = str(getattr(origin, "sqlite_errorname", None) or "")
    if state == "57014" or code == "SQLITE_INTERRUPT":
        return Unavailable("the query took too long", where=WHERE, advice="make it faster, or read less at a time")
    # Of a function SQLite says only in words that the authorizer refused it.
    if state == "25006" or code in ("SQLITE_AUTH", "SQLITE_READONLY") or (code == "SQLITE_ERROR" and "not authorized" in str(origin)):
        return Denied("the query does more than read", where=WHERE, advice="only read in it")
    if state[:2] == "28" or state == "42501":
        return Denied(f"the database refuses ({state})", where=WHERE, advice="check the block's user and its rights")
    if state[:2] in ("42", "22", "0A") or code == "SQLITE_ERROR":
        return InputError(f"the database can't run the query ({state or code})", where=WHERE, advice="try it in the database's own client")
    if origin is not None and (type(origin).__name__ == "DataError" or (isinstance(origin, sqlite3.Error) and not code)):
        return InputError("the database sent a value that can't be read", where=WHERE, advice="cast it in the query")
    kind = state or code or type(error).__name__
    return Unavailable(f"the database does not answer ({kind})", where=WHERE, advice="check the database, then resume the run", retry=True)
