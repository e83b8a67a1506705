"""What the ledger's other tables say, recomputed from the events alone: pure functions from a row and an event to the next row.

The writer goes through the same functions, so a row that differs from its events was edited by somebody else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from prefect_gatehouse.ledger.answers import PlanAnswer
from prefect_gatehouse.ledger.by_hand import ByHand
from prefect_gatehouse.ledger.charges import Account, account_of, charge
from prefect_gatehouse.ledger.events import (
    ArtifactsDeleted,
    ArtifactStored,
    AttemptStarted,
    RunAdmitted,
    RunEnded,
    RunInterrupted,
    RunQueued,
    RunRescheduled,
    RunSuspended,
)
from prefect_gatehouse.ledger.fact import Fact
from prefect_gatehouse.ledger.jobs import (
    JobClosed,
    JobGone,
    JobLeft,
    JobSettled,
    JobSubmitted,
    ResultReused,
    SubmissionAmbiguous,
    SubmissionIntended,
    SubmissionRefused,
)
from prefect_gatehouse.usd import in_units

SILENT_SECONDS = 120.0
"""A process that gave no sign of life for so long is taken for dead: it renews its heartbeat eight times in that time."""


OPEN = ("intended", "submitted", "ambiguous")
"""States in the journal of a job that may still be at its provider and is not billed."""


@dataclass(frozen=True)
class RunRow:
    """What the ledger knows of a run at a glance; times are seconds since the epoch.

    Attributes:
        status: ``running``, ``waiting`` (for an approval), ``queued`` (for its jobs, a device or an hour; goes on by itself), ``suspended`` (by
            hand, in Prefect), ``failed`` (can be resumed), ``scheduled`` (was resumed, no process has taken it up yet) or ``ended``.
        wait_until: Until when it waits or can be resumed.
        last_sign: When a process that drives it gave its last sign of life; a heartbeat, and no event tells of it.
    """

    run_id: str
    attempt: int
    status: str
    ending: str | None
    pipeline: str
    tenant: str
    environment: str
    tier: str
    ticket: str
    requester: str
    started: float
    updated: float
    wait_until: float | None
    message: str
    last_sign: float

    def silent_for(self, now: float | None = None) -> float | None:
        """Seconds since the last sign of life of the process that drives the run; None where no process should."""
        return max(0.0, (time.time() if now is None else now) - self.last_sign) if self.status == "running" else None

    def is_lost(self, now: float | None = None) -> bool:
        """Whether the run counts as running, but its process has been silent for so long that it is taken for dead."""
        silent = self.silent_for(now)
        return silent is not None and silent > SILENT_SECONDS

    def derived(self) -> dict[str, Any]:
        """The columns that follow from events."""
        return {name: value for name, value in asdict(self).items() if name != "last_sign"}


def next_run(row: RunRow | None, run_id: str, attempt: int, at: float, fact: Fact) -> RunRow | None:
    """The run's row after an event; None for what belongs to no run.

    Args:
        row: The row before, None before the first attempt.
        run_id: The run.
        attempt: The attempt that acted.
        at: When, seconds since the epoch.
        fact: What the event tells.
    """
    if row is None or isinstance(fact, ByHand):  # whoever looks at a run does nothing to it
        if not isinstance(fact, AttemptStarted):
            return row
        return RunRow(run_id, attempt, "running", None, "", "", "", "", "", "", at, at, None, "", at)
    row = replace(row, updated=at)
    match fact:
        case AttemptStarted():
            return replace(row, attempt=attempt, status="running", wait_until=None, message="")
        case RunAdmitted():
            return replace(row, **fact.model_dump(exclude={"billing_code"}))
        case RunSuspended():
            return replace(row, status="waiting", wait_until=fact.until, message=fact.message)
        case PlanAnswer():
            return replace(row, status="running", wait_until=None, message="")
        case RunInterrupted() | RunQueued():
            return replace(row, status=fact.status, wait_until=fact.until, message=fact.message)
        case RunRescheduled():
            return replace(row, status="scheduled", wait_until=fact.until, message="resumed, waits for a worker")
        case RunEnded():
            return replace(row, status="ended", ending=fact.ending, wait_until=None)
    return row


Columns = dict[str, Any]


class Projection:
    """Every derived row, event by event.

    Attributes:
        runs: By run.
        submissions: Columns of the journal that follow from events, by key; payloads and results are sealed, and opened by their digest.
        charges: Who pays for a job, by its key.
        artifacts: By URI.
        left: Keys of jobs of ended runs that are not done with at their provider.
    """

    def __init__(self) -> None:
        self.runs: dict[str, RunRow] = {}
        self.submissions: dict[str, Columns] = {}
        self.charges: dict[str, Columns] = {}
        self.artifacts: dict[str, Columns] = {}
        self.left: set[str] = set()
        self._accounts: dict[str, Account] = {}

    def add(self, run_id: str, attempt: int, at: float, fact: Fact) -> Iterator[str]:
        """Takes the next event; yields what is wrong with it."""
        row = next_run(self.runs.get(run_id), run_id, attempt, at, fact)
        if row is not None:
            self.runs[run_id] = row
        self._keep(run_id, fact)
        self._charge(run_id, fact)
        yield from self._move(run_id, fact)

    def _move(self, run_id: str, fact: Fact) -> Iterator[str]:
        match fact:
            case SubmissionIntended() | ResultReused():
                self.submissions[fact.key] = submission(run_id, fact)
            case JobSubmitted():
                yield from self._step(fact.key, "intended", state="submitted", handle=fact.job)
            case SubmissionRefused():
                yield from self._step(fact.key, "intended", state="refused", settled=Decimal(0))
            case SubmissionAmbiguous():
                yield from self._step(fact.key, "intended", state="ambiguous")
            case JobSettled():
                yield from self._step(fact.key, "submitted", state="settled", settled=fact.cost_usd)
            case JobClosed():
                handle = {"handle": fact.job} if fact.job else {}
                yield from self._step(fact.key, *OPEN, state="closed", settled=fact.cost_usd, **handle)
            case JobLeft():
                self.left.add(fact.key)
            case JobGone():
                if fact.key not in self.left:
                    yield f"job {fact.key}: nothing of it was left"
                self.left.discard(fact.key)

    def _keep(self, run_id: str, fact: Fact) -> None:
        if isinstance(fact, ArtifactStored):
            self.artifacts[fact.uri] = {"run_id": run_id, "owner": fact.owner, "retain_until": fact.retain_until, "deleted_at": None}
        elif isinstance(fact, ArtifactsDeleted):
            for uri in self.artifacts.keys() & set(fact.uris):
                self.artifacts[uri]["deleted_at"] = fact.at

    def _charge(self, run_id: str, fact: Fact) -> None:
        if isinstance(fact, RunAdmitted):
            self._accounts.setdefault(run_id, account_of(fact))
        elif isinstance(fact, SubmissionIntended):
            account = self._accounts.get(run_id)
            if account is not None and account.billing_code:
                self.charges[fact.key] = charge(run_id, account, fact)
        elif (paid := paid_for(fact)) is not None and paid[0] in self.charges:
            self.charges[paid[0]]["settled"] = paid[1]

    def _step(self, key: str, *before: str, **columns: Any) -> Iterator[str]:
        row = self.submissions.get(key)
        if row is None or row["state"] not in before:
            yield f"submission {key}: it was never {' or '.join(before)}"
        else:
            row.update(columns)


def submission(run_id: str, fact: SubmissionIntended | ResultReused) -> Columns:
    """The journal's row of an intent, or of a job that was not made, without its payload and result."""
    if isinstance(fact, ResultReused):
        told = fact.model_dump(include={"round", "job", "backend", "circuits", "circuits_digest", "payload_sha256", "intended"})
        return {"run_id": run_id, "fallback": 0, "state": "reused", "handle": None, "reserved": Decimal(0), "settled": Decimal(0), **told}
    return {
        "run_id": run_id,
        "round": fact.round,
        "job": fact.job,
        "fallback": fact.fallback,
        "backend": fact.backend,
        "state": "intended",
        "circuits": fact.circuits,
        "circuits_digest": fact.circuits_digest,
        "payload_sha256": fact.payload_sha256,
        "handle": None,
        "reserved": fact.reserved_usd,
        "settled": None,
        "intended": fact.intended,
    }


def paid_for(fact: Fact) -> tuple[str, int] | None:
    """A job's key and what it cost in the end, in ten-thousandths of a dollar; None of what settles nothing."""
    match fact:
        case JobSettled() | JobClosed():
            return fact.key, in_units(fact.cost_usd)
        case SubmissionRefused():
            return fact.key, 0
    return None
