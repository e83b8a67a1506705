"""What waits for an approval or a release, and what of it for whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity.caller import Caller, caller_of
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.policy.interface import Policy
from prefect_gatehouse.policy.quarantine import Quarantines
from prefect_gatehouse.run.answer import CheckedAnswer, require_role
from prefect_gatehouse.run.approvals import Standing, refuse_answer, standing
from prefect_gatehouse.run.bundle import policy_that_counts
from prefect_gatehouse.run.expected import NOTHING, methods_of
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


def inbox(settings: Settings, ledger: Ledger) -> tuple[Caller, list[Waiting]]:
    """Who the caller is by key or certificate, and everything that waits, the one that closes first in front; whoever is nobody still sees it.

    Raises:
        InputError: A key is named that is not there.
        Tampered: The registry can't be read.
    """
    caller = caller_of(settings)
    found = []
    held, people = holding(settings, ledger), People(settings.people_folder())
    policies = cache(lambda tier: policy_that_counts(settings, ledger, tier))

    def not_mine(matter: Matter) -> str:
        return _why_not(ledger, held, matter, caller, people, policies(plan_of(matter).admitted.tier.name))

    for row in ledger.runs():
        matter = matter_of(ledger, row.run_id) if row.status == "waiting" and row.ending is None else None
        if matter is not None:
            found.append(_waiting(ledger, held, row, matter, not_mine))
    return caller, sorted(found, key=lambda each: each.until)


def _waiting(ledger: Ledger, held: Quarantines, row: RunRow, matter: Matter, not_mine: Callable[[Matter], str]) -> Waiting:
    plan, now = plan_of(matter), standing(ledger, matter)
    outcome = matter if isinstance(matter, Outcome) else None
    return Waiting(plan, outcome, now, opened_at(matter), closes_at(matter), "; ".join(_stopped(held, row, matter)) or not_mine(matter))


def _stopped(held: Quarantines, row: RunRow, matter: Matter) -> list[str]:
    if isinstance(matter, Outcome):
        return why_stopped(held, row, matter.body.backends)
    backends = tuple(each.name for each in matter.body.backends)
    left = [name for name in backends if held.of("backend", name) is None]
    return why_stopped(held, row, () if left else backends)


def _why_not(ledger: Ledger, held: Quarantines, matter: Matter, caller: Caller, people: People, policy: Callable[[], Policy]) -> str:
    """What the gate would say to a yes of the caller, proven by the best that they have."""
    if caller.person is None:
        return "your key is nobody's in the registry"
    person = caller.person
    try:
        require_role(person, person.may("approver"))
        method = next(iter(methods_of(person, people, plan_of(matter).admitted.tier)), None)
        if method is None:
            return f"you have {NOTHING} to prove yourself by"
        key = caller.fingerprint if method in {"ssh", "ssh-certificate", "ssh-fido"} else ""
        answer = CheckedAnswer(person.person, method, "approve", key, None)
        refuse_answer(ledger, held, matter, answer, people, policy)
    except Denied as denied:
        return denied.message
    return ""
