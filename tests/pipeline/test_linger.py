"""A process that stays for the answer: it goes on with its run itself, once, and leaves no trace where it does not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import Log, StateType
from prefect.states import Cancelled, Pending, Suspended
from tests.support.pipeline import Pipeline
from tests.support.slow import SLOW
from tests.support.waiting import wait_for

from prefect_gatehouse.ledger.events import AttemptStarted, RunEnded, RunSuspended
from prefect_gatehouse.operate import runs as control
from prefect_gatehouse.workload.hashing import SEED
from prefect_gatehouse.workload.runner.choose import strongest

STAYS = {"GATEHOUSE_LINGER_SECONDS": "120"}


@contextmanager
def staying(pipeline: Pipeline, run_id: str, **order: Any) -> Iterator[dict[str, Any]]:
    """A process that drives a run and stays; what it ended with is in the mapping when the block is left."""
    ended: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: ended.update(pipeline.process(run_id, env=dict(STAYS), **order)))
    thread.start()
    try:
        pipeline.wait_paused(run_id, seconds=120)
        yield ended
    finally:
        thread.join(timeout=200)
    assert not thread.is_alive()


def _state(run_id: str) -> StateType | None:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(UUID(run_id)).state_type


def _task_states(run_id: str) -> dict[str, StateType | None]:
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[UUID(run_id)])))
    return {each.name: each.state_type for each in runs}


def _logs(run_id: str) -> list[Log]:
    """What Prefect's log has of the run itself, in order."""
    with get_client(sync_client=True) as client:
        found = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[UUID(run_id)])), limit=200)
    return sorted((each for each in found if each.task_run_id is None), key=lambda each: each.timestamp)


