"""Gate 7: approvals, plan and policy are asked again before a credential is fetched, and one backend at a time gets the round."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.gates import Desk, Fetching
from tests.support.plans import RUN

from prefect_gatehouse.errors import Ambiguous, Denied, Expired, GatehouseError, PlanChanged, Waiting
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.interface import DeviceState
from prefect_gatehouse.providers.simulator.aer import AerBackend
from prefect_gatehouse.run.values import ApprovedPlan, Submission
from prefect_gatehouse.tasks.submit import submit


def submitted(desk: Desk, approved: ApprovedPlan, fetch: Fetching) -> Submission:
    circuits, summary = desk.first_round(approved.plan)
    return submit.in_round(0, desk.attempt, approved, circuits, summary, 0, fetch)


def test_a_round_on_the_first_backend(desk: Desk) -> None:
    """One job, under the run's key, after the decision; a second call gives the stored submission and makes none."""
    approved, fetch = desk.approved(), Fetching()
    made = submitted(desk, approved, fetch)
    assert (made.label, made.plan_digest, made.round, [job.key for job in made.jobs]) == ("primary", approved.plan.digest, 0, [f"{RUN}:0:0:0"])
    assert submitted(desk, approved, fetch) == made
    assert fetch.purposes == [Purpose.SUBMIT] and desk.entries() == [(0, 0, "aer", "submitted")]
    kinds = [event.kind for event in desk.ledger.events(RUN)]
    assert kinds.index("submission-intended") < kinds.index("job-submitted")
    assert [event.data["action"] for event in desk.ledger.events(RUN, "policy-decided")][-1] == "submit"


def changed_workload(desk: Desk, approved: ApprovedPlan) -> ApprovedPlan:
    desk.write("def solve(features, parameters):\n    yield [QuantumCircuit(1, 1)]\n")
    return approved


def too_late(desk: Desk, approved: ApprovedPlan) -> ApprovedPlan:
    return approved.model_copy(update={"decided_at": approved.decided_at - timedelta(hours=1, seconds=1)})


def revoked_approver(desk: Desk, approved: ApprovedPlan) -> ApprovedPlan:
    People(desk.settings.people_folder()).revoke("bob")
    return approved


STOPPED: dict[str, tuple[Callable[[Desk, ApprovedPlan], ApprovedPlan], type[GatehouseError], str]] = {
    "workload": (changed_workload, PlanChanged, "changed since the approval: workload"),
    "deadline": (too_late, Expired, "the approval's deadline has passed"),
    "approver": (revoked_approver, Denied, "revoked since"),
}


@pytest.mark.parametrize("name", STOPPED)
def test_what_was_approved_no_longer_stands(desk: Desk, name: str) -> None:
    """Refused before a credential is fetched: nothing is intended, nothing was sent."""
    change, error, words = STOPPED[name]
    approved, fetch = desk.approved(), Fetching()
    circuits, summary = desk.first_round(approved.plan)
    with pytest.raises(error, match=words):
        submit.in_round(0, desk.attempt, change(desk, approved), circuits, summary, 0, fetch)
    assert (fetch.purposes, desk.entries()) == ([], [])


def refusing(self: AerBackend, payload: bytes, key: str, lease: Any) -> str:
    raise Denied("no room", where="aer")


