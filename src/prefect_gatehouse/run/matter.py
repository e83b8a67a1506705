"""What people are asked about: a plan, before anything is submitted, or what came of it, before a row is written.

Both are put to people, answered and judged in one way (``approvals.py``); here is all that differs. An approval is none of a release, nor the other
way round: what is signed names another act, and what is written down is another kind of event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from prefect_gatehouse.ledger.answers import (
    ApprovalAsked,
    ApprovalGiven,
    ApprovalRejected,
    Asked,
    Consent,
    Rejection,
    ReleaseAsked,
    ReleaseGiven,
    ReleaseRejected,
)
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.outcome import Outcome, outcome_of
from prefect_gatehouse.run.values import Plan, ValidatedOutcome

Matter: TypeAlias = Plan | Outcome


@dataclass(frozen=True)
class Terms:
    """How something is put to people.

    Attributes:
        gate: Which waits for them.
        asked: The event that tells of an asking.
        given: Of a yes.
        rejected: Of a no.
        acts: What a yes and a no are called in what is signed.
        consents: What several of them are called.
        noun: What it is.
        waits: What the run does until then.
        done: What a yes to it is, in words.
    """

    gate: str
    asked: type[Asked]
    given: type[Consent]
    rejected: type[Rejection]
    acts: Mapping[str, Literal["approve", "reject", "write_back", "withhold"]]
    consents: str
    noun: str
    waits: str
    done: str


_PLAN = Terms(
    gate="await_approval",
    asked=ApprovalAsked,
    given=ApprovalGiven,
    rejected=ApprovalRejected,
    acts={"approve": "approve", "reject": "reject"},
    consents="approvals",
    noun="plan",
    waits="waits for approval",
    done="a plan is approved",
)
_OUTCOME = Terms(
    gate="await_release",
    asked=ReleaseAsked,
    given=ReleaseGiven,
    rejected=ReleaseRejected,
    acts={"approve": "write_back", "reject": "withhold"},
    consents="releases",
    noun="outcome",
    waits="waits for release of its outcome",
    done="an outcome is released",
)


def terms_of(matter: Matter) -> Terms:
    """How it is put to people."""
    return _PLAN if isinstance(matter, Plan) else _OUTCOME


def plan_of(matter: Matter) -> Plan:
    """The plan that it is, or came of."""
    return matter if isinstance(matter, Plan) else matter.plan


def digests_of(matter: Matter) -> dict[str, str]:
    """What every event about it names: the plan and, where it is one, the outcome."""
    return {"plan_digest": plan_of(matter).digest, "outcome_digest": "" if isinstance(matter, Plan) else matter.digest}


def needed(matter: Matter) -> int:
    """How many people have to say yes."""
    return matter.admitted.approvers_needed if isinstance(matter, Plan) else matter.validated.releases_needed


def opened_at(matter: Matter) -> datetime:
    """From when on it can be decided."""
    return matter.made_at if isinstance(matter, Plan) else matter.checked_at


def closes_at(matter: Matter) -> datetime:
    """Until when it can be decided."""
    return opened_at(matter) + timedelta(seconds=plan_of(matter).admitted.tier.approval_window_seconds)


def matter_of(ledger: Ledger, run_id: str) -> Matter | None:
    """What a run asks people about, or would next; None before it has a plan.

    Raises:
        Tampered: The ledger's values do not go on from one another.
    """
    chain = Chain(ledger, run_id)
    validated = chain.read(ValidatedOutcome.gate, ValidatedOutcome)
    if validated is not None and validated.releases_needed:
        return outcome_of(validated)
    return chain.read(Plan.gate, Plan)
