"""What is answered from the ledger: a run's passages, and who submitted a job with which secret and whose approval."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.run.test_approvals import Desk
from tests.support.plans import RUN

from prefect_gatehouse.errors import InputError, Tampered
from prefect_gatehouse.evidence.questions import find_run, passages, reason_of, who
from prefect_gatehouse.ledger.events import EndingDecided, GateEntered, GateFailed, GatePassed
from prefect_gatehouse.ledger.jobs import JobSubmitted
from prefect_gatehouse.manifest.models import Credentials
from prefect_gatehouse.run.values import Plan


class Submitted(Desk):
    """A run with a plan that bob approved, and a job."""

    def __init__(self, folder: Path, *, submit: str | None) -> None:
        super().__init__(folder)
        plan = self.plan(made_at=datetime.now(UTC))
        admitted = plan.admitted
        if submit is not None:
            credentials = Credentials(**{**admitted.manifest.credentials.model_dump(), "submit": submit})
            admitted = admitted.model_copy(update={"manifest": admitted.manifest.model_copy(update={"credentials": credentials})})
        minimised = plan.validated.minimised.model_copy(update={"admitted": admitted})
        validated = plan.validated.model_copy(update={"minimised": minimised})
        needs = tuple(need.model_copy(update={"block": admitted.manifest.credentials.of(need.purpose)}) for need in plan.body.credentials)
        body = plan.body.model_copy(update={"credentials": needs})
        self.approved = Plan(validated=validated, body=body, digest=body.digest(), made_at=plan.made_at)
        for value in (admitted, minimised, validated, self.approved):
            self.attempt.record(value.passage, GatePassed(gate=value.gate, value=self.attempt.chain.stored(value)))
        self.answer(self.approved, "bob")

    def submit(self, lease: str) -> None:
        self.attempt.record("submitted:0:0:0", JobSubmitted(key=f"{RUN}:0:0:0", backend="aer", job="aer-1", lease=lease, environment="local"))

    def fetch(self, lease: str, block: str) -> None:
        value = {"purpose": "submit", "block": block, "version": "7", "lease_id": lease, "expires_at": "2026-01-01T00:00:00Z"}
        self.attempt.record(f"fetch_credential:{lease}", GatePassed(gate="fetch_credential", value=value))


@pytest.fixture
def open_(tmp_path: Path) -> Iterator[Submitted]:
    """A run whose manifest names no secret for submitting."""
    made = Submitted(tmp_path, submit=None)
    yield made
    made.ledger.close()


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[Submitted]:
    """A run that signs in at its provider."""
    made = Submitted(tmp_path, submit="secret/provider")
    yield made
    made.ledger.close()


def test_no_secret_is_an_answer(open_: Submitted) -> None:
    """Where the admitted manifest names none, none was needed, and the admission is the event that says so."""
    open_.submit("")
    (job,) = who(open_.ledger, "aer-1")
    assert (job.secret, job.secret_version, job.events["secret"]) == ("none needed", "", job.events["admitted"])
    assert (job.approvers, job.problems, job.plan_digest) == (("bob (ssh)",), (), open_.approved.digest)
    assert job.events["admitted"] < job.events["approved"] < job.events["submitted"]


def test_the_lease_of_the_job_counts(keyed: Submitted) -> None:
    """Of several leases the one that the job was made with is told, with its version and its event."""
    keyed.fetch("one", "secret/other")
    keyed.fetch("two", "secret/provider")
    keyed.submit("two")
    (job,) = who(keyed.ledger, f"{RUN}:0:0:0")
    found = keyed.attempt.find("fetch_credential:two", GatePassed)
    assert found is not None
    assert (job.secret, job.secret_version, job.events["secret"]) == ("secret/provider", "7", found.seq)


def test_a_lease_that_is_not_there(keyed: Submitted) -> None:
    """A job whose secret no event tells of is no job without a secret."""
    keyed.submit("")
    with pytest.raises(Tampered, match="does not have the secret"):
        who(keyed.ledger, "aer-1")


def test_an_approval_after_the_job_is_none(tmp_path: Path) -> None:
    """Only what was proven before the submission counts; too few are a problem that is told."""
    desk = Submitted(tmp_path, submit=None)
    desk.submit("")
    desk.answer(desk.approved, "eve")
    (job,) = who(desk.ledger, "aer-1")
    assert job.approvers == ("bob (ssh)",)
    desk.ledger.close()


def test_names_of_runs_and_jobs(open_: Submitted) -> None:
    """A run is named by a beginning that only it has; a run without a job says so."""
    with pytest.raises(InputError, match="submitted no job"):
        who(open_.ledger, RUN[:8])
    open_.submit("")
    assert [job.job for job in who(open_.ledger, RUN[:8])] == ["aer-1"]
    open_.ledger.begin_attempt(RUN[:-1] + "f")
    assert find_run(open_.ledger, RUN) == RUN
    for text, said in (("", "this is empty"), ("zz", "no run whose identifier"), (RUN[:8], "2 runs begin with")):
        with pytest.raises(InputError, match=said):
            find_run(open_.ledger, text)


def test_passages_and_their_ends(open_: Submitted) -> None:
    """Each passage is passed, failed with why, or only entered; rounds count from 1, and a second passage is another one."""
    attempt = open_.attempt
    before = len(passages(open_.ledger, RUN))
    attempt.record("entered:a", GateEntered(gate="submit", round=0))
    attempt.record("failed:a", GateFailed(gate="submit", round=0, error="unavailable", message="no answer"))
    attempt.record("entered:b", GateEntered(gate="submit", round=0))
    attempt.record("submit:0", GatePassed(gate="submit", round=0, value={}))
    attempt.record("entered:c", GateEntered(gate="collect", round=0))
    found = [(item.gate, item.round, item.outcome, item.note) for item in passages(open_.ledger, RUN)[before:]]
    assert found == [("submit", 1, "failed", "no answer"), ("submit", 1, "passed", ""), ("collect", 1, "entered", "")]
    assert passages(open_.ledger, RUN)[-1].seconds is None


def test_why_a_run_ended(open_: Submitted) -> None:
    """In the words of who ended it, and empty while it is open."""
    assert reason_of(open_.ledger, RUN) == ""
    open_.attempt.record("ending", EndingDecided(ending="denied", reason="the envelope is used up"))
    assert reason_of(open_.ledger, RUN) == "the envelope is used up"
