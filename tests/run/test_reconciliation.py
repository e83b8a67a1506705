"""Jobs that nobody waits for: in a dozen calls they are all asked about, their runs go on, and what ended runs left is put away until nothing is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prefect_gatehouse.errors import Unavailable
from prefect_gatehouse.evidence.questions import open_obligations
from prefect_gatehouse.flows.ending import end
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.ledger.charges import month_of
from prefect_gatehouse.ledger.events import RunInterrupted, RunQueued
from prefect_gatehouse.ledger.jobs import JobClosed, JobGone, JobLeft, JobSubmitted, JobUnknown, ProviderAsked, SpendingDiffered
from prefect_gatehouse.ledger.note import VerifierKey
from prefect_gatehouse.ledger.spending import Used, used
from prefect_gatehouse.ledger.verify import verify
from prefect_gatehouse.run import journal
from prefect_gatehouse.tasks.submit import submit
from prefect_gatehouse.testing import BraketEmulator
from prefect_gatehouse.testing.braket import MACHINE
from tests.support.braket_gates import BACKEND, desk_at, look, queue
from tests.support.gates import Desk, Fetching
from tests.support.plans import RUN

ACTION = json.dumps({"braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"}, "source": "OPENQASM 3.0; qubit[1] q; x q[0];"})


@pytest.fixture
def make(tmp_path: Path, braket: BraketEmulator) -> Iterator[Callable[..., Desk]]:
    with ExitStack() as open_:

        def made(**more: Any) -> Desk:
            desk = desk_at(tmp_path, braket, **more)
            open_.callback(desk.ledger.close)
            return desk

        yield made


@pytest.fixture
def desk(make: Callable[..., Desk]) -> Desk:
    return make()


def proven(desk: Desk) -> None:
    """The ledger holds: what was derived on the way is what the events say."""
    desk.attempt.seal()
    found = verify(desk.ledger, VerifierKey.parse((desk.settings.home / "ledger.vkey").read_text()))
    assert found.ok, found.problems


def used_now(desk: Desk) -> Used:
    with desk.ledger.reading() as connection:
        return used(connection, month_of(time.time()), "test-tenant")


def task(braket: BraketEmulator, desk: Desk, key: str) -> str:
    """A task that carries a key, made by whoever."""
    where = {"outputS3Bucket": desk.blocks["braket-device/garnet-eu"]["bucket"], "outputS3KeyPrefix": "x"}
    asked = {"deviceArn": MACHINE, "shots": 1, "action": ACTION, "clientToken": key, "tags": {"gatehouse-key": key}, **where}
    return str(braket.client("braket").create_quantum_task(**asked)["quantumTaskArn"])


def test_a_run_waits_without_a_process_and_goes_on(desk: Desk, braket: BraketEmulator) -> None:
    """Suspended while its job is queued, named to go on once it has ended, and then the same task gives the result."""
    braket.conduct(queue_seconds=600)
    waiting = queue(desk)
    assert (waiting.where, waiting.jobs, waiting.position, waiting.retry) == (BACKEND, 1, 0, True)
    assert all(lease.revoked for lease in desk.attempt.leases)
    row = desk.attempt.row()
    assert (row.status, row.message) == ("queued", f"waits for 1 job at {BACKEND} (queued, 0 before it)")
    assert look(desk).ready == []
    braket.conduct(queue_seconds=0)
    braket.wait(lambda state: all(each["status"] == "COMPLETED" for each in state["tasks"]))
    (ready,) = look(desk).ready
    assert ready.run_id == RUN
    desk.attempt = desk.next_attempt()
    run_rounds(desk.attempt, desk.approved())
    assert [entry[3] for entry in desk.entries()] == ["settled", "settled"] and len(braket.tasks()) == 2
    asked = desk.ledger.facts(ProviderAsked)
    assert [event.fact.jobs for event in asked] == [1, 1] and {event.fact.block for event in asked} == {"secret/aws"}
    proven(desk)


def test_a_thousand_open_jobs(desk: Desk, braket: BraketEmulator) -> None:
    """They hold no process, and a round asks about all of them in fewer than 30 calls; one that ended is found among them."""
    braket.conduct(queue_seconds=3600)
    desk.planned()
    prices = [Decimal("0.3")] * 1000
    payloads = [(b"p", 1, f"{job:064x}") for job in range(1000)]
    told = {"round_number": 0, "fallback": 0, "backend": BACKEND, "prices": prices, "cap": Decimal(1000), "jobs_cap": 1000}
    entries = journal.intend(desk.attempt, payloads, **told)
    braket.client("braket")
    with ThreadPoolExecutor(4) as pool:
        handles = list(pool.map(lambda entry: task(braket, desk, entry.key), entries))
    with desk.attempt.effect() as tx:
        for entry, handle in zip(entries, handles, strict=True):
            journal._move(tx, entry, "submitted", handle=handle)
            fact = JobSubmitted(key=entry.key, backend=BACKEND, job=handle, environment="local")
            desk.attempt.append(tx, journal._name("submitted", entry.key), fact)
        desk.attempt.append(tx, f"queued:{desk.attempt.number}", RunQueued(message="waits", backend=BACKEND, jobs=1000, until=time.time() + 3600))
    before = sum(braket.state()["calls"].values())
    found = look(desk)
    calls = sum(braket.state()["calls"].values()) - before
    assert (found.asked, found.ready, found.told) == (1000, [], [])
    assert calls < 30, calls


def submitted(desk: Desk, braket: BraketEmulator) -> None:
    braket.conduct(queue_seconds=600)
    approved = desk.approved()
    circuits, summary = desk.first_round(approved.plan)
    submit.in_round(0, desk.attempt, approved, circuits, summary, 0, Fetching())


def test_what_could_not_be_cancelled_is_until_it_is(desk: Desk, braket: BraketEmulator) -> None:
    """An obligation with a reservation that nobody gives back, until the service answers: cancelled, nothing billed, the obligation met."""
    submitted(desk, braket)
    braket.fault("CancelQuantumTask", "error", times=6)
    receipt = end(desk.attempt, "cancelled")
    assert receipt.jobs_cancelled == 0 and len(receipt.obligations) == 1
    assert used_now(desk).reserved > 0
    assert open_obligations(desk.ledger, RUN, receipt.obligations) == list(receipt.obligations)
    still = look(desk)  # away for one more round
    assert [row["done"] for row in still.told] == ["left"] and len(desk.ledger.facts(JobLeft)) == 1
    done = look(desk)
    assert [row["done"] for row in done.told] == ["cancelled, 0 USD; obligation met"]
    assert [each["status"] for each in braket.tasks()] == ["CANCELLED"]
    (closed,) = desk.ledger.facts(JobClosed)
    assert (closed.fact.outcome, closed.fact.basis, len(desk.ledger.facts(JobGone))) == ("cancelled", "billed", 1)
    assert used_now(desk) == Used(0, 0)
    assert look(desk).told == [] and open_obligations(desk.ledger, RUN, receipt.obligations) == []
    proven(desk)


def test_too_late_to_cancel_is_billed(desk: Desk, braket: BraketEmulator) -> None:
    """It had run by the time anybody could cancel it: the bill takes the place of the reservation, and its files go."""
    submitted(desk, braket)
    braket.fault("CancelQuantumTask", "error", times=3)
    end(desk.attempt, "abandoned")
    braket.conduct(queue_seconds=0)
    (ended,) = braket.wait(lambda state: state["tasks"][0]["status"] == "COMPLETED")["tasks"]
    assert len(look(desk).told) == 1
    (closed,) = desk.ledger.facts(JobClosed)
    assert (closed.fact.outcome, closed.fact.cost_usd) == ("too-late", Decimal(ended["billed"]))
    assert used_now(desk) == Used(0, int(Decimal(ended["billed"]) * 10_000))
    assert "Contents" not in braket.client("s3").list_objects_v2(Bucket=desk.blocks["braket-device/garnet-eu"]["bucket"])
    proven(desk)


def test_cancelled_with_the_run(desk: Desk, braket: BraketEmulator) -> None:
    """Where the service answers, the run's own end does it all, and nothing is left to do or to pay."""
    submitted(desk, braket)
    receipt = end(desk.attempt, "cancelled")
    assert (receipt.jobs_cancelled, receipt.obligations, desk.ledger.facts(JobLeft)) == (1, (), [])
    assert used_now(desk) == Used(0, 0) and look(desk).told == []
    proven(desk)


