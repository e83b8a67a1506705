"""Databases by where they are: an endpoint is a URL without user, password, driver and options.

A SQLite file is its whole path, links followed: the same name in another folder is another database.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from sqlalchemy import make_url
from sqlalchemy.dialects import registry
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.declared_endpoint import LAST_PORT

# Drivers let options replace host, port and database, so only those that secure or time a connection pass.
_OPTIONS = frozenset(
    {
        *("application_name", "charset", "connect_timeout", "target_session_attrs", "timeout"),
        *("channel_binding", "gssencmode", "sslcert", "sslcrl", "sslkey", "sslmode", "sslpassword", "sslrootcert"),
        *("ssl_ca", "ssl_cert", "ssl_key"),
    }
)


# Drivers of SQLAlchemy's own dialects, and the module of each; those for asyncio alone are none for Gatehouse.
_MYSQL = {"pymysql": "pymysql", "mysqldb": "MySQLdb", "mariadbconnector": "mariadb", "pyodbc": "pyodbc"}
_DRIVERS: dict[str, dict[str, str]] = {
    "postgresql": {"psycopg": "psycopg", "psycopg2": "psycopg2", "pg8000": "pg8000"},
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "oracle": {"oracledb": "oracledb", "cx_oracle": "cx_Oracle"},
    "mssql": {"pyodbc": "pyodbc", "pymssql": "pymssql"},
}

Use = Literal["write_back", "read_source", "preflight"]
"""What an address is for: the credential that it came from."""
_SPOKEN: dict[Use, str] = {"write_back": "write-back", "read_source": "source", "preflight": "pre-flight"}


def parse(url: str, use: Use = "write_back") -> URL:
    """A database URL, with the driver that the ``postgresql`` extra installs where it names none.

    Args:
        url: Its text.
        use: Which credential it came from, for the errors.

    Raises:
        InputError: It is none, has an option that may lead elsewhere, or names a database that is gone when the process ends or that
            depends on where the process runs. The text is not repeated.
    """
    what, where = f"the {_SPOKEN[use]} address", f"credentials.{use}"
    # A secret that was read from a file often ends in a line end; it would become part of the database's name.
    if url != url.strip() or any(character < " " or character == "\x7f" for character in url):
        raise InputError(f"{what} holds a line end, or a blank around it", where=where, advice="store the address alone in the block")
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        raise InputError(f"{what} is no database URL", where=where, advice="store an SQLAlchemy URL in the block") from None
    if parsed.get_backend_name() == "postgres":
        raise InputError(f"{what} begins with postgres://", where=where, advice="write postgresql:// in the block")
    if parsed.port is not None and not 1 <= parsed.port <= LAST_PORT:
        raise InputError(f"{what} has a port that is none", where=where, advice=f"write a number from 1 to {LAST_PORT}")
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    _refuse_elsewhere(parsed, what, where)
    return parsed


def _refuse_elsewhere(parsed: URL, what: str, where: str) -> None:
    """What looks like one database and leads to another, or to none that stays."""
    sqlite, file = parsed.get_backend_name() == "sqlite", parsed.database or ""
    if sqlite and (not file or ":memory:" in file or parsed.query.get("mode") == "memory"):
        raise InputError(f"{what} is an in-memory database", where=where, advice="name a file")
    if (sqlite and file.startswith("file:")) or not _OPTIONS.issuperset(parsed.query):
        advice = f"name host, port and database in front; of the options only these are taken: {', '.join(sorted(_OPTIONS))}"
        raise InputError(f"{what} has an option that may lead elsewhere", where=where, advice=advice)
    if sqlite and not Path(file).is_absolute():
        advice = "write the whole path, with four slashes: sqlite:////folder/file.sqlite"
        raise InputError(f"{what} is a path that depends on where the process runs", where=where, advice=advice)


def endpoint_of(url: str, use: Use = "write_back") -> str:
    """``dialect://host[:port]/database``; for SQLite ``sqlite:///`` and the whole path of the file, links followed.

    Raises:
        InputError: The URL is none.
    """
    parsed = parse(url, use)
    dialect = parsed.get_backend_name()
    if dialect == "sqlite":
        return _file(Path(parsed.database or ""))
    port = f":{parsed.port}" if parsed.port is not None else ""
    host = f"[{parsed.host}]" if ":" in (parsed.host or "") else parsed.host or ""
    return f"{dialect}://{host}{port}/{parsed.database or ''}"


def declared_endpoint(endpoint: str, folder: Path) -> str:
    """The endpoint that a manifest declares, as ``endpoint_of`` gives that of an address.

    Args:
        endpoint: As it is declared; the path of a SQLite file is relative to the manifest.
        folder: The manifest's folder.

    Raises:
        InputError: It names no file.
    """
    if not endpoint.startswith("sqlite:"):
        return endpoint
    try:
        file = make_url(endpoint).database
    except (SQLAlchemyError, ValueError):
        file = None
    if not file:
        raise InputError("the endpoint of a system names no SQLite file", where="systems", advice="write sqlite:///FILE, relative to the manifest")
    return _file(folder / file)


def _file(path: Path) -> str:
    try:
        return f"sqlite:///{path.resolve()}"
    except (OSError, RuntimeError):  # links that lead in a circle
        raise InputError("the path of a SQLite file can't be followed", where="systems", advice="look at the links on its way") from None


def driver_problem(dialect: str) -> tuple[str, str] | None:
    """Why a database of this dialect can't be opened here, and what to do; None where it can.

    Looks for SQLAlchemy's dialect and for the modules of its drivers, none of which is imported.
    """
    try:
        registry.load(dialect)
    except (SQLAlchemyError, ImportError):
        return "SQLAlchemy knows no such dialect here", "correct it, or install the package that brings the dialect"
    drivers = _DRIVERS.get(dialect)
    if drivers is None or any(find_spec(module) is not None for module in drivers.values()):
        return None
    example = next(iter(drivers))
    modules = " or ".join(drivers.values())
    return f"no driver for {dialect} is installed here", f"install {modules}, and name it in the secret block, for example {dialect}+{example}://"
