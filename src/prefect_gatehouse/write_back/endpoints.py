"""Databases by where they are: an endpoint is a URL without user, password, driver and options."""

from __future__ import annotations

from pathlib import PurePath

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from prefect_gatehouse.errors import InputError


def parse(url: str) -> URL:
    """A database URL.

    Raises:
        InputError: It is none, or names a database that is gone when the process ends. The text is not repeated.
    """
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        raise InputError(
            "the write-back address is no database URL", where="credentials.write_back", advice="store an SQLAlchemy URL in the block"
        ) from None
    if parsed.get_backend_name() == "sqlite" and (not parsed.database or ":memory:" in parsed.database or parsed.query.get("mode") == "memory"):
        raise InputError("the write-back address is an in-memory database", where="credentials.write_back", advice="name a file")
    return parsed


def endpoint_of(url: str) -> str:
    """``dialect://host[:port]/database``; for SQLite ``sqlite:///file-name``.

    Raises:
        InputError: The URL is none.
    """
    parsed = parse(url)
    dialect = parsed.get_backend_name()
    if dialect == "sqlite":
        return f"sqlite:///{PurePath(parsed.database or '').name}"
    port = f":{parsed.port}" if parsed.port is not None else ""
    return f"{dialect}://{parsed.host or ''}{port}/{parsed.database or ''}"
