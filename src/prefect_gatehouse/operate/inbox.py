"""What waits for an approval, and what of it for whoever asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.evidence.questions import recorded_plan
from prefect_gatehouse.identity.keys import fingerprint, public_line
from prefect_gatehouse.identity.methods.certificate import own_certificate, person_of
from prefect_gatehouse.identity.people import People, Person
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.policy.quarantine import Quarantines
from prefect_gatehouse.run.answer import require_cleared
from prefect_gatehouse.run.approvals import Standing, closes_at, standing
from prefect_gatehouse.run.holding import holding, why_stopped
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.settings import Settings


@dataclass(frozen=True)
class Waiting:
    """A plan that waits.

    Attributes:
        plan: What is asked for.
        standing: What was answered so far.
        since: When the plan was made.
        until: When nobody can answer any more.
        not_mine: Why the caller can't answer it; empty where they can.
    """

    plan: Plan
    standing: Standing
    since: datetime
    until: datetime
    not_mine: str

    @property
    def worst_cost(self) -> str:
        """USD that the envelope allows."""
        return f"{self.plan.body.cost} USD"


def inbox(settings: Settings, ledger: Ledger) -> tuple[Person | None, list[Waiting]]:
    """Who the caller is by key or certificate, None where they are nobody, and every plan that waits, the one that closes first in front."""
    people = People(settings.people_folder())
    try:
        key, at = settings.identity_key(), datetime.now(UTC)
        certificate = own_certificate(key, at)
        person = person_of(certificate, people, at) if certificate else people.owner_of(fingerprint(public_line(key)))
    except InputError:
        person = None  # whoever has no key still sees what waits
    found = []
    held = holding(settings, ledger)
    for row in ledger.runs():
        plan = recorded_plan(ledger, row.run_id) if row.status == "waiting" and row.ending is None else None
        if plan is not None:
            now = standing(ledger, plan)
            found.append(Waiting(plan, now, plan.made_at, closes_at(plan), "; ".join(_stopped(held, row, plan)) or _why_not(person, plan, now)))
    return person, sorted(found, key=lambda each: each.until)


def _stopped(held: Quarantines, row: RunRow, plan: Plan) -> list[str]:
    backends = tuple(each.name for each in plan.body.backends)
    left = [name for name in backends if held.of("backend", name) is None]
    return why_stopped(held, row, () if left else backends)


def _why_not(person: Person | None, plan: Plan, now: Standing) -> str:
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
    try:
        require_cleared(person, plan.body.classes)
    except Denied as denied:
        return denied.message
    return ""
