"""Answers from the ledger: what a run's gates did, and which identity submitted a job, from where, with which secret, for which ticket."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from prefect_gatehouse.errors import InputError, Tampered
from prefect_gatehouse.evidence.services import Served, served_by
from prefect_gatehouse.ledger.answers import LongLivedKeyUsed
from prefect_gatehouse.ledger.events import (
    AttemptStarted,
    EndingDecided,
    GateEntered,
    GateFact,
    GateFailed,
    GatePassed,
    PackagesInstalled,
    RanUnder,
    ReIdentified,
)
from prefect_gatehouse.ledger.jobs import JobClosed, JobGone, JobLeft, JobSubmitted
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.proven import RecordedConsent, approvals_of, missing_approvals, missing_releases, releases_of
from prefect_gatehouse.run.values import AdmittedRun, Plan
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.secrets.lease_record import LeaseRecord


@dataclass(frozen=True)
class Passage:
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
class StartedAttempt:
    """A process that drove a run.

    Attributes:
        attempt: Its number.
        started: When, UTC.
        under: What it ran under; None where nobody told.
        versions: Each distribution that was installed, as ``name==version``.
    """

    attempt: int
    started: datetime
    under: RanUnder | None
    versions: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON, flat."""
        under = self.under.model_dump(mode="json") if self.under is not None else {}
        return {"attempt": self.attempt, "started": self.started.isoformat(), **under, "versions": list(self.versions)}


def attempts_of(ledger: Ledger, run_id: str) -> list[StartedAttempt]:
    """Every process that drove a run, in order; what an event leaves out because an earlier one says it is filled in."""
    told: dict[int, RanUnder] = {}
    found = []
    for event in ledger.facts(AttemptStarted, run_id):
        under = event.fact.under if event.fact.as_attempt is None else told.get(event.fact.as_attempt)
        if under is not None:
            told[event.attempt] = under
        packages = ledger.find(f"packages:{under.packages}", PackagesInstalled) if under is not None else None
        found.append(StartedAttempt(event.attempt, event.when, under, packages.fact.versions if packages is not None else ()))
    return found


@dataclass(frozen=True)
class RecordedReIdentification:
    """Tokens of a run that were turned back, with the ledger event that proves it.

    Attributes:
        act: What was turned back, for which target, with which secret.
        event: Number of the event.
        at: When it was written down, before it happened.
    """

    act: ReIdentified
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
    requester_is_service: bool
    approvers: tuple[str, ...]
    released_by: tuple[str, ...]
    environment: str
    tenant: str
    ticket: str
    secret: str
    secret_version: str
    plan_digest: str
    events: Mapping[str, int]
    re_identified: tuple[RecordedReIdentification, ...]
    long_lived_keys: tuple[str, ...]
    services: tuple[Served, ...]
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        listed = {"re_identified": [item.as_dict() for item in self.re_identified], "services": [item.as_dict() for item in self.services]}
        return {**asdict(self), **listed}


def re_identifications(ledger: Ledger, run_id: str) -> tuple[RecordedReIdentification, ...]:
    """Each time that a run's tokens were turned back."""
    return tuple(RecordedReIdentification(event.fact, event.seq, event.at) for event in ledger.facts(ReIdentified, run_id=run_id))


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
    decided = ledger.find(f"{run_id}:ending", EndingDecided)
    return decided.fact.reason if decided is not None else ""


def passages(ledger: Ledger, run_id: str) -> list[Passage]:
    """A run's passages through its gates, in order of entering."""
    open_: dict[tuple[str, int | None, int], tuple[int, datetime]] = {}
    found: list[Passage] = []
    for event in ledger.facts(GateFact, run_id=run_id):
        fact, at, number = event.fact, event.when, event.fact.round
        key = (fact.gate, number, event.attempt)
        if isinstance(fact, GateEntered):
            open_[key] = (len(found), at)
            found.append(Passage(key[0], None if number is None else number + 1, "entered", None, "", event.attempt))
            continue
        position, began = open_.pop(key, (len(found), at))
        outcome = event.kind.removeprefix("gate-")
        passage = Passage(key[0], None if number is None else number + 1, outcome, (at - began).total_seconds(), _note(fact), event.attempt)
        if position == len(found):
            found.append(passage)
        found[position] = passage
    return found


def _note(fact: GateFact) -> str:
    if isinstance(fact, GateFailed):
        return fact.message
    if isinstance(fact, GatePassed) and fact.gate == CredentialLease.gate:
        record = LeaseRecord.model_validate(fact.value)
        return f"{record.purpose.value}: {record.block or 'none needed'}" + (f", as {record.service}" if record.service else "")
    return ""


def open_obligations(ledger: Ledger, run_id: str, told: Iterable[str] = ()) -> list[str]:
    """What is still open of a run that has ended, each as ``what: why``.

    Args:
        ledger: The open ledger.
        run_id: The run.
        told: Those of its receipt; what was met since is left out.
    """
    gone = {event.fact.key for event in ledger.facts(JobGone, run_id=run_id)}
    left = {event.fact.key: f"{event.fact.key}: {event.fact.why}" for event in ledger.facts(JobLeft, run_id=run_id)}
    others = [item for item in told if item.partition(": ")[0] not in left]
    return [*(item for key, item in left.items() if key not in gone), *others]


