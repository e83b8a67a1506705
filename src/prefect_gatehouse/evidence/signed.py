"""Whether what people signed at the command line (budgets, limits, providers, the registry) is what the ledger says that they signed."""

from __future__ import annotations

from collections.abc import Iterator

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.ledger.events import SignedAct
from prefect_gatehouse.ledger.store import Ledger


def problems(ledger: Ledger) -> Iterator[str]:
    """What is wrong with them; no registry is needed, a signature names its key."""
    for event in ledger.facts(SignedAct):
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
