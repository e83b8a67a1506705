"""The ways a run ends that nobody drives: expired, cancelled, deleted, abandoned; what lives on; and what can still be resumed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.states import Cancelled, Cancelling, Completed, Crashed, Running, Scheduled, Suspended
from tests.support.pipeline import APPROVER
from tests.support.slow import SLOW

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.flows.clean_up import sweep
from prefect_gatehouse.ledger.projection import SILENT_SECONDS
from prefect_gatehouse.operate import runs as control


def set_state(run_id: str, state: Any) -> None:
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(run_id), state, force=True)


def delete(run_id: str) -> None:
    with get_client(sync_client=True) as client:
        client.delete_flow_run(UUID(run_id))


def in_its_rounds(make_pipeline: Callable[..., Any], **order: Any) -> tuple[Any, str, threading.Thread]:
    """A run whose process has collected the first of its rounds and works on."""
    pipeline = make_pipeline(workload=SLOW, rehearsal="skip")
    run_id = pipeline.start()
    pipeline.approved(run_id)
    driver = threading.Thread(target=pipeline.process, args=(run_id,), kwargs=order)
    driver.start()
    until = time.monotonic() + 60
    while not pipeline.ledger.event(f"{run_id}:collect:0") and time.monotonic() < until:
        time.sleep(0.05)
    assert pipeline.ledger.event(f"{run_id}:collect:0")
    return pipeline, run_id, driver


def ended(pipeline: Any, run_id: str, ending: str) -> None:
    """Closed in the ledger, nothing left, nothing submitted, and no way back."""
    assert pipeline.ledger.run(run_id).ending == ending
    assert (pipeline.left_behind(), pipeline.rows()) == ([], [])
    receipt = pipeline.ledger.event(f"{run_id}:clean_up").data["value"]
    assert receipt["key_shredded"] and all(item["deleted"] for item in receipt["deletions"])
    with pytest.raises(InputError, match="closed"):
        control.resume(pipeline.ledger, run_id)
    size = pipeline.ledger.size()
    pipeline.restart(run_id)
    pipeline.process(run_id)
    assert pipeline.ledger.size() == size  # whatever state somebody sets in Prefect


def test_nobody_decides_in_time(pipeline: Any) -> None:
    """The approval window passes: the sweeper expires the run and cleans up; a minute earlier it does not."""
    run_id = pipeline.start()
    pipeline.process(run_id)
    closes = pipeline.ledger.run(run_id).wait_until
    assert sweep(pipeline.settings, now=closes - 60) == []
    assert [row["ending"] for row in sweep(pipeline.settings, now=closes + 1)] == ["expired"]
    assert pipeline.state(run_id).name == "Expired"
    ended(pipeline, run_id, "expired")


def test_a_late_answer_counts_for_nothing(pipeline: Any) -> None:
    """An authentic approval after the sweeper expired the run does not bring it back."""
    run_id = pipeline.start()
    pipeline.process(run_id)
    settings = pipeline.settings.model_copy(update={"identity": pipeline.keys[APPROVER]})
    proof = control.sign_answer(settings, pipeline.ledger, run_id, "approve")
    sweep(pipeline.settings, now=pipeline.ledger.run(run_id).wait_until + 1)
    with pytest.raises(InputError, match="does not wait"):
        control.answer(run_id, "approve", proof=proof)
    ended(pipeline, run_id, "expired")


def test_cancelled_while_suspended(pipeline: Any) -> None:
    """Prefect runs no hook for a run that is cancelled while suspended: the sweeper cleans up."""
    run_id = pipeline.start()
    pipeline.process(run_id)
    set_state(run_id, Cancelled())
    assert [row["ending"] for row in sweep(pipeline.settings)] == ["cancelled"]
    ended(pipeline, run_id, "cancelled")


def test_cancelled_while_running(make_pipeline: Any) -> None:
    """A state set directly stops no process; the gate before the next effect asks for it, and the run cleans up."""
    pipeline, run_id, driver = in_its_rounds(make_pipeline)
    set_state(run_id, Cancelled())
    driver.join()
    assert len(pipeline.ledger.events(run_id, "job-submitted")) == 1
    ended(pipeline, run_id, "cancelled")


def test_not_resumed_in_time(pipeline: Any) -> None:
    """A failed run keeps its encrypted artifacts until the tier's window has passed; then the sweeper abandons it."""
    run_id = pipeline.start()
    pipeline.process(run_id, fail="plan")
    assert pipeline.left_behind() != []
    until = pipeline.ledger.run(run_id).wait_until
    assert 23 * 3600 < until - time.time() <= 24 * 3600
    assert sweep(pipeline.settings, now=until - 60) == []
    assert [row["ending"] for row in sweep(pipeline.settings, now=until + 1)] == ["abandoned"]
    ended(pipeline, run_id, "abandoned")


