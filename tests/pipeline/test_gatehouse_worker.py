"""The worker type ``gatehouse`` against a real Prefect server: whole runs, cancelling, and a worker that dies."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.support.pipeline import ROWS
from tests.support.slow import SLOW
from tests.support.sweeps import over, scheduled
from tests.support.waiting import wait_for

from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.ledger.answers import ApprovalGiven
from prefect_gatehouse.ledger.events import AttemptStarted, GateEntered, OrdersIgnored, RunRequested, RunTaken, WorkloadRan
from prefect_gatehouse.ledger.jobs import JobSubmitted
from prefect_gatehouse.operate import runs as control

pytestmark = pytest.mark.timeout(400)

# It waits for ever in its cell; nobody outside can tell it to go on.
PATIENT = """
import time


def solve(features, parameters):
    while True:
        time.sleep(0.05)
    yield []
"""


def ended(pipeline: Any, run_id: str) -> Any:
    """Waits for the run's end, and gives its row."""

    def over() -> Any:
        row = pipeline.ledger.run(run_id)
        return row if row is not None and row.status in {"ended", "failed"} else None

    return wait_for(over)


def forks(run_id: str) -> list[int]:
    """Processes that drive a run: a scheduled clean-up may have its own beside them; a child that is about to run something else has their name."""
    found = {}
    for place in Path("/proc").iterdir():
        with suppress(OSError):
            if place.name.isdigit() and place.joinpath("comm").read_text().strip() == f"gh-{run_id}"[:15]:
                found[int(place.name)] = parent(int(place.name))
    return [process for process, above in found.items() if above not in found]


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def entered(pipeline: Any, run_id: str) -> bool:
    """Whether the workload is being driven: its gate was entered, and the run's process has a cell."""
    planning = any(each.fact.gate == "plan" for each in pipeline.ledger.facts(GateEntered, run_id))
    return planning and any(has_a_child(process) for process in forks(run_id))


def has_a_child(process: int) -> bool:
    for place in Path("/proc").iterdir():
        with suppress(OSError):
            if place.name.isdigit() and parent(int(place.name)) == process:
                return True
    return False


def test_a_whole_run_in_forks(warm: Any) -> None:
    """Two forked processes, each with the worker's proof; the request is held once; a job follows the approval in seconds."""
    pipeline = warm("whole")
    run_id = pipeline.start()
    pipeline.wait_paused(run_id, 120)  # the worker warms up meanwhile
    pipeline.answer(run_id)
    assert ended(pipeline, run_id).ending == "completed", pipeline.ledger.run(run_id)
    assert len(pipeline.rows()) == ROWS
    wait_for(lambda: pipeline.state(run_id).is_completed(), 20)
    assert len(pipeline.ledger.facts(AttemptStarted, run_id)) == len(pipeline.ledger.facts(RunTaken, run_id)) == 2
    (held,) = pipeline.ledger.facts(RunRequested, run_id)
    assert held.fact.manifest == str(pipeline.manifest)
    assert pipeline.ledger.facts(OrdersIgnored, run_id) == []
    assert pipeline.left_behind() == []
    (given,) = pipeline.ledger.facts(ApprovalGiven, run_id)
    began = pipeline.ledger.facts(AttemptStarted, run_id)[1]
    first = pipeline.ledger.facts(JobSubmitted, run_id)[0]
    print("attempt to approval", (given.when - began.when).total_seconds(), "to the job", (first.when - began.when).total_seconds())
    assert (first.when - began.when).total_seconds() < 10


def ahead(workers: set[int]) -> list[int]:
    """Processes that the workers' warm ones forked ahead and that know no run yet, with a cell."""
    found = []
    for place in Path("/proc").iterdir():
        with suppress(OSError):
            if place.name.isdigit() and place.joinpath("comm").read_text() == "gh-ahead\n":
                process = int(place.name)
                found += [process] if parent(parent(process)) in workers and has_a_child(process) else []
    return found