def test_an_answer_within_the_minute_needs_no_second_process(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline = make_pipeline()
    run_id = pipeline.start()
    with staying(pipeline, run_id) as ended:
        pipeline.answer(run_id)
    assert ended == {"signal": 0, "exit": 0}
    row = pipeline.ledger.run(run_id)
    assert row is not None
    assert (row.ending, row.attempt) == ("completed", 2)
    assert _state(run_id) is StateType.COMPLETED
    assert len(pipeline.ledger.facts(RunEnded, run_id)) == 1


def test_an_engine_that_stayed_has_told_prefect_all(make_pipeline: Callable[..., Pipeline], stack: Any) -> None:
    """Started as a worker starts it, it ends when its run has its state, past threads of Prefect's that sleep; all that is to be told was told.

    What its gates do not use it has not imported: frames are made, and circuits built and drawn, in cells.
    """
    pipeline = make_pipeline()
    run_id = pipeline.start()
    surroundings = {**os.environ, **stack.environment, **STAYS, "GATEHOUSE_HOME": str(pipeline.home), "PYTHONHASHSEED": SEED}
    surroundings |= {"PREFECT__FLOW_RUN_ID": run_id, "PREFECT_LOGGING_LEVEL": "INFO", "PYTHONPROFILEIMPORTTIME": "1"}
    command, log = [sys.executable, "-m", "prefect.engine"], pipeline.folder / "engine.log"
    with log.open("wb") as out, subprocess.Popen(command, env=surroundings, cwd=pipeline.folder, stdout=out, stderr=out) as engine:
        try:
            cells = list[float]()
            wait_for(lambda: _waits(engine, run_id, cells), seconds=120)
            if engine.poll() is None:
                pipeline.answer(run_id)
            engine.wait(timeout=120)
        finally:
            engine.kill()
    printed, imported = _told(log.read_text())
    assert engine.returncode == 0, printed
    assert len(pipeline.ledger.facts(RunEnded, run_id)) == 1, printed
    # Prefect's engine would say this, once what it runs has come back to it.
    assert not any(word in printed for word in ("aborted by orchestrator", "Traceback")), printed
    assert _state(run_id) is StateType.COMPLETED
    assert _task_states(run_id)["write_back"] is StateType.COMPLETED
    assert any("Finished in state Completed" in each.message for each in _logs(run_id))
    if strongest() == "bubblewrap":  # its first cell imports while the engine imports the flow
        assert min(cells) < _begun(run_id) - 0.05, (cells, _begun(run_id))
        assert {"prefect_gatehouse.flows.lifecycle", "pyarrow"} <= imported
        unused = {"pandas.core.frame", "qiskit.circuit", "qiskit_aer.backends", "great_expectations", "hvac", "braket.circuits"}
        assert imported & unused == set()  # that pandas itself was looked for, and not found, is told as well


def _told(log: str) -> tuple[str, set[str]]:
    """What a process said, and the modules that it imported, as ``-X importtime`` tells them."""
    lines = log.splitlines()
    modules = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    return "\n".join(line for line in lines if not line.startswith("import time:")), modules


def _waits(engine: subprocess.Popen[bytes], run_id: str, cells: list[float]) -> bool:
    """Whether an engine's run waits, or the engine has ended; keeps when its cells were started."""
    cells += _starts_of_cells(engine.pid)
    return engine.poll() is not None or _state(run_id) is StateType.PAUSED


def _begun(run_id: str) -> float:
    with get_client(sync_client=True) as client:
        started = client.read_flow_run(UUID(run_id)).start_time
    assert started is not None
    return started.timestamp()


def _starts_of_cells(pid: int) -> list[float]:
    """When the cells were started that a process has now, in seconds since 1970, to a hundredth."""
    booted, found = time.time() - float(Path("/proc/uptime").read_text().split()[0]), []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it has ended, or the child has
            for child in children.read_text().split():
                name, _, told = Path(f"/proc/{child}/stat").read_text().partition("(")[2].rpartition(")")
                if name == "bwrap":
                    found.append(booted + int(told.split()[19]) / os.sysconf("SC_CLK_TCK"))
    return found


def test_an_answer_before_prefect_s_event_that_the_run_waits(make_pipeline: Callable[..., Pipeline]) -> None:
    """A busy server's events come late, and stop whichever engine drives the run by then; it begins again, and each thing is done once."""
    pipeline = make_pipeline()
    run_id = pipeline.start()
    with staying(pipeline, run_id, told_late=1.5) as ended:
        pipeline.answer(run_id)
    row = pipeline.ledger.run(run_id)
    assert row is not None
    assert (ended, row.ending, row.attempt in (2, 3)) == ({"signal": 0, "exit": 0}, "completed", True)
    assert _state(run_id) is StateType.COMPLETED
    assert (len(pipeline.ledger.events(run_id, "job-submitted")), len(pipeline.ledger.facts(RunEnded, run_id))) == (2, 1)


def test_a_wrong_answer_is_judged_and_asked_again_by_the_same_process(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline = make_pipeline()
    run_id = pipeline.start()
    with staying(pipeline, run_id) as ended:
        pipeline.answer(run_id, proof="no proof at all")
        wait_for(lambda: len(pipeline.ledger.facts(RunSuspended, run_id)) >= 2)
        pipeline.answer(run_id)
    assert ended == {"signal": 0, "exit": 0}
    row = pipeline.ledger.run(run_id)
    assert row is not None
    assert (row.ending, row.attempt) == ("completed", 3)


def test_somebody_quicker_drives_the_run_alone(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline = make_pipeline()
    run_id = pipeline.start()
    with staying(pipeline, run_id), get_client(sync_client=True) as client:
        # As a worker takes it: answered and pending in one breath, before this process looks again.
        client.set_flow_run_state(UUID(run_id), Pending(), force=True)
    assert len(pipeline.ledger.facts(AttemptStarted, run_id)) == 1


def test_somebody_quicker_at_a_second_question(make_pipeline: Callable[..., Pipeline]) -> None:
    """The run waited again and was taken by another process: the one that stayed leaves it alone, and does not begin once more."""
    pipeline = make_pipeline()
    run_id = pipeline.start()
    with staying(pipeline, run_id) as ended:
        pipeline.answer(run_id, proof="no proof at all")
        wait_for(lambda: len(pipeline.ledger.facts(RunSuspended, run_id)) >= 2)
        pipeline.wait_paused(run_id)
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(UUID(run_id), Pending(), force=True)
    assert ended == {"signal": 0, "exit": 0}
    assert len(pipeline.ledger.facts(AttemptStarted, run_id)) == 2
    assert _state(run_id) is StateType.PENDING


def test_a_cancelled_run_is_left(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline = make_pipeline()
    run_id = pipeline.start()
    with staying(pipeline, run_id), get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(run_id), Cancelled(), force=True)
    assert _state(run_id) is StateType.CANCELLED
    assert len(pipeline.ledger.facts(AttemptStarted, run_id)) == 1


@pytest.mark.parametrize(("deadly", "end"), [("SIGTERM", {"signal": 0, "exit": 0}), ("SIGKILL", {"signal": 9, "exit": 0})])
def test_told_to_stop_it_leaves_a_run_that_waits(make_pipeline: Callable[..., Pipeline], deadly: str, end: dict[str, int]) -> None:
    pipeline = make_pipeline()
    run_id = pipeline.start()
    with staying(pipeline, run_id, kill={"staying": deadly}) as ended:
        pass
    assert ended == end
    assert _state(run_id) is StateType.PAUSED
    pipeline.answer(run_id)
    pipeline.process(run_id)
    row = pipeline.ledger.run(run_id)
    assert row is not None
    assert (row.ending, row.attempt) == ("completed", 2)


def test_what_was_changed_while_it_stayed_is_noticed(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline = make_pipeline()
    run_id = pipeline.start()
    with staying(pipeline, run_id):
        workload = pipeline.manifest.parent / "workload.py"
        workload.write_text(workload.read_text() + "\n# another\n")
        pipeline.answer(run_id)
    row = pipeline.ledger.run(run_id)
    assert row is not None
    assert (row.ending, row.attempt) == ("denied", 2)


def test_suspended_by_hand_where_it_went_on(make_pipeline: Callable[..., Pipeline]) -> None:
    """The engine that a process begins by itself watches no events of Prefect's: the next gate asks, and the run stops there and can be resumed."""
    pipeline = make_pipeline(workload=SLOW, rehearsal="skip")
    run_id = pipeline.start()
    with staying(pipeline, run_id) as ended:
        pipeline.answer(run_id)
        wait_for(lambda: pipeline.ledger.event(f"{run_id}:collect:0"), every=0.05)
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(UUID(run_id), Suspended(timeout_seconds=3600), force=True)
    assert ended == {"signal": 0, "exit": 0}
    row = pipeline.ledger.run(run_id)
    assert row is not None
    assert (row.status, row.ending, row.attempt) == ("suspended", None, 2)
    assert "by hand" in row.message
    assert _state(run_id) is StateType.PAUSED
    control.resume(pipeline.ledger, run_id)
    pipeline.process(run_id)
    row = pipeline.ledger.run(run_id)
    assert row is not None
    assert row.ending == "completed"
    assert len(pipeline.ledger.events(run_id, "job-submitted")) == 2
