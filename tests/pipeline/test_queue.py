"""A long queue holds no process: the run is suspended, the deployed ``reconcile`` resumes it once its job has ended, and it completes."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.states import Cancelling
from tests.support.on_braket import OnBraket
from tests.support.pipeline import ROWS

from prefect_gatehouse.flows.reconcile import look_after
from prefect_gatehouse.ledger.events import GateFailed
from prefect_gatehouse.ledger.note import VerifierKey
from prefect_gatehouse.ledger.verify import verify
from prefect_gatehouse.operate import runs as control
from prefect_gatehouse.testing import BraketEmulator


def reconciled(stack: Any, run: OnBraket, folder: Path) -> None:
    """What a worker does when the deployment's time has come: Prefect's engine on a run of it."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        flow_run = client.create_flow_run_from_deployment(client.read_deployment_by_name("reconcile/reconcile").id)
        mine = {"PREFECT__FLOW_RUN_ID": str(flow_run.id), "GATEHOUSE_HOME": str(run.pipeline.home), **run.pipeline.environment}
        command = [sys.executable, "-m", "prefect.engine"]
        environment = {**stack.process_environment(), **mine}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        state = client.read_flow_run(UUID(str(flow_run.id))).state
    assert state is not None and state.is_completed(), done.stdout + done.stderr


def queued(run: OnBraket, braket: BraketEmulator) -> str:
    """A run that is suspended while its job waits."""
    run.change("  shots: 64\n", "  shots: 64\n  queue_wait: 1s\n")
    braket.conduct(queue_seconds=600)
    run_id = run.pipeline.start()
    run.pipeline.approved(run_id)
    assert run.pipeline.process(run_id) == {"signal": 0, "exit": 0}, run.pipeline.log.read_text()[-3000:]
    return run_id


def test_a_long_queue(deployed_stack: Any, make_pipeline: Any, braket: BraketEmulator, tmp_path: Path) -> None:
    """The process is gone within its patience, Prefect shows the run as suspended without an error, and nobody resumes it by hand."""
    run = OnBraket(make_pipeline, braket, tmp_path)
    pipeline = run.pipeline
    run_id = queued(run, braket)
    row = pipeline.ledger.run(run_id)
    assert (row.status, row.message) == ("queued", f"waits for 1 job at {run.backend} (queued, 0 before it)"), pipeline.log.read_text()[-3000:]
    assert pipeline.state(run_id).name == "Suspended" and "Traceback" not in pipeline.log.read_text()
    reconciled(deployed_stack, run, tmp_path)
    assert pipeline.state(run_id).name == "Suspended"  # its job waits still

    braket.conduct(queue_seconds=0)
    braket.wait(lambda state: [each["status"] for each in state["tasks"]] == ["COMPLETED"])
    reconciled(deployed_stack, run, tmp_path)
    assert pipeline.state(run_id).is_scheduled() and pipeline.ledger.run(run_id).status == "scheduled"
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.log.read_text()[-3000:]
    assert (len(pipeline.rows()), len(braket.tasks())) == (ROWS, 2)  # two rounds, a task each: none was made twice
    assert pipeline.ledger.facts(GateFailed, run_id) == []
    found = verify(pipeline.ledger, VerifierKey.parse((pipeline.home / "ledger.vkey").read_text()))
    assert found.ok, found.problems
    with control.server() as client:
        states = [state.name for state in client.read_flow_run_states(uuid.UUID(run_id))]
    assert "Failed" not in states and "Crashed" not in states


def test_cancelled_in_the_queue(make_pipeline: Any, braket: BraketEmulator, tmp_path: Path) -> None:
    """No process is there to notice it: the next look ends the run and cancels its task, an hour before the sweeper would."""
    run = OnBraket(make_pipeline, braket, tmp_path)
    run_id = queued(run, braket)
    with control.server() as client:
        client.set_flow_run_state(uuid.UUID(run_id), Cancelling(), force=True)
    assert look_after(run.pipeline.settings) == [{"about": run_id, "done": "cancelled", "note": ""}]
    assert [each["status"] for each in braket.tasks()] == ["CANCELLED"]
    assert run.pipeline.ledger.run(run_id).ending == "cancelled" and run.pipeline.left_behind() == []
    assert look_after(run.pipeline.settings) == []
