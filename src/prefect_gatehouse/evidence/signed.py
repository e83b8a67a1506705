"""Whether what people signed at the command line (budgets, limits, providers, the registry) is what the ledger says that they signed."""

from __future__ import annotations

from collections.abc import Iterator

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.ledger.acts import SignedAct
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.policy.acts import is_original


def problems(ledger: Ledger) -> Iterator[str]:
    """What is wrong with them; no registry is needed, a signature names its key."""
    for event in ledger.facts(SignedAct):
        if not isinstance(event.fact, SignedAct):
            yield f"event {event.seq}: an act of a newer release, which this one can't judge"
            continue
        what, fact = event.fact.words, event.fact
        if fact.unsigned and not (fact.signature or fact.key or fact.person):
            continue
        try:
            key = sshsig.verify(fact.signature, canonical(fact.statement))
        except GatehouseError:
            yield f"event {event.seq}: the {what} is not signed, or not what was signed"
            continue
        if key.fingerprint != fact.key:
            yield f"event {event.seq}: the {what} names another key than it was signed with"
        elif key.untouched:
            yield f"event {event.seq}: the {what} was signed by a FIDO key that nobody touched, and counts for nothing"
        elif not is_original(event):
            yield f"event {event.seq}: the {what} is a copy of another event's, and counts for nothing"
