"""What is in quarantine now, and what of a run is."""

from __future__ import annotations

from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.events import QuarantineAct
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.policy.quarantine import Quarantines
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import QuarantineScope


def holding(settings: Settings, ledger: Ledger) -> Quarantines:
    """The quarantines that hold."""
    return Quarantines(ledger.facts(QuarantineAct), People(settings.people_folder()))


def why_stopped(held: Quarantines, row: RunRow, backends: tuple[str, ...] = ()) -> list[str]:
    """What of an open run is in quarantine, a sentence each.

    Args:
        held: The quarantines that hold.
        row: The run.
        backends: Those of its plan.
    """
    if row.ending is not None:
        return []
    scopes: list[tuple[QuarantineScope, str]] = [("tenant", row.tenant), ("pipeline", row.pipeline), ("principal", row.requester)]
    scopes += [("backend", name) for name in backends]
    found = [each for scope, name in scopes if (each := held.of(scope, name)) is not None]
    return list(dict.fromkeys(f"{each.name} is in quarantine [{each.event.seq}]" for each in found))
