"""Who somebody is to an installation: a person or a service, with roles, keys and a clearance."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import get_args

from pydantic import AwareDatetime, Field

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.identity.services import Service
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.value import Value
from prefect_gatehouse.vocabulary import Role

ROLES: tuple[Role, ...] = get_args(Role)
_PERSON = re.compile(r"[a-z0-9](?:[a-z0-9._@+-]{0,118}[a-z0-9])?")


class KeyAttested(Value):
    """What was proven of a FIDO key when it was entered."""

    root: str = Field(description="SHA-256 of the vendor's root certificate.")
    aaguid: str = Field(description="Which model of authenticator made it.")


class PersonKey(Value):
    """One public key of a person, and when it signs."""

    line: str
    fingerprint: str
    valid_after: AwareDatetime | None = None
    valid_before: AwareDatetime | None = None
    attested: KeyAttested | None = Field(None, description="That a vendor's authenticator holds it, while the registry has that vendor's root.")

    def valid_at(self, moment: datetime) -> bool:
        """Whether it signed at a time; both ends count, as ssh-keygen has it."""
        return (self.valid_after is None or moment >= self.valid_after) and (self.valid_before is None or moment <= self.valid_before)


class Person(Value):
    """A person or a service, its roles and keys."""

    person: str
    roles: frozenset[Role]
    keys: tuple[PersonKey, ...] = ()
    totp: bool = False
    clearance: DataClass = Field(DataClass.PUBLIC, description="Highest class of data that the person may read.")
    service: Service | None = Field(None, description="What it is named for where it is a service; None of a person.")

    def may(self, role: Role) -> bool:
        """Whether it may ask or answer; a service answers nothing, and what people sign is judged by ``refuse_service`` and the policy."""
        return role in self.roles and (self.service is None or role == "requester")


def identifier(person: str) -> str:
    """A person's identifier as the registry writes it.

    Raises:
        InputError: It is none.
    """
    name = person.strip().casefold()
    if not _PERSON.fullmatch(name):
        raise InputError(
            "this is no identifier of a person", where="person", advice="use letters, digits and . _ @ + -, for example approver@example.org"
        )
    if name in {"unverified", "unknown"}:
        raise InputError("this identifier stands for nobody", where="person", advice="choose another")
    return name


def owner_among(people: Iterable[Person], fingerprint: str, at: datetime) -> Person | None:
    """Who of these has a key that is valid at a time."""
    return next((person for person in people if any(key.fingerprint == fingerprint and key.valid_at(at) for key in person.keys)), None)


def refuse_service(owner: Person | None, what: str, where: str) -> None:
    """Stops an act of people that a service's key would sign.

    Args:
        owner: Whose the key is.
        what: What people do, as in "policies are signed".
        where: The key's file.

    Raises:
        Denied: It is a service's.
    """
    if owner is not None and owner.service is not None:
        advice = "sign with your own key (GATEHOUSE_IDENTITY)"
        raise Denied(f"{what} by people, and this key is the service {owner.person}'s", where=where, advice=advice, rules=("service-key",))