def test_resumed_too_late(pipeline: Any) -> None:
    """Behind its end, and before the sweeper: nobody resumes it, and a process that is started all the same opens nothing and ends it."""
    pipeline.manifest.write_text(f"{pipeline.manifest.read_text()}retention: {{artifacts: 1s}}\n")
    run_id = pipeline.start()
    pipeline.process(run_id, fail="plan")
    time.sleep(max(0.0, pipeline.ledger.run(run_id).wait_until - time.time()))
    with pytest.raises(InputError, match="the time in which it could be resumed is over"):
        control.resume(pipeline.ledger, run_id)
    pipeline.restart(run_id)
    pipeline.process(run_id)
    ended(pipeline, run_id, "abandoned")
    assert pipeline.ledger.event(f"{run_id}:plan") is None


def test_a_dead_process_is_abandoned_too(pipeline: Any) -> None:
    """A crashed run that nobody restarts is over when its window has passed."""
    run_id = pipeline.start()
    pipeline.process(run_id, kill={"event": "minimise", "side": "before"})
    set_state(run_id, Crashed())
    assert sweep(pipeline.settings) == []
    assert [row["ending"] for row in sweep(pipeline.settings, now=time.time() + 25 * 3600)] == ["abandoned"]
    ended(pipeline, run_id, "abandoned")


def test_a_decided_ending_is_finished_by_the_sweeper(pipeline: Any) -> None:
    """The process died after it had decided that the run is rejected: the sweeper ends it as rejected, not as abandoned."""
    run_id = pipeline.start()
    pipeline.process(run_id)
    pipeline.answer(run_id, "reject")
    pipeline.process(run_id, kill={"event": "ending", "side": "after"})
    set_state(run_id, Crashed())
    assert sweep(pipeline.settings) == []  # its last sign of life is too young: Prefect's word is not enough
    assert [row["ending"] for row in sweep(pipeline.settings, now=time.time() + SILENT_SECONDS + 1)] == ["rejected"]
    ended(pipeline, run_id, "rejected")


@pytest.mark.parametrize("state", [Running, Scheduled, Completed, Crashed], ids=lambda state: state.__name__)
def test_a_forced_state_keeps_nothing_open_and_closes_nothing(pipeline: Any, state: Any) -> None:
    """Whatever state somebody sets on a waiting run: a minute before its time it waits, a minute after it is expired and gone."""
    run_id = pipeline.start()
    pipeline.process(run_id)
    set_state(run_id, state())
    closes = pipeline.ledger.run(run_id).wait_until
    assert sweep(pipeline.settings, now=closes - 60) == []
    assert [row["ending"] for row in sweep(pipeline.settings, now=closes + 1)] == ["expired"]
    assert pipeline.state(run_id).is_final()
    ended(pipeline, run_id, "expired")


def test_deleted_in_prefect_while_it_waits(pipeline: Any) -> None:
    """Nobody can answer it any more: the next sweep ends it, and its artifacts are gone at once."""
    run_id = pipeline.start()
    pipeline.process(run_id)
    delete(run_id)
    assert [row["ending"] for row in sweep(pipeline.settings)] == ["cancelled"]
    assert pipeline.ledger.run(run_id).ending == "cancelled"
    assert pipeline.left_behind() == []


def test_another_server_has_deleted_nothing(pipeline: Any) -> None:
    """A sweep that asks a server which does not even know the run's flow believes nobody that the run was deleted."""
    later = time.time() + SILENT_SECONDS + 60
    for flow in (str(uuid4()), ""):
        pipeline.ledger.begin_attempt(str(uuid4()), prefect_flow=flow)
    assert sweep(pipeline.settings, now=later) == []
    assert [row["ending"] for row in sweep(pipeline.settings, now=later + 24 * 3600)] == ["abandoned", "abandoned"]


def test_deleted_in_prefect_while_it_runs(make_pipeline: Any) -> None:
    """A sweep leaves the living process alone; that looks before the next effect, submits nothing more and cleans up."""
    pipeline, run_id, driver = in_its_rounds(make_pipeline)
    delete(run_id)
    assert sweep(pipeline.settings) == []
    driver.join()
    assert "Traceback" not in pipeline.log.read_text()
    assert len(pipeline.ledger.events(run_id, "job-submitted")) == 1
    assert pipeline.ledger.run(run_id).ending == "cancelled"
    assert (pipeline.left_behind(), pipeline.rows()) == ([], [])


