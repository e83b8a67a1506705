"""Databases by where they are: an endpoint is a URL without user, password, driver and options."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from prefect_gatehouse.errors import InputError

# Drivers let options replace host, port and database, so only those that secure or time a connection pass.
_OPTIONS = frozenset(
    {
        *("application_name", "charset", "connect_timeout", "target_session_attrs", "timeout"),
        *("channel_binding", "gssencmode", "sslcert", "sslcrl", "sslkey", "sslmode", "sslpassword", "sslrootcert"),
        *("ssl_ca", "ssl_cert", "ssl_key"),
    }
)


Use = Literal["write_back", "read_source"]
"""What an address is for: the credential that it came from."""
_SPOKEN: dict[Use, str] = {"write_back": "write-back", "read_source": "source"}


def parse(url: str, use: Use = "write_back") -> URL:
    """A database URL.

    Args:
        url: Its text.
        use: Which credential it came from, for the errors.

    Raises:
        InputError: It is none, has an option that may lead elsewhere, or names a database that is gone when the process ends. The text
            is not repeated.
    """
    what, where = f"the {_SPOKEN[use]} address", f"credentials.{use}"
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        raise InputError(f"{what} is no database URL", where=where, advice="store an SQLAlchemy URL in the block") from None
    if parsed.get_backend_name() == "sqlite" and (not parsed.database or ":memory:" in parsed.database or parsed.query.get("mode") == "memory"):
        raise InputError(f"{what} is an in-memory database", where=where, advice="name a file")
    as_uri = parsed.get_backend_name() == "sqlite" and (parsed.database or "").startswith("file:")
    if as_uri or not _OPTIONS.issuperset(parsed.query):
        advice = f"name host, port and database in front; of the options only these are taken: {', '.join(sorted(_OPTIONS))}"
        raise InputError(f"{what} has an option that may lead elsewhere", where=where, advice=advice)
    return parsed


def endpoint_of(url: str, use: Use = "write_back") -> str:
    """``dialect://host[:port]/database``; for SQLite ``sqlite:///file-name``.

    Raises:
        InputError: The URL is none.
    """
    parsed = parse(url, use)
    dialect = parsed.get_backend_name()
    if dialect == "sqlite":
        return f"sqlite:///{PurePath(parsed.database or '').name}"
    port = f":{parsed.port}" if parsed.port is not None else ""
    host = f"[{parsed.host}]" if ":" in (parsed.host or "") else parsed.host or ""
    return f"{dialect}://{host}{port}/{parsed.database or ''}"
