"""Whether the approvals and releases of all runs are what they say, and whether there were enough for every job and row: failed runs' as well."""

from __future__ import annotations

from collections.abc import Iterator

from prefect_gatehouse.ledger.answers import Consent
from prefect_gatehouse.ledger.events import PolicyDecided
from prefect_gatehouse.ledger.jobs import SubmissionIntended
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.run.proven import problems_of


def problems(ledger: Ledger) -> Iterator[str]:
    """What is wrong with them; of events that verify, for those let nothing happen that no consent or decision had permitted."""
    permits: list[Event[Consent] | Event[PolicyDecided] | Event[SubmissionIntended]] = [
        *ledger.facts(Consent),
        *ledger.facts(PolicyDecided),
        *ledger.facts(SubmissionIntended),
    ]
    for run_id in dict.fromkeys(event.run_id for event in permits):
        yield from problems_of(ledger, run_id)