def test_a_job_whose_handle_was_lost(desk: Desk, braket: BraketEmulator) -> None:
    """The process died between the job and its handle, and the run was abandoned: the job is found by its key and cancelled."""
    braket.conduct(queue_seconds=600)
    approved = desk.approved()
    circuits, summary = desk.first_round(approved.plan)
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(journal, "submitted", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            submit.in_round(0, desk.attempt, approved, circuits, summary, 0, Fetching())
    end(desk.next_attempt(), "abandoned")
    assert [event.fact.why for event in desk.ledger.facts(JobLeft)] == [f"a job may exist at {BACKEND}; look it up and cancel it"]
    assert [row["done"] for row in look(desk).told] == ["cancelled, 0 USD; obligation met"]
    assert [each["status"] for each in braket.tasks()] == ["CANCELLED"]
    assert [entry.handle for entry in journal.entries(desk.attempt)] == [braket.tasks()[0]["arn"]]
    proven(desk)


def test_a_job_that_was_never_made(desk: Desk, braket: BraketEmulator) -> None:
    """Nothing was sent: an hour later nobody looks any longer, and its reservation is given back."""
    approved = desk.approved()
    circuits, summary = desk.first_round(approved.plan)
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr("prefect_gatehouse.tasks.submit._sent", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            submit.in_round(0, desk.attempt, approved, circuits, summary, 0, Fetching())
    end(desk.next_attempt(), "abandoned")
    assert [row["done"] for row in look(desk).told] == ["left"] and used_now(desk).reserved > 0
    with pytest.MonkeyPatch.context() as later:
        later.setattr("prefect_gatehouse.run.left_jobs._HIDDEN_SECONDS", 0.0)
        assert [row["done"] for row in look(desk).told] == ["never-made, 0 USD; obligation met"]
    assert used_now(desk) == Used(0, 0)
    proven(desk)


def test_jobs_that_nobody_can_explain(desk: Desk, braket: BraketEmulator) -> None:
    """One of an unknown key, and a second one for a key of ours: told once each, and touched by nobody."""
    submitted(desk, braket)
    end_of_none = look(desk)
    assert end_of_none.told == []  # its run is driven by a process, which looks for itself
    queued = RunQueued(message="waits", backend=BACKEND, jobs=1, until=time.time() + 3600)
    desk.attempt.record(f"queued:{desk.attempt.number}", queued)
    strangers = {task(braket, desk, f"{RUN}:9:9:0"), task(braket, desk, "elsewhere:0:0:0")}
    (mine,) = journal.entries(desk.attempt)
    braket.client("braket").tag_resource(resourceArn=next(iter(strangers)), tags={"gatehouse-key": mine.key})
    assert {row["about"] for row in look(desk).told} == strangers
    assert {event.fact.job for event in desk.ledger.facts(JobUnknown)} == strangers
    look(desk)
    assert len(desk.ledger.facts(JobUnknown)) == 2 and {each["status"] for each in braket.tasks()} == {"QUEUED"}
    proven(desk)


def test_a_policy_that_says_no(desk: Desk, braket: BraketEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credential is read against the policy of the day; what can't be done is said, and tried again."""
    submitted(desk, braket)
    braket.fault("CancelQuantumTask", "error", times=3)
    end(desk.attempt, "cancelled")
    calls = sum(braket.state()["calls"].values())
    monkeypatch.setattr("prefect_gatehouse.run.reconciliation.ask_secret", denied)
    assert [row["done"] for row in look(desk).told] == ["not asked"]
    assert sum(braket.state()["calls"].values()) == calls and desk.ledger.facts(ProviderAsked) == []


def denied(*_: object) -> None:
    from prefect_gatehouse.errors import Denied

    raise Denied("no", where="policy")


def test_a_run_that_waits_for_an_hour(desk: Desk) -> None:
    """It is named when the hour has come, not before, and no provider is asked."""
    desk.planned()
    at = time.time() + 60
    desk.attempt.record(f"queued:{desk.attempt.number}", RunQueued(message="waits", resume_at=at, until=at + 60))
    assert look(desk, at - 1).ready == [] and [row.run_id for row in look(desk, at).ready] == [RUN]


def test_an_outage_while_it_waits(desk: Desk, braket: BraketEmulator) -> None:
    """The provider was away, so the run failed: it goes on by itself once its job has ended, and one that failed at anything else does not."""
    braket.conduct(queue_seconds=600)
    approved = desk.approved()
    braket.fault("GetQuantumTask", "error", times=3)
    with pytest.raises(Unavailable) as caught:
        run_rounds(desk.attempt, approved)
    assert caught.value.retry
    desk.attempt.record(f"interrupted:{desk.attempt.number}", RunInterrupted(status="failed", message="away", until=time.time() + 9000))
    assert look(desk).ready == []
    braket.conduct(queue_seconds=0)
    braket.wait(lambda state: state["tasks"][0]["status"] == "COMPLETED")
    assert [row.run_id for row in look(desk).ready] == [RUN]
    assert look(desk, time.time() + 4000).ready == []  # after the deadline nothing is tried by itself
    desk.attempt = desk.next_attempt()
    desk.attempt.record(f"interrupted:{desk.attempt.number}", RunInterrupted(status="failed", message="disk", until=time.time() + 9000))
    assert look(desk).ready == []


def limit(braket: BraketEmulator) -> None:
    """The service's own limit of the device, for this day and the next."""
    now = datetime.now(UTC)
    period = {"startAt": now - timedelta(days=1), "endAt": now + timedelta(days=1)}
    braket.client("braket").create_spending_limit(clientToken="0" * 64, deviceArn=MACHINE, spendingLimit="100", timePeriod=period)


def asked_for_figures(braket: BraketEmulator) -> int:
    return int(braket.state()["calls"].get("SearchSpendingLimits", 0))


def test_figures_are_compared(desk: Desk, braket: BraketEmulator) -> None:
    """With the jobs, in one call: while ours waits and when it is billed the figures agree; a stranger's task is a difference, an event once."""
    limit(braket)
    braket.conduct(queue_seconds=600)
    queue(desk)
    before = asked_for_figures(braket)
    assert look(desk).told == [] and asked_for_figures(braket) - before == 1
    task(braket, desk, "elsewhere:0:0:0")
    for _ in range(2):
        assert [(row["about"], row["done"]) for row in look(desk).told if row["done"] != "unknown"] == [(BACKEND, "spending differs")]
    (event,) = desk.ledger.facts(SpendingDiffered)
    assert (event.fact.backend, event.fact.theirs_usd - event.fact.ours_usd) == (BACKEND, Decimal("0.30145"))
    proven(desk)


def test_figures_of_a_device_that_nobody_waits_for(desk: Desk, braket: BraketEmulator) -> None:
    """Once an hour, and with the credential and under the policy of the run that used it last; no call where nobody used it this month."""
    limit(braket)
    look(desk)
    assert asked_for_figures(braket) == 0
    submitted(desk, braket)
    end(desk.attempt, "cancelled")
    before, later = asked_for_figures(braket), time.time()
    for now in (later, later + 60, later + 3000, later + 3700):
        assert look(desk, now).told == []
    asked = 2 if month_of(later) == month_of(later + 3700) else 1  # in the month that has begun since nobody used it
    assert asked_for_figures(braket) - before == asked
    assert [(event.fact.block, event.fact.jobs) for event in desk.ledger.facts(ProviderAsked)] == [("secret/aws", 0)] * asked
    proven(desk)


def test_figures_that_nobody_tells(desk: Desk, braket: BraketEmulator) -> None:
    """The credential may not ask: said, and the run goes on all the same."""
    limit(braket)
    braket.conduct(queue_seconds=600)
    queue(desk)
    braket.conduct(queue_seconds=0)
    braket.wait(lambda state: all(each["status"] == "COMPLETED" for each in state["tasks"]))
    braket.fault("SearchSpendingLimits", "error", code="AccessDeniedException", status=403, times=5)
    found = look(desk)
    assert [row["done"] for row in found.told] == ["not compared"] and [row.run_id for row in found.ready] == [RUN]
