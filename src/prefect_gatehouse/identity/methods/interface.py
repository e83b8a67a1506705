"""What a sign-in method is: it says whose answer something is, and nothing about whether that person may give it.

To write another: a class with ``prove``, which refuses by ``refuse`` with a reason that repeats nothing of the proof; its name and its rank in
``vocabulary.py``; its line in ``choose.py``. A method is judged twice, when an answer comes and before anything is done under it: the second
time ``at`` is the time of the first, the registry is the one of now.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn, Protocol

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.person import Person
from prefect_gatehouse.vocabulary import Method, Role


@dataclass(frozen=True)
class Claim:
    """Something that somebody is said to have answered.

    Attributes:
        named: Whose answer it claims to be, as it was typed; may be empty where the proof says it.
        proof: What was typed as proof.
        message: The bytes of the statement that it should be a proof of.
        act: What the statement does, for the refusal: approve, reject, request.
        at: Aware time at which it was given.
        spent: One-time codes that don't count any more: person and time step.
    """

    named: str
    proof: str
    message: bytes
    act: str
    at: datetime
    spent: Collection[tuple[str, int]] = ()

    def is_named(self, person: str) -> bool:
        """Whether it claims to be this person's, or nobody's."""
        return self.named.strip().casefold() in ("", person)


@dataclass(frozen=True)
class Proven:
    """Whose answer it is.

    Attributes:
        person: From the registry.
        method: How that was proven.
        fingerprint: Of the key, where there is one.
        totp_step: Of a one-time code.
        life: How long the proof is good for in all; None where it has no end.
        roles: What the proof lets the person be; None where only the registry says.
        key: The public key that it was made with, as a JSON Web Key, where the registry does not hold it.
    """

    person: Person
    method: Method
    fingerprint: str = ""
    totp_step: int | None = None
    life: timedelta | None = None
    roles: frozenset[Role] | None = None
    key: str = ""

    def may(self, role: Role) -> bool:
        """Whether the person has a role, by the registry and, where the proof names roles, by the proof as well."""
        return self.person.may(role) and (self.roles is None or role in self.roles)


class SignIn(Protocol):
    """A sign-in method."""

    def prove(self, claim: Claim, people: People) -> Proven:
        """Whose answer it is.

        Raises:
            Denied: It is proven to be nobody's of the registry.
        """
        ...


def refuse(reason: str, advice: str = "answer again") -> NoReturn:
    """Says that an answer counts for nothing."""
    raise Denied(reason, where="approval", advice=advice)