def test_a_scheduled_sweep_in_a_fork(warm: Any) -> None:
    """Nobody calls the sweeper: the server's scheduler makes its runs, this worker forks them, and a run whose time is over is ended."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import IntervalSchedule

    from prefect_gatehouse.flows.clean_up import clean_up
    from prefect_gatehouse.worker.orders import OWN_FLOWS

    pipeline = warm("sweep")
    run_id = over(pipeline.ledger)
    often = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(seconds=15)), active=True)
    with get_client(sync_client=True) as client:
        options = {"pull_steps": [], "entrypoint": OWN_FLOWS["clean-up"], "schedules": [often]}
        deployment = client.create_deployment(flow_id=client.create_flow(clean_up), name="warm", work_pool_name="warm", **options)
        try:
            wait_for(lambda: any(run.state_name == "Completed" for run in scheduled("warm")), 150)
        finally:
            client.delete_deployment(deployment)
    swept = pipeline.ledger.run(run_id)
    assert swept is not None and swept.ending == "expired"
    assert all(run.state_name in {"Completed", "Scheduled", "Late", "Pending", "Running"} for run in scheduled("warm"))


def test_a_cancelled_run_is_told_to_stop(warm: Any) -> None:
    """Cancelling stops the process within seconds, the ledger has the run as cancelled, and nothing is left."""
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelling

    pipeline = warm("cancelled", workload=PATIENT)
    run_id = pipeline.start()
    wait_for(lambda: entered(pipeline, run_id))
    assert len(forks(run_id)) == 1
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(run_id), Cancelling())
    assert ended(pipeline, run_id).ending == "cancelled"
    wait_for(lambda: pipeline.state(run_id).is_cancelled(), 20)
    assert [path for path in pipeline.left_behind() if run_id in path] == []
    wait_for(lambda: forks(run_id) == [], 20)


def test_a_run_that_is_suspended_by_hand(warm: Any) -> None:
    """Between two rounds: its process leaves at the next gate, the ledger says that it was by hand, and resumed it goes on to its end."""
    from prefect.client.orchestration import get_client
    from prefect.states import Suspended

    pipeline = warm("suspended", workload=SLOW, rehearsal="skip")
    run_id = pipeline.start()
    pipeline.wait_paused(run_id, 120)
    pipeline.answer(run_id)
    wait_for(lambda: pipeline.ledger.event(f"{run_id}:collect:0"))
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(run_id), Suspended(timeout_seconds=3600), force=True)
    row = wait_for(lambda: (row := pipeline.ledger.run(run_id)).status == "suspended" and row, 30)
    assert "by hand" in row.message
    wait_for(lambda: forks(run_id) == [], 20)
    assert pipeline.state(run_id).is_paused()
    control.resume(pipeline.ledger, run_id)
    assert ended(pipeline, run_id).ending == "completed"
    assert len(pipeline.ledger.facts(JobSubmitted, run_id)) == 2


def test_a_killed_worker_leaves_no_run_behind(warm: Any, stack: Any) -> None:
    """Kill -9 of the worker: the run's process is told to stop, says so in the ledger, and the next worker goes on with the run."""
    pipeline = warm("orphan", workload=PATIENT)
    run_id = pipeline.start()
    wait_for(lambda: entered(pipeline, run_id))
    assert len(forks(run_id)) == 1
    os.kill(stack._children[-1].pid, signal.SIGKILL)
    row = wait_for(lambda: (row := pipeline.ledger.run(run_id)).status == "failed" and row)
    assert "told to stop" in row.message
    wait_for(lambda: forks(run_id) == [], 40)
    stack.stop_workers()
    (pipeline.zone / "workload.py").write_text("def solve(features, parameters):\n    yield []\n")
    stack.start_worker("gatehouse", "warm")
    time.sleep(1)

    def resumed() -> bool:
        try:
            control.resume(pipeline.ledger, run_id)
        except GatehouseError:
            return False
        return True

    wait_for(resumed, 30)
    wait_for(lambda: pipeline.ledger.run(run_id).attempt == 2)
    assert "circuit" in ended(pipeline, run_id).message


