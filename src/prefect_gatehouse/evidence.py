"""Answers from the ledger: what a run's gates did, and which identity submitted a job, from where, with which secret, for which ticket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.values import Plan, ReIdentification


@dataclass(frozen=True)
class Crossing:
    """One passage of a run through a gate.

    Attributes:
        gate: The gate.
        round: The round, counted from 1; None outside of rounds.
        outcome: ``passed``, ``failed`` or ``entered`` where the process died in it.
        seconds: From entering to leaving.
        note: Why it failed.
        attempt: The attempt that crossed.
    """

    gate: str
    round: int | None
    outcome: str
    seconds: float | None
    note: str
    attempt: int


@dataclass(frozen=True)
class RecordedReIdentification:
    """Tokens of a run that were turned back, with the ledger event that proves it.

    Attributes:
        act: What was turned back, for which target, with which secret.
        event: Number of the event.
        at: When it was written down, before it happened.
    """

    act: ReIdentification
    event: int
    at: str

    def in_words(self) -> str:
        """One line for a table."""
        act = self.act
        versions = ", ".join(str(version) for version in act.key_versions)
        key = f"{act.block or 'no block'}, key version {versions}, lease {act.lease_id}"
        return f"{act.tokens} tokens of {act.column} ({act.data_class}) for {act.system}/{act.table}, {self.at}, with {key} [{self.event}]"

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**self.act.model_dump(mode="json"), "event": self.event, "at": self.at}


@dataclass(frozen=True)
class JobEvidence:
    """Everything an auditor asks about a job, each with the ledger event that proves it."""

    job: str
    key: str
    backend: str
    submitted_at: str
    run: str
    pipeline: str
    requester: str
    requester_method: str
    requester_key: str
    approvers: tuple[str, ...]
    environment: str
    tenant: str
    ticket: str
    secret: str
    secret_version: str
    plan_digest: str
    events: Mapping[str, int]
    re_identified: tuple[RecordedReIdentification, ...]

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "re_identified": [item.as_dict() for item in self.re_identified]}


def re_identifications(ledger: Ledger, run_id: str) -> tuple[RecordedReIdentification, ...]:
    """Each time that a run's tokens were turned back."""
    return tuple(
        RecordedReIdentification(ReIdentification.model_validate(event.data), event.seq, event.at) for event in ledger.events(run_id, "re-identified")
    )


def find_run(ledger: Ledger, text: str) -> str:
    """The identifier of a run from its beginning.

    Raises:
        InputError: No run, or more than one, begins so.
    """
    if not text:
        raise InputError("a run is named by the beginning of its identifier, this is empty", where="RUN", advice="list them with: gatehouse runs")
    found = [row.run_id for row in ledger.runs() if row.run_id.startswith(text)]
    if not found:
        advice = "list them with: gatehouse runs (a new run is there once a worker has taken it up)"
        raise InputError(f"the ledger has no run whose identifier begins with '{text}'", where="RUN", advice=advice)
    if len(found) > 1:
        named = ", ".join(sorted(found)[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
        raise InputError(f"{len(found)} runs begin with '{text}': {named}", where="RUN", advice="give more of the identifier")
    return found[0]


def reason_of(ledger: Ledger, run_id: str) -> str:
    """Why a run ended as it did, in the words of the gate or the person that ended it; empty while it is open."""
    decided = ledger.event(f"{run_id}:ending")
    return str(decided.data.get("reason") or "") if decided is not None else ""


def crossings(ledger: Ledger, run_id: str) -> list[Crossing]:
    """A run's passages through its gates, in order of entering."""
    open_: dict[tuple[str, int | None, int], tuple[int, datetime]] = {}
    found: list[Crossing] = []
    for event in ledger.events(run_id):
        if event.kind not in {"gate-entered", "gate-passed", "gate-failed"}:
            continue
        data, at = event.data, datetime.fromisoformat(event.at)
        number = data.get("round")
        key = (str(data["gate"]), number, event.attempt)
        if event.kind == "gate-entered":
            open_[key] = (len(found), at)
            found.append(Crossing(key[0], None if number is None else number + 1, "entered", None, "", event.attempt))
            continue
        position, began = open_.pop(key, (len(found), at))
        outcome = event.kind.removeprefix("gate-")
        crossing = Crossing(key[0], None if number is None else number + 1, outcome, (at - began).total_seconds(), _note(event), event.attempt)
        if position == len(found):
            found.append(crossing)
        found[position] = crossing
    return found


def _note(event: Event) -> str:
    if event.kind == "gate-failed":
        return str(event.data.get("message", ""))
    value = event.data.get("value") or {}
    if event.data["gate"] == "fetch_credential":
        return f"{value['purpose']}: {value['block'] or 'none needed'}"
    return ""


def plan_of(ledger: Ledger, run_id: str) -> Plan | None:
    """The plan of a run, None before there is one."""
    event = ledger.event(f"{run_id}:plan")
    return Plan.model_validate(event.data["value"]) if event is not None else None


def who(ledger: Ledger, text: str) -> list[JobEvidence]:
    """Evidence of one job by its handle or key, or of every job of a run.

    Raises:
        InputError: Nothing has this name.
    """
    jobs = [event for event in ledger.events(kind="job-submitted") if text in (event.data["job"], event.data["key"])]
    if not jobs:
        run_id = find_run(ledger, text)
        jobs = ledger.events(run_id, "job-submitted")
        if not jobs:
            raise InputError("the run has submitted no job", where=run_id, advice=f"look at: gatehouse show {run_id}")
    return [_evidence(ledger, job) for job in jobs]


def _evidence(ledger: Ledger, job: Event) -> JobEvidence:
    events = ledger.events(job.run_id)
    admit = next(event for event in events if event.event_id == f"{job.run_id}:admit")
    approved = next(event for event in events if event.event_id == f"{job.run_id}:await_approval")
    lease = next(
        event
        for event in events
        if event.data.get("gate") == "fetch_credential" and (event.data.get("value") or {}).get("lease_id") == job.data["lease"]
    )
    manifest, requester = admit.data["value"]["manifest"], admit.data["value"]["requester"]
    record = lease.data["value"]
    return JobEvidence(
        job=str(job.data["job"]),
        key=str(job.data["key"]),
        backend=str(job.data["backend"]),
        submitted_at=job.at,
        run=job.run_id,
        pipeline=manifest["name"],
        requester=requester["person"],
        requester_method=requester["method"],
        requester_key=requester["fingerprint"],
        approvers=tuple(f"{item['person']} ({item['method']})" for item in approved.data["value"]["approvals"]),
        environment=str(job.data["environment"]),
        tenant=manifest["tenant"],
        ticket=manifest["ticket"],
        secret=record["block"] or "none needed",
        secret_version=record["version"],
        plan_digest=approved.data["value"]["plan"]["digest"],
        events={"admitted": admit.seq, "approved": approved.seq, "secret": lease.seq, "submitted": job.seq},
        re_identified=re_identifications(ledger, job.run_id),
    )
