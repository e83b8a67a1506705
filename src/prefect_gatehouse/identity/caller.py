"""Who the caller of a command is, by the key or certificate in their installation: what they are told by, and no proof of anything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.identity.keys import fingerprint, public_line
from prefect_gatehouse.identity.methods.certificate import own_certificate, person_of
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.person import Person
from prefect_gatehouse.settings import Settings


@dataclass(frozen=True)
class Caller:
    """Somebody who has called a command.

    Attributes:
        person: Who that is by the registry; None where it knows nobody by the key, or there is none.
        path: Where the key is, or would be.
        fingerprint: The key's; empty where there is none that could be read.
        problem: Why the certificate beside the key, or its public line, can't be used; empty where it can, or there is none.
    """

    person: Person | None
    path: Path
    fingerprint: str
    problem: str = ""


def caller_of(settings: Settings) -> Caller:
    """The caller.

    Raises:
        InputError: A key is named that is not there.
        Tampered: The registry can't be read.
    """
    people, path, at = People(settings.people_folder()), settings.identity_key(), datetime.now(UTC)
    try:
        mark = fingerprint(public_line(path))
    except InputError as error:
        # A key that is named and not there is an error of its own.
        return Caller(None, path, "", "" if settings.signing_key() is None else error.message)
    try:
        certificate = own_certificate(path, at)
    except InputError as error:
        return Caller(None, path, mark, error.message)
    return Caller(person_of(certificate, people, at) if certificate else people.owner_of(mark), path, mark)
