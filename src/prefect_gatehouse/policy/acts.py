"""Whether a signed act in the ledger is what it says, judged whenever it is asked: who can write into the database has no signature."""

from __future__ import annotations

from collections.abc import Iterable

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.people import Person, owner_among
from prefect_gatehouse.ledger.events import SignedAct
from prefect_gatehouse.ledger.store import Event


def is_signed(fact: SignedAct) -> bool:
    """Whether the key that an act names has signed it."""
    try:
        return sshsig.verify(fact.signature, canonical(fact.statement)).fingerprint == fact.key
    except GatehouseError:
        return False


def why_void(event: Event[SignedAct], people: Iterable[Person]) -> str:
    """Why an act is no approver's; empty where it is.

    Args:
        event: The act. Its key has to be valid when it was recorded, and may have expired since; a revoked one is gone.
        people: The registry as it is now.
    """
    fact = event.fact
    if not is_signed(fact):
        return "it is not signed, or not what was signed"
    owner = owner_among(people, fact.key, event.when)
    if owner is None or owner.person != fact.person or "approver" not in owner.roles:
        return "its key is not an approver's of that name"
    return ""
