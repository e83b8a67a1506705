"""Gate 8: a round's counts are settled once, as they came; a job that failed ends the run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.support.gates import Desk, Fetching
from tests.support.plans import RUN

from prefect_gatehouse.errors import Cancelled, InputError, JobFailed, Superseded, Tampered, Waiting
from prefect_gatehouse.ledger.events import GatePassed
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.interface import JobResult, JobStatus
from prefect_gatehouse.providers.simulator.aer import AerBackend
from prefect_gatehouse.run.counts import counts_of
from prefect_gatehouse.run.values import Plan, RoundOutcome, Submission
from prefect_gatehouse.secrets.lease import LEASE_TIME, CredentialLease
from prefect_gatehouse.tasks.collect import collect
from prefect_gatehouse.tasks.submit import submit


def submitted(desk: Desk) -> Submission:
    approved = desk.approved()
    circuits, summary = desk.first_round(approved.plan)
    return submit.in_round(0, desk.attempt, approved, circuits, summary, 0, Fetching())


def collected(desk: Desk, submission: Submission) -> RoundOutcome:
    return collect.in_round(0, desk.attempt, submission, Fetching())


def test_a_round_is_settled(desk: Desk) -> None:
    """One mapping a circuit, each with all its shots; the outcome names them, and the journal has the job as settled."""
    submission, fetch = submitted(desk), Fetching()
    outcome = collect.in_round(0, desk.attempt, submission, fetch)
    assert (fetch.purposes, outcome.shots, outcome.cost, desk.entries()) == ([Purpose.SUBMIT], 64, 0, [(0, 0, "aer", "settled")])
    assert [sum(counts.values()) for counts in counts_of(desk.attempt, outcome)] == [64] * 3
    with pytest.raises(Tampered, match="not the ones that were collected"):
        counts_of(desk.attempt, outcome.model_copy(update={"counts_digest": "0" * 64}))


def test_results_are_read_with_the_sign_in_that_the_manifest_names_for_it(desk: Desk) -> None:
    """Nothing that makes a job is fetched while a round is waited for; the plan has both sign-ins."""
    desk.change("  tokenise: secret/key", "  tokenise: secret/key\n  submit: secret/makes\n  retrieve: secret/reads")
    submission, fetch = submitted(desk), Fetching()
    collect.in_round(0, desk.attempt, submission, fetch)
    assert fetch.purposes == [Purpose.RETRIEVE]
    (lease,) = [event.fact.value for event in desk.ledger.facts(GatePassed, RUN) if event.fact.gate == "fetch_credential"][-1:]
    assert (lease["purpose"], lease["block"]) == ("retrieve", "secret/reads")
    plan = desk.attempt.chain.read(Plan.gate, Plan)
    assert plan is not None and {each.block for each in plan.body.credentials} >= {"secret/makes", "secret/reads"}


def test_a_job_that_waits_in_a_queue(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for again, as often as the backend says, and its result only when it is ready."""
    submission = submitted(desk)
    states: Iterator[Any] = iter(["queued", "running", "ready"])
    waited: list[float] = []
    monkeypatch.setattr(AerBackend, "status", lambda self, handle, lease: JobStatus(next(states)))
    monkeypatch.setattr("prefect_gatehouse.tasks.collect.time.sleep", waited.append)
    collected(desk, submission)
    assert waited == [0.5, 0.5] and next(states, None) is None


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_job_that_ended_without_a_result(desk: Desk, monkeypatch: pytest.MonkeyPatch, state: Any) -> None:
    """The error names the job; the journal still has it, so that cleaning up finds it."""
    submission = submitted(desk)
    monkeypatch.setattr(AerBackend, "status", lambda self, handle, lease: JobStatus(state))
    with pytest.raises(JobFailed, match=f"has the job as {state}") as caught:
        collected(desk, submission)
    assert (caught.value.job_id, desk.entries()) == (submission.jobs[0].handle, [(0, 0, "aer", "submitted")])


def test_what_is_settled_is_not_asked_for_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process died after a job was settled: the next attempt takes its counts from the journal."""
    submission = submitted(desk)
    with monkeypatch.context() as dying:
        dying.setattr("prefect_gatehouse.run.counts.digest_of", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            collected(desk, submission)
    desk.attempt = desk.next_attempt()
    monkeypatch.setattr(AerBackend, "result", lambda *_: pytest.fail("asked again"))
    assert len(counts_of(desk.attempt, collected(desk, submission))) == 3


def test_the_bill_and_the_calibration_are_the_provider_s(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was billed and how long it took is the outcome's; of the calibration its digest is kept."""
    submission = submitted(desk)
    given = JobResult(({"00": 64},) * 3, 7.0, 2.0, b"calibration", Decimal("0.5"))
    monkeypatch.setattr(AerBackend, "result", lambda *_: given)
    outcome = collected(desk, submission)
    assert (outcome.queue_seconds, outcome.run_seconds, outcome.cost, len(outcome.calibration_sha256)) == (7.0, 2.0, Decimal("0.5"), 64)


def waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that stays in its queue, and a look at the run at every turn."""
    monkeypatch.setattr(AerBackend, "status", lambda self, handle, lease: JobStatus("queued", 41))
    monkeypatch.setattr("prefect_gatehouse.tasks.collect._LOOK_SECONDS", 0.0)


def test_a_queue_longer_than_a_process_waits(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """No failure: the passage stays open, its credential is revoked, and another attempt collects what is ready by then."""
    desk.change("  shots: 64\n", "  shots: 64\n  queue_wait: 1s\n")
    submission = submitted(desk)
    with monkeypatch.context() as queued:
        waiting(queued)
        with pytest.raises(Waiting, match="waits for 1 job at aer") as caught:
            collected(desk, submission)
    assert (caught.value.jobs, caught.value.position, caught.value.resume_at) == (1, 41, None)
    assert desk.gates("gate-failed") == [] and all(lease.revoked for lease in desk.attempt.leases)
    desk.attempt = desk.next_attempt()
    assert collected(desk, submission).shots == 64


def test_cancelled_while_it_waits(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sets the state in Prefect, which stops no process: the gate looks for itself."""
    submission = submitted(desk)
    waiting(monkeypatch)

    def cancelled(attempt: Any, where: str) -> None:
        raise Cancelled("the run was cancelled in Prefect", where=where)

    monkeypatch.setattr("prefect_gatehouse.tasks.collect.refuse_if_stopped", cancelled)
    with pytest.raises(Cancelled):
        collected(desk, submission)


def test_taken_over_while_it_waits(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process drives the run, or somebody abandoned it: this one stops instead of waiting on."""
    submission, old = submitted(desk), desk.attempt
    waiting(monkeypatch)
    desk.next_attempt()
    with pytest.raises(Superseded):
        collect.body(old, submission, lambda *_: CredentialLease(Purpose.SUBMIT, None, None, environment="local", tenant="t"))


def test_no_process_waits_for_longer_than_its_credential(desk: Desk) -> None:
    """Refused in the manifest, where otherwise a lease would end in the middle of the wait and the run with it."""
    desk.change("  shots: 64\n", "  shots: 64\n  queue_wait: 11m\n")
    with pytest.raises(InputError, match="queue_wait"):
        desk.admitted()
    assert timedelta(minutes=10) < LEASE_TIME
