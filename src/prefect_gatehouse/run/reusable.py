"""Results that answer an identical request of the same pipeline without anything being sent, where the manifest says ``execution.reuse``.

A request is identical if its bytes are, for the same device with the same settings and preparation, with as many shots, at the same place of the run
(round and job), of the same tenant, pipeline, environment, class, tier, cell and worker. What answers is proven by the ledger: the run that paid for
it has completed, so its counts have passed every check, the digest of the counts is the one in its ``job-settled`` event, and nothing that it came
from has been in quarantine since.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import Field, ValidationError

from prefect_gatehouse.canonical import digest, sha256_bytes
from prefect_gatehouse.errors import StorageError, Tampered
from prefect_gatehouse.ledger.acts import QuarantineImposed
from prefect_gatehouse.ledger.jobs import JobSettled
from prefect_gatehouse.providers.interface import JobResult
from prefect_gatehouse.run import counts, journal
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.kept_files import KeptFiles
from prefect_gatehouse.run.values import AdmittedRun, Plan
from prefect_gatehouse.value import Digest, Value

FILES = KeptFiles("reuse", "reuse:", "what is kept to answer an identical request")


class KeptResult(Value):
    """What a job gave."""

    request: Digest
    key: str = Field(description="run:round:job:fallback")
    counts: tuple[dict[str, int], ...]
    at: datetime = Field(description="When it was read.")

    @property
    def run_id(self) -> str:
        """The run that paid for it."""
        return self.key.partition(":")[0]

    @property
    def content(self) -> bytes:
        """As the journal settles it."""
        return counts.to_bytes(self.counts)


def request_of(plan: Plan, payload_sha256: str, number: int, job: int, jobs: int) -> str:
    """Names what a job asks of the first backend of a plan.

    Args:
        plan: The plan.
        payload_sha256: Of the bytes that would be sent.
        number: The round. A workload that asks for the same again wants other shots, so no round answers for another one.
        job: Its place in the round.
        jobs: Of the round.
    """
    body, manifest = plan.body, plan.admitted.manifest
    device = body.backends[0]
    return digest(
        {
            "tenant": manifest.tenant,
            "pipeline": manifest.name,
            "environment": manifest.environment,
            "class": body.classes.output_class.value,
            # Counts are worth what kept the workload from making them up.
            "under": [body.tier.name, body.cell, body.tier.worker],
            "backend": [device.name, device.provider, device.version],
            "settings": device.as_set(),
            "prepared": device.prepared.settings if device.prepared is not None else None,
            "shots": body.circuits.shots,
            "payload": payload_sha256,
            "place": [number, job, jobs],
        }
    )


def keep(attempt: Attempt, entry: journal.Entry, result: JobResult) -> None:
    """Keeps what a job of the first backend gave, if the manifest says so; called before the job is settled, and again changes nothing.

    Raises:
        StorageError: The disk does not take it; the job is collected again when the run is resumed.
    """
    admitted = attempt.chain.read(AdmittedRun.gate, AdmittedRun)
    keep_for = admitted.manifest.execution.reuse if admitted is not None else None
    if keep_for is None or entry.fallback:
        return
    plan = attempt.chain.read(Plan.gate, Plan)
    assert plan is not None  # what was submitted was planned
    jobs = sum(not each.fallback for each in journal.entries(attempt, entry.round))
    request = request_of(plan, entry.payload_sha256, entry.round, entry.job, jobs)
    made = KeptResult(request=request, key=entry.key, counts=tuple(dict(each) for each in result.counts), at=datetime.now(UTC))
    FILES.write(attempt, request, plan.admitted.manifest.owner, keep_for, made.model_dump_json().encode())


def find(attempt: Attempt, plan: Plan, number: int, payloads: Sequence[str]) -> list[KeptResult] | None:
    """What an earlier run's round gave that asked for the same, the newest such; None where none is there or may be taken.

    Args:
        attempt: Who asks.
        plan: Approved.
        number: The round.
        payloads: SHA-256 of what each job would send.

    Raises:
        Tampered: What was kept is not what the ledger says.
    """
    longest = plan.admitted.manifest.execution.reuse
    if longest is None:
        return None
    requests = [request_of(plan, payload, number, job, len(payloads)) for job, payload in enumerate(payloads)]
    now = datetime.now(UTC)
    first, *others = [
        [uri.removeprefix(FILES.scheme).partition("/")[0] for uri in FILES.named(attempt.ledger, request, now.timestamp())] for request in requests
    ]
    for run_id in first:
        if all(run_id in runs for runs in others) and _may_answer(attempt, plan, run_id):
            found = [_read(attempt, run_id, request) for request in requests]
            doubtful = _doubted_since(attempt, plan, run_id)
            whole = [each for each in found if each is not None and now - each.at <= longest and (doubtful is None or each.at > doubtful)]
            if len(whole) == len(requests):
                return whole
    return None


def _may_answer(attempt: Attempt, plan: Plan, run_id: str) -> bool:
    """Whether a run was this pipeline's of this tenant, and its results passed every check."""
    row, manifest = attempt.ledger.run(run_id), plan.admitted.manifest
    ours = (manifest.tenant, manifest.name, manifest.environment)
    return row is not None and row.ending == "completed" and (row.tenant, row.pipeline, row.environment) == ours


def _doubted_since(attempt: Attempt, plan: Plan, run_id: str) -> datetime | None:
    """When device, tenant, pipeline or whoever asked for the run were last put into quarantine, released since or not: what is older may be why."""
    row, manifest = attempt.ledger.run(run_id), plan.admitted.manifest
    device = plan.body.backends[0].name
    about = {
        ("tenant", manifest.tenant),
        ("pipeline", manifest.name),
        ("principal", row.requester if row is not None else ""),
        ("backend", device),
        ("backend", device.partition("/")[0]),
    }
    imposed = [event.when for event in attempt.ledger.facts(QuarantineImposed) if (event.fact.scope, event.fact.name) in about]
    return max(imposed, default=None)


def _read(attempt: Attempt, run_id: str, request: str) -> KeptResult | None:
    uri = f"{FILES.scheme}{run_id}/{request}"
    try:
        kept = KeptResult.model_validate_json(FILES.read(attempt.settings, uri))
    except StorageError:  # another host's home has it, or it is gone: the round is sent
        return None
    except ValidationError:
        raise Tampered("what was kept does not read", where=uri, advice="run: gatehouse verify") from None
    settled = attempt.ledger.find(f"{run_id}:settled:{kept.key.partition(':')[2]}", JobSettled)
    if kept.request != request or kept.run_id != run_id or settled is None or settled.fact.result_sha256 != sha256_bytes(kept.content):
        raise Tampered("what was kept is not what the job gave", where=uri, advice="run: gatehouse verify")
    return kept
