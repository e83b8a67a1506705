"""Gate 8: waits for a round's jobs and stores their counts, sealed, in Qiskit bit order.

A process waits for minutes (``execution.queue_wait``); where the queue is longer the run is suspended, and comes back to this gate once its jobs
have ended.
"""

from __future__ import annotations

import time

from prefect_gatehouse.canonical import digest, sha256_bytes
from prefect_gatehouse.errors import JobFailed, Superseded, Tampered, Waiting
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.plurals import counted
from prefect_gatehouse.providers.interface import Backend, Progress
from prefect_gatehouse.run import counts, journal, reproducible, reusable
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.credentials import Fetch
from prefect_gatehouse.run.values import AdmittedRun, Job, RoundOutcome, Submission
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.tasks.round_page import Queue
from prefect_gatehouse.tasks.stopped import refuse_if_stopped
from prefect_gatehouse.tasks.tagging import tag_flow_run

_LOOK_SECONDS = 5.0  # between two looks whether the run was cancelled: as soon as a person would look again


@gate(RoundOutcome)
def collect(attempt: Attempt, submission: Submission, fetch: Fetch) -> RoundOutcome:
    """Waits for every job of a round and settles it in the journal.

    Raises:
        Waiting: The jobs are in a queue for longer than a process waits.
        Cancelled: Somebody cancelled the run meanwhile.
        JobFailed: The backend reports a job as failed.
        Unavailable: The provider does not answer.
    """
    queue = run = 0.0
    calibrations: list[str] = []
    report = attempt.progress(f"round {submission.round + 1}: circuits executed")
    total, done = submission.circuits.count, 0
    open_entries = {entry.key: entry for entry in journal.entries(attempt, submission.round) if entry.state == "submitted"}
    admitted = _admitted(attempt)
    backends = {name: attempt.backend(name) for name in {job.backend for job in submission.jobs if job.key in open_entries}}
    patience = _Patience(attempt, submission, time.monotonic() + admitted.manifest.execution.queue_wait.total_seconds())
    purpose = Purpose.SUBMIT if admitted.manifest.credentials.retrieve is None else Purpose.RETRIEVE
    with fetch(attempt, admitted, purpose) as lease:
        for job in submission.jobs:
            entry = open_entries.get(job.key)
            if entry is not None:
                backend = backends[job.backend]
                patience.until_ready(backend, job, lease, len(open_entries))
                result = backend.result(job.handle, lease, _offset(report, done, total))
                queue, run = max(queue, result.queue_seconds), run + result.run_seconds
                if result.calibration:
                    calibrations.append(sha256_bytes(result.calibration))
                reproducible.keep(attempt, entry, result)
                reusable.keep(attempt, entry, result)
                journal.settled(attempt, entry, counts.to_bytes(result.counts), result.cost)
                del open_entries[job.key]
            done += job.circuits
            report(done, total)
    return RoundOutcome(
        submission=submission,
        counts_digest=counts.digest_of(attempt, submission.round),
        shots=submission.circuits.shots,
        queue_seconds=queue,
        run_seconds=run,
        calibration_sha256=digest(calibrations) if calibrations else "",
        cost=journal.cost_of(attempt, submission.round),
    )


class _Patience:
    """How long this process waits for the jobs of a round, all in all."""

    def __init__(self, attempt: Attempt, submission: Submission, until: float) -> None:
        self._attempt, self._submission, self._until = attempt, submission, until
        self._waited = False
        self._look = time.monotonic() + _LOOK_SECONDS

    def until_ready(self, backend: Backend, job: Job, lease: CredentialLease, left: int) -> None:
        """Waits while the job is in the provider's queue or runs there.

        Args:
            backend: Where.
            job: The job.
            lease: Signs in.
            left: Jobs of the round that are not settled.

        Raises:
            Waiting: For longer than this process waits.
            Cancelled: Somebody cancelled the run meanwhile.
            Superseded: Another process drives the run, or it was closed.
            JobFailed: The job failed, or somebody cancelled it.
        """
        queue = Queue(job)
        while not (status := backend.status(job.handle, lease)).ended:
            if not self._waited:  # now somebody may look where the run is; as the process leaves, the tags are set anyway
                self._waited = True
                tag_flow_run(self._attempt, (self._submission,))
            queue.tell(status)
            if time.monotonic() >= self._until:
                place = f", {status.position} before it" if status.position is not None else ""
                message = f"waits for {counted(left, 'job')} at {job.backend} ({status.state}{place})"
                raise Waiting(message, where=job.backend, jobs=left, position=status.position)
            self._refuse_to_wait()
            time.sleep(backend.facts(lease).poll_seconds)
        if status.state != "ready":
            raise JobFailed(f"the provider has the job as {status.state}", where=job.backend, job_id=job.handle, advice="start a new run")

    def _refuse_to_wait(self) -> None:
        if time.monotonic() < self._look:
            return
        self._look = time.monotonic() + _LOOK_SECONDS
        refuse_if_stopped(self._attempt, "collect")
        row = self._attempt.row()
        if row.attempt != self._attempt.number or row.ending is not None:
            raise Superseded("another process drives this run, or it was closed", where="collect", advice="nothing to do: this process stops")


def _offset(report: Progress, before: int, total: int) -> Progress:
    """One job's progress as part of the round's."""
    return lambda done, _: report(before + done, total)


def _admitted(attempt: Attempt) -> AdmittedRun:
    admitted = attempt.chain.read(AdmittedRun.gate, AdmittedRun)
    if admitted is None:
        raise Tampered("the run was never admitted", where="collect", advice="run: gatehouse verify")
    return admitted
