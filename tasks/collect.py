"""Gate 8: waits for a round's jobs and stores their counts, sealed, in Qiskit bit order."""

from __future__ import annotations

import time
from decimal import Decimal

from prefect_gatehouse.canonical import digest, sha256_bytes
from prefect_gatehouse.errors import JobFailed, Tampered
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.interface import Backend, Progress
from prefect_gatehouse.run import counts, journal, reproducible
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.credentials import Fetch
from prefect_gatehouse.run.values import AdmittedRun, Job, RoundOutcome, Submission
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.tasks.tagging import tag_flow_run


@gate(RoundOutcome)
def collect(attempt: Attempt, submission: Submission, fetch: Fetch) -> RoundOutcome:
    """Waits for every job of a round and settles it in the journal.

    Raises:
        JobFailed: The backend reports a job as failed.
        Unavailable: The provider does not answer.
    """
    tag_flow_run(attempt, (submission,))
    queue = run = 0.0
    cost = Decimal(0)
    calibrations: list[str] = []
    report = attempt.progress(f"round {submission.round + 1}: circuits executed")
    total, done = submission.circuits.count, 0
    open_entries = {entry.key: entry for entry in journal.entries(attempt, submission.round) if entry.state == "submitted"}
    with fetch(attempt, _admitted(attempt), Purpose.SUBMIT) as lease:
        for job in submission.jobs:
            entry = open_entries.get(job.key)
            if entry is not None:
                backend = attempt.backend(job.backend)
                _until_ready(backend, job, lease)
                result = backend.result(job.handle, lease, _offset(report, done, total))
                queue, run, cost = max(queue, result.queue_seconds), run + result.run_seconds, cost + result.cost
                if result.calibration:
                    calibrations.append(sha256_bytes(result.calibration))
                reproducible.keep(attempt, entry, result)
                journal.settled(attempt, entry, counts.to_bytes(result.counts), result.cost)
            done += job.circuits
            report(done, total)
    return RoundOutcome(
        submission=submission,
        counts_digest=counts.digest_of(attempt, submission.round),
        shots=submission.circuits.shots,
        queue_seconds=queue,
        run_seconds=run,
        calibration_sha256=digest(calibrations) if calibrations else "",
        cost=cost,
    )


def _until_ready(backend: Backend, job: Job, lease: CredentialLease) -> None:
    """Waits while the job is in the provider's queue or runs there.

    Raises:
        JobFailed: It failed, or somebody cancelled it.
    """
    while (status := backend.status(job.handle, lease)).state in {"queued", "running"}:
        time.sleep(backend.facts(lease).poll_seconds)
    if status.state != "ready":
        raise JobFailed(f"the provider has the job as {status.state}", where=job.backend, job_id=job.handle, advice="start a new run")


def _offset(report: Progress, before: int, total: int) -> Progress:
    """One job's progress as part of the round's."""
    return lambda done, _: report(before + done, total)


def _admitted(attempt: Attempt) -> AdmittedRun:
    admitted = attempt.chain.read(AdmittedRun.gate, AdmittedRun)
    if admitted is None:
        raise Tampered("the run was never admitted", where="collect", advice="run: gatehouse verify")
    return admitted