@pytest.mark.parametrize("state", [Cancelling, Crashed, Completed], ids=lambda state: state.__name__)
def test_a_living_process_is_left_alone(make_pipeline: Any, state: Any) -> None:
    """Prefect calls the run dead, ended or about to be, but its heart beats: a sweep does not touch it."""
    pipeline, run_id, driver = in_its_rounds(make_pipeline)
    set_state(run_id, state())
    attempt = pipeline.ledger.run(run_id).attempt
    assert sweep(pipeline.settings) == []
    assert pipeline.ledger.run(run_id).attempt == attempt
    driver.join()


def test_a_dead_process_in_a_state_that_was_forced_to_running(pipeline: Any) -> None:
    """Prefect has it as running for ever; the ledger misses its signs of life and abandons it when its window has passed."""
    run_id = pipeline.start()
    pipeline.process(run_id, kill={"event": "minimise", "side": "before"})
    set_state(run_id, Running())
    last = pipeline.ledger.run(run_id).last_sign
    assert sweep(pipeline.settings, now=last + 24 * 3600 - 60) == []
    assert [row["ending"] for row in sweep(pipeline.settings, now=last + 24 * 3600 + 60)] == ["abandoned"]
    assert pipeline.state(run_id).is_final()
    ended(pipeline, run_id, "abandoned")


def test_suspended_by_hand(make_pipeline: Any) -> None:
    """Suspend in mid-run: ledger and command say that it was by hand; resumed, it goes on where it was and completes."""
    pipeline, run_id, driver = in_its_rounds(make_pipeline)
    set_state(run_id, Suspended(timeout_seconds=3600))
    with pytest.raises(InputError, match="by hand"):
        control.resume(pipeline.ledger, run_id)  # not while its process still works
    driver.join()
    row = pipeline.ledger.run(run_id)
    assert (row.status, row.ending) == ("suspended", None)
    assert f"gatehouse resume {run_id[:8]}" in row.message and "by hand" in row.message
    with pytest.raises(InputError, match="resume"):
        control.answer(run_id, "approve", proof="none")
    assert sweep(pipeline.settings, now=row.wait_until - 60) == []
    control.resume(pipeline.ledger, run_id)
    assert pipeline.ledger.run(run_id).status == "scheduled"
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.state(run_id)
    assert len(pipeline.ledger.events(run_id, "job-submitted")) == 2
    assert pipeline.left_behind() == []


def test_suspended_by_hand_and_forgotten(make_pipeline: Any) -> None:
    """Nobody resumes it: it is abandoned when its window has passed, though Prefect has it as suspended."""
    pipeline, run_id, driver = in_its_rounds(make_pipeline)
    set_state(run_id, Suspended(timeout_seconds=3600))
    driver.join()
    until = pipeline.ledger.run(run_id).wait_until
    assert [row["ending"] for row in sweep(pipeline.settings, now=until + 1)] == ["abandoned"]
    ended(pipeline, run_id, "abandoned")


def test_abandoned_by_hand(pipeline: Any) -> None:
    """`gatehouse abandon` ends a suspended run at once, in Prefect too."""
    run_id = pipeline.start()
    pipeline.process(run_id)
    receipt = control.abandon(pipeline.settings, pipeline.ledger, run_id)
    assert receipt.ending == "abandoned"
    assert pipeline.state(run_id).is_cancelled()
    ended(pipeline, run_id, "abandoned")


def test_what_can_be_resumed_and_what_not(pipeline: Any) -> None:
    """A waiting run is for its approvers; a running one needs the word that it is dead; a failed one goes on where it stopped."""
    run_id = pipeline.start()
    with pytest.raises(InputError, match="Scheduled"):
        control.resume(pipeline.ledger, run_id)
    pipeline.process(run_id, kill={"event": "minimise", "side": "after"})
    with pytest.raises(InputError, match="--dead"):
        control.resume(pipeline.ledger, run_id)
    control.resume(pipeline.ledger, run_id, dead=True)
    pipeline.process(run_id)
    with pytest.raises(InputError, match="waits for an approval"):
        control.resume(pipeline.ledger, run_id)
    pipeline.answer(run_id)
    pipeline.process(run_id, fail="validate_output")
    control.resume(pipeline.ledger, run_id)
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).ending == "completed"
    entered = [event.data["gate"] for event in pipeline.ledger.events(run_id, "gate-entered")]
    assert entered.count("minimise") == 1  # passed before the death, not again after it
    assert entered.count("validate_output") == 2
