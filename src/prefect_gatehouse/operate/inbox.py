"""What waits for an approval or a release, and what of it for whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity.caller import caller
from prefect_gatehouse.identity.person import Person
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.policy.quarantine import Quarantines
from prefect_gatehouse.run.answer import require_cleared
from prefect_gatehouse.run.approvals import Standing, barred, standing
from prefect_gatehouse.run.holding import holding, why_stopped
from prefect_gatehouse.run.matter import Matter, closes_at, matter_of, opened_at, plan_of
from prefect_gatehouse.run.outcome import Outcome
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.settings import Settings


@dataclass(frozen=True)
class Waiting:
    """A plan, or what came of one, that waits.

    Attributes:
        plan: What is asked for, or what it came of.
        outcome: What is to be released; None where it is the plan that waits.
        standing: What was answered so far.
        since: When it was made.
        until: When nobody can answer any more.
        not_mine: Why the caller can't answer it; empty where they can.
    """

    plan: Plan
    outcome: Outcome | None
    standing: Standing
    since: datetime
    until: datetime
    not_mine: str

    @property
    def asks(self) -> str:
        """What for."""
        return "approve the plan" if self.outcome is None else "release the outcome"

    @property
    def worst_cost(self) -> str:
        """USD that the envelope allows."""
        return f"{self.plan.body.cost} USD"


def inbox(settings: Settings, ledger: Ledger) -> tuple[Person | None, list[Waiting]]:
    """Who the caller is by key or certificate, None where they are nobody, and everything that waits, the one that closes first in front."""
    person = caller(settings)
    found = []
    held = holding(settings, ledger)
    for row in ledger.runs():
        matter = matter_of(ledger, row.run_id) if row.status == "waiting" and row.ending is None else None
        if matter is not None:
            found.append(_waiting(ledger, held, row, matter, person))
    return person, sorted(found, key=lambda each: each.until)


def _waiting(ledger: Ledger, held: Quarantines, row: RunRow, matter: Matter, person: Person | None) -> Waiting:
    plan, now = plan_of(matter), standing(ledger, matter)
    not_mine = "; ".join(_stopped(held, row, matter)) or _why_not(person, plan, now, barred(ledger, matter))
    outcome = matter if isinstance(matter, Outcome) else None
    return Waiting(plan, outcome, now, opened_at(matter), closes_at(matter), not_mine)


def _stopped(held: Quarantines, row: RunRow, matter: Matter) -> list[str]:
    if isinstance(matter, Outcome):
        return why_stopped(held, row, matter.body.backends)
    backends = tuple(each.name for each in matter.body.backends)
    left = [name for name in backends if held.of("backend", name) is None]
    return why_stopped(held, row, () if left else backends)


def _why_not(person: Person | None, plan: Plan, now: Standing, barred_here: Mapping[str, str]) -> str:
    if person is None:
        return "your key is nobody's in the registry"
    if person.service is not None:
        return "your key is a service's, and only people decide"
    if not person.may("approver"):
        return "you have not the role approver"
    if plan.admitted.requester.person == person.person:
        return "you asked for it"
    if person.person in {approval.person for approval in now.approvals}:
        return "you have approved it"
    if person.person in barred_here:
        return f"you {barred_here[person.person]}"
    try:
        require_cleared(person, plan.body.classes)
    except Denied as denied:
        return denied.message
    return ""
