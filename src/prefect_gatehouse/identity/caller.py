"""Whose key lies in the caller's installation: by the certificate beside it where there is one, as the registry says otherwise.

Nothing is signed here, so it is a claim: enough to say what waits for somebody, and for nothing that has to be proven.
"""

from __future__ import annotations

from datetime import UTC, datetime

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.identity.keys import fingerprint, public_line
from prefect_gatehouse.identity.methods.certificate import own_certificate, person_of
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.person import Person
from prefect_gatehouse.settings import Settings


def caller(settings: Settings) -> Person | None:
    """Who it is; None for whoever has no key, or one that is nobody's.

    Raises:
        Tampered: The registry can't be read.
    """
    people, key, at = People(settings.people_folder()), settings.identity_key(), datetime.now(UTC)
    try:
        certificate = own_certificate(key, at)
        return person_of(certificate, people, at) if certificate else people.owner_of(fingerprint(public_line(key)))
    except InputError:
        return None