def test_a_dead_process_is_told_to_the_ledger(warm: Any) -> None:
    """Kill -9 of a run's process: the ledger hears of it at once, and the run can be resumed."""
    pipeline = warm("dead", workload=PATIENT)
    run_id = pipeline.start()
    wait_for(lambda: entered(pipeline, run_id))
    (process,) = forks(run_id)
    os.kill(process, signal.SIGKILL)
    row = wait_for(lambda: (row := pipeline.ledger.run(run_id)).status == "failed" and row, 30)
    assert "the process that drove the run died" in row.message


def test_a_tier_names_the_weakest_worker(make_pipeline: Any) -> None:
    """A run of the integration tier that a process worker starts reads nothing and says what to start; there it goes on."""
    pipeline = make_pipeline(tier="integration")
    manifest = pipeline.manifest.read_text()
    block = manifest.split("write_back: ")[1].split()[0]
    pipeline.manifest.write_text(manifest.replace("  write_back:", f"  preflight: {block}\n  write_back:"))
    run_id = pipeline.start()
    pipeline.process(run_id, warrant="")
    row = pipeline.ledger.run(run_id)
    assert row.status == "failed" and "wants its runs started by a gatehouse worker" in row.message
    assert pipeline.left_behind() == []
    other = pipeline.start()
    forged = control_warrant(pipeline, other)
    pipeline.restart(run_id)
    pipeline.process(run_id, warrant=forged)  # good for another run only
    assert "is for another run" in pipeline.ledger.run(run_id).message
    pipeline.restart(run_id)
    pipeline.approved(run_id)
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).ending == "completed"


def control_warrant(pipeline: Any, run_id: str) -> str:
    """A real worker's warrant for another run."""
    from prefect_gatehouse.identity.warrant import obtain_worker_key, sign_warrant

    key = pipeline.settings.worker_key_file()
    obtain_worker_key(key)
    return sign_warrant(key, run_id, "local").model_dump_json()


def test_a_process_that_was_forked_ahead_drives_one_run(warm: Any, stack: Any) -> None:
    """It is there before the run is, with its cell; the next one comes after it; one that dies is missed by nobody, and none outlives its worker."""
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelling

    pipeline = warm("ahead", workload=PATIENT)
    workers = {child.pid for child in stack._children}
    (waiting,) = wait_for(lambda: ahead(workers), 120)
    run_id = pipeline.start()
    wait_for(lambda: entered(pipeline, run_id))
    assert forks(run_id) == [waiting]
    (following,) = wait_for(lambda: ahead(workers), 60)
    os.kill(following, signal.SIGKILL)
    another = pipeline.start()
    wait_for(lambda: entered(pipeline, another))
    assert len(forks(another)) == 1
    assert following not in forks(another)
    with get_client(sync_client=True) as client:
        for each in (run_id, another):
            client.set_flow_run_state(UUID(each), Cancelling())
    for each in (run_id, another):
        assert ended(pipeline, each).ending == "cancelled"
    (last,) = wait_for(lambda: ahead(workers), 90)
    stack.stop_workers()
    wait_for(lambda: not Path(f"/proc/{last}").exists(), 60)


def test_runs_share_no_memory(warm: Any, stack: Any) -> None:
    """What a workload leaves in a module is not there in the next run: each is forked from the clean parent.

    Without a cell, which keeps runs apart anyway.
    """
    stack.stop_workers()
    stack.environment["GATEHOUSE_CELL"] = "none"
    stack.start_worker("gatehouse", "warm")
    spoilt = """
import json


def solve(features, parameters):
    if getattr(json, "LEFT_BEHIND", False):
        raise ValueError("the last run's memory")
    json.LEFT_BEHIND = True
    yield from ()
"""
    pipeline = warm("memory", workload=spoilt)
    for _ in range(2):
        run_id = pipeline.start()
        row = ended(pipeline, run_id)
        assert "returned no pandas frame" in row.message, row.message
        assert {event.fact.cell for event in pipeline.ledger.facts(WorkloadRan, run_id)} == {"none"}
