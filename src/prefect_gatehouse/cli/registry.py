"""What the commands that change the registry of people have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prefect_gatehouse.errors import InputError

if TYPE_CHECKING:
    from datetime import datetime

    from prefect_gatehouse.identity.people import People
    from prefect_gatehouse.operate.registry import Registrar


_LARGEST = 256 * 1024  # bytes: a vendor's certificates take a few thousand


def registry() -> People:
    """The registry of this installation."""
    from prefect_gatehouse.identity.people import People
    from prefect_gatehouse.settings import load_settings

    return People(load_settings().people_folder())


@contextmanager
def open_registrar(reason: str, *, next_version: bool = False) -> Iterator[Registrar]:
    """Somebody who changes it, with the ledger open."""
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.registry import Registrar
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        yield Registrar(settings, ledger, reason, next_version=next_version)


NEXT_VERSION = click.option(
    "--next-version", is_flag=True, help="Where a signed bundle stands: for its next version; until that is signed nothing above prototype runs."
)
_CLEARANCE = click.option(
    "--clearance",
    type=click.Choice(["public", "internal", "confidential", "restricted"]),
    help="Highest class of data that it may read, or have runs read, from now on; public unless it was ever given.",
)
_VALID = (
    click.option("--valid-after", metavar="TIME", help="From when the key counts: 20270101Z, 202701010800Z; without Z it is this machine's zone."),
    click.option("--valid-before", metavar="TIME", help="Until when it counts; the last moment does, too."),
)
REASON = click.option("--reason", default="", help="Why, in one line; it is in the ledger with the change.")


def cleared(function: Callable[..., None]) -> Callable[..., None]:
    """Adds ``--clearance``; the function gets the class of data, None where none is given."""

    @functools.wraps(function)
    def called(*args: Any, clearance: str | None, **kwargs: Any) -> None:
        from prefect_gatehouse.manifest.fields import DataClass

        function(*args, clearance=DataClass(clearance) if clearance else None, **kwargs)

    return _CLEARANCE(called)


def valid(function: Callable[..., None]) -> Callable[..., None]:
    """Adds ``--valid-after`` and ``--valid-before``; the function gets them as times, None where they are not given."""

    @functools.wraps(function)
    def called(*args: Any, valid_after: str | None, valid_before: str | None, **kwargs: Any) -> None:
        times = {"valid_after": _moment("--valid-after", valid_after), "valid_before": _moment("--valid-before", valid_before)}
        function(*args, **times, **kwargs)

    for option in reversed(_VALID):
        called = option(called)
    return called


def _moment(option: str, text: str | None) -> datetime | None:
    """A time that an option gives."""
    from prefect_gatehouse.identity.allowed_signers import read_time

    if text is None:
        return None
    try:
        return read_time(text)
    except InputError as error:
        raise InputError(error.message, where=option, advice=error.advice) from None


def file_content(path: Path) -> bytes:
    """A file, as it is.

    Raises:
        InputError: It can't be read, or is too large to be one of these.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
    except OSError:
        raise InputError("the file can't be read", where=str(path), advice="check the path") from None
    if len(content) > _LARGEST:
        raise InputError("the file is too large", where=str(path), advice="give what ssh-keygen wrote, or the certificates alone")
    return content


def public_key(path: Path) -> str:
    """The line of a public key's file.

    Raises:
        InputError: It can't be read, or is no key that is taken.
    """
    from prefect_gatehouse.identity.keys import parse_public

    try:
        line = path.read_text()
        parse_public(line)
    except InputError as error:
        raise InputError(error.message, where=str(path), advice=error.advice) from None
    except (OSError, UnicodeDecodeError):
        raise InputError("the public key can't be read", where=str(path), advice="give the .pub file") from None
    return line
