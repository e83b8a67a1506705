"""Whether what people signed at the command line, budgets and providers, is what the ledger says that they signed."""

from __future__ import annotations

from collections.abc import Iterator

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.ledger.events import BudgetSet, ProviderApproved
from prefect_gatehouse.ledger.store import Ledger

_WHAT = {BudgetSet: "budget", ProviderApproved: "provider's approval"}


def problems(ledger: Ledger) -> Iterator[str]:
    """What is wrong with them; no registry is needed, a signature names its key."""
    for event in (*ledger.facts(BudgetSet), *ledger.facts(ProviderApproved)):
        what = _WHAT[type(event.fact)]
        try:
            key = sshsig.verify(event.fact.signature, canonical(event.fact.statement))
        except GatehouseError:
            yield f"event {event.seq}: the {what} is not signed, or not what was signed"
            continue
        if key.fingerprint != event.fact.key:
            yield f"event {event.seq}: the {what} names another key than it was signed with"