def test_the_next_backend_after_a_definite_refusal(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first says no: its job is written off, and the round is on the second, which the label tells."""
    desk = Desk(tmp_path)
    monkeypatch.setattr(AerBackend, "submit", refusing)
    made = submitted(desk, desk.approved(), Fetching())
    assert (made.label, {job.backend for job in made.jobs}) == ("fallback", {"braket-local"})
    assert [state for _, _, backend, state in desk.entries() if backend == "aer"] == ["refused"]
    desk.ledger.close()


def test_every_backend_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none left: the run is denied, and what was reserved is given back."""
    monkeypatch.setattr(AerBackend, "submit", refusing)
    with pytest.raises(Denied, match="every backend of the plan refused"):
        submitted(desk, desk.approved(), Fetching())
    assert desk.entries() == [(0, 0, "aer", "refused")]


def test_an_answer_that_was_lost(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can tell whether the job exists: it is never sent again, by this attempt or another, until a person has looked."""
    approved = desk.approved()
    sent: list[str] = []

    def lost(self: AerBackend, payload: bytes, key: str, lease: Any) -> str:
        sent.append(key)
        raise Ambiguous("no answer", where="aer")

    monkeypatch.setattr(AerBackend, "submit", lost)
    for _ in range(2):
        with pytest.raises(Ambiguous):
            submitted(desk, approved, Fetching())
        desk.attempt = desk.next_attempt()
    assert (sent, desk.entries()) == ([f"{RUN}:0:0:0"], [(0, 0, "aer", "ambiguous")])


def state(online: bool = True, queue: int | None = 0) -> Callable[..., DeviceState]:
    return lambda self, lease: DeviceState(online, queue, None, b"")


@pytest.mark.parametrize(("found", "because"), [(state(online=False), "offline"), (state(queue=8), "queue")])
def test_a_backend_that_is_passed_over(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, found: Any, because: str) -> None:
    """Offline, or with a longer queue than the manifest takes: nothing is intended there, the next one has the round, and it stays there."""
    desk = Desk(tmp_path)
    desk.change("  shots: 64\n", "  shots: 64\n  max_queue: 7\n")
    approved = desk.approved()
    with monkeypatch.context() as away, pytest.MonkeyPatch.context() as dying:
        away.setattr(AerBackend, "state", found)
        dying.setattr("prefect_gatehouse.run.journal.submitted", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            submitted(desk, approved, Fetching())
    (event,) = desk.ledger.events(RUN, "backend-passed-over")
    assert (event.data["backend"], event.data["because"]) == ("aer", because)
    desk.attempt = desk.next_attempt()  # by now the first one is back: a second job on it would be paid twice
    assert (submitted(desk, approved, Fetching()).label, {entry[2] for entry in desk.entries()}) == ("fallback", {"braket-local"})
    desk.ledger.close()


def test_no_backend_takes_it_now(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an ending: the run waits, and is tried again; a queue that nobody tells of is none."""
    approved = desk.approved()
    with monkeypatch.context() as away:
        away.setattr(AerBackend, "state", state(online=False, queue=None))
        with pytest.raises(Waiting, match="no backend takes the round now: aer is offline") as caught:
            submitted(desk, approved, Fetching())
    assert caught.value.resume_at is not None and desk.entries() == []
    desk.attempt = desk.next_attempt()
    monkeypatch.setattr(AerBackend, "state", state(queue=None))
    assert submitted(desk, approved, Fetching()).label == "primary"


def hours(opens: int, closes: int) -> str:
    """A window of the manifest, in hours from now."""
    now = datetime.now(UTC)
    first, last = (f"{now + timedelta(hours=each):%H:%M}" for each in (opens, closes))
    return f'  shots: 64\n  window: {{opens: "{first}", closes: "{last}"}}\n'


def test_outside_of_the_window(desk: Desk) -> None:
    """It waits until the window opens, before a credential is fetched; where that is after the deadline, it says so and ends."""
    desk.change("  shots: 64\n", hours(2, 3))
    desk.change("deadline: 1h", "deadline: 3h")
    approved, fetch = desk.approved(), Fetching()
    with pytest.raises(Waiting, match=r"waits until .* UTC: jobs are submitted from") as caught:
        submitted(desk, approved, fetch)
    assert 3600 < (caught.value.resume_at or 0) - datetime.now(UTC).timestamp() <= 7200 and (fetch.purposes, desk.entries()) == ([], [])
    late = approved.model_copy(update={"decided_at": approved.decided_at - timedelta(hours=2)})
    circuits, summary = desk.first_round(approved.plan)
    with pytest.raises(Expired, match="deadline comes first"):
        submit.in_round(0, desk.attempt, late, circuits, summary, 0, fetch)


def test_within_the_window(desk: Desk) -> None:
    """Then it is no matter."""
    desk.change("  shots: 64\n", hours(-1, 1))
    assert submitted(desk, desk.approved(), Fetching()).label == "primary"
