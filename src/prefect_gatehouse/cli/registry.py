"""What the commands that change the registry of people have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

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
REASON = click.option("--reason", default="", help="Why, in one line; it is in the ledger with the change.")


def moment(option: str, text: str | None) -> datetime | None:
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
