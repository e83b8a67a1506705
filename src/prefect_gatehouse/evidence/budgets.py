"""Whether each budget and each provider's limit in the ledger is what somebody signed."""

from __future__ import annotations

from collections.abc import Iterator

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.ledger.events import BudgetSet, ProviderLimitSet
from prefect_gatehouse.ledger.store import Event, Ledger


def problems(ledger: Ledger) -> Iterator[str]:
    """What is wrong with the budgets; no registry is needed, a signature names its key."""
    signed: list[Event[BudgetSet] | Event[ProviderLimitSet]] = [*ledger.facts(BudgetSet), *ledger.facts(ProviderLimitSet)]
    for event in signed:
        try:
            key = sshsig.verify(event.fact.signature, canonical(event.fact.statement))
        except GatehouseError:
            yield f"event {event.seq}: the budget is not signed, or not what was signed"
            continue
        if key.fingerprint != event.fact.key:
            yield f"event {event.seq}: the budget names another key than it was signed with"