def closed_jobs(ledger: Ledger, run_id: str) -> list[JobClosed]:
    """What became of the jobs that were open when the run ended."""
    return [event.fact for event in ledger.facts(JobClosed, run_id=run_id)]


def long_lived_keys(ledger: Ledger, run_id: str) -> list[str]:
    """Who signed with a long-lived key where the tier has that reported, in words."""
    did = {
        "request": "asked for the run",
        "approve": "approved it",
        "reject": "rejected it",
        "write_back": "released its outcome",
        "withhold": "withheld its outcome",
    }
    found = ledger.facts(LongLivedKeyUsed, run_id=run_id)
    return [f"{each.fact.person} {did[each.fact.act]} with the long-lived key {each.fact.fingerprint} [{each.seq}]" for each in found]


def recorded_plan(ledger: Ledger, run_id: str) -> Plan | None:
    """The plan of a run, None before there is one.

    Raises:
        Tampered: The ledger's values do not go on from one another.
    """
    return Chain(ledger, run_id).read(Plan.gate, Plan)


def who(ledger: Ledger, text: str) -> list[JobEvidence]:
    """Evidence of one job by its handle or key, or of every job of a run.

    Raises:
        InputError: Nothing has this name.
    """
    jobs = [event for event in ledger.facts(JobSubmitted) if text in (event.fact.job, event.fact.key)]
    if not jobs:
        run_id = find_run(ledger, text)
        jobs = ledger.facts(JobSubmitted, run_id=run_id)
        if not jobs:
            raise InputError("the run has submitted no job", where=run_id, advice=f"look at: gatehouse show {run_id}")
    return [_evidence(ledger, job) for job in jobs]


def _evidence(ledger: Ledger, job: Event[JobSubmitted]) -> JobEvidence:
    chain = Chain(ledger, job.run_id)
    plan = chain.read(Plan.gate, Plan)
    if plan is None:
        raise Tampered("the ledger does not have what led to this job", where=job.fact.key, advice="run: gatehouse verify")
    admitted = plan.admitted
    approvals, releases = approvals_of(ledger, job.run_id), releases_of(ledger, job.run_id)
    proven = [approval for approval in approvals if not approval.problem and approval.event.seq < job.seq]
    admission = ledger.find(f"{job.run_id}:{AdmittedRun.gate}", GatePassed)
    assert admission is not None  # the plan goes on from it
    released = [each for each in releases if not each.problem]
    missing = [*missing_approvals(ledger, job.run_id, approvals), *filter(None, [missing_releases(ledger, job.run_id, releases)])]
    secret, version, told = _secret(ledger, job, plan)
    return JobEvidence(
        job=job.fact.job,
        key=job.fact.key,
        backend=job.fact.backend,
        submitted_at=job.at,
        run=job.run_id,
        pipeline=admitted.manifest.name,
        requester=admitted.requester.person,
        requester_method=admitted.requester.method,
        requester_key=admitted.requester.fingerprint,
        approvers=_names(proven),
        released_by=_names(released),
        requester_is_service=admitted.requester.service,
        environment=job.fact.environment,
        tenant=admitted.manifest.tenant,
        ticket=admitted.manifest.ticket,
        secret=secret,
        secret_version=version,
        plan_digest=plan.digest,
        events={
            "admitted": admission.seq,
            "approved": proven[-1].event.seq if proven else 0,
            "secret": told or admission.seq,
            "submitted": job.seq,
            **({"released": released[-1].event.seq} if released else {}),
        },
        re_identified=re_identifications(ledger, job.run_id),
        long_lived_keys=tuple(long_lived_keys(ledger, job.run_id)),
        services=served_by(ledger, job.run_id),
        problems=tuple(f"{each}; run: gatehouse verify" for each in missing),
    )


def _names(given: Iterable[RecordedConsent]) -> tuple[str, ...]:
    """Who, and how that was proven."""
    return tuple(f"{item.event.fact.person} ({item.event.fact.method})" for item in given)


def releases_in_words(ledger: Ledger, run_id: str) -> list[str]:
    """Who released what was, or will be, written back, in words; what proves nothing is told as such.

    Raises:
        Tampered: The outcome in the ledger is not what was stored.
    """
    found = releases_of(ledger, run_id)
    return [
        f"{name}, {item.event.at} [{item.event.seq}]" + (f"; it {item.problem}" if item.problem else "")
        for item, name in zip(found, _names(found), strict=True)
    ]


def _secret(ledger: Ledger, job: Event[JobSubmitted], plan: Plan) -> tuple[str, str, int]:
    """With which secret a job was submitted, its version, and the event that tells; 0 where the admitted manifest says that none is needed."""
    if next(need.block for need in plan.body.credentials if need.purpose is Purpose.SUBMIT) is None:
        return "none needed", "", 0
    for event in ledger.facts(GatePassed, run_id=job.run_id):
        if event.fact.gate == CredentialLease.gate:
            record = LeaseRecord.model_validate(event.fact.value)
            if record.lease_id == job.fact.lease:
                return record.block or "none needed", record.version, event.seq
    raise Tampered("the ledger does not have the secret of this job", where=job.fact.key, advice="run: gatehouse verify")
