"""A run on a device of Amazon Braket: its block and its key in a real Prefect server, its tasks at the emulator, to the rows and the proof."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prefect.states import Cancelling
from tests.support.on_braket import OnBraket
from tests.support.pipeline import APPROVER, REQUESTER, ROWS

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.flows.clean_up import sweep
from prefect_gatehouse.ledger.note import VerifierKey
from prefect_gatehouse.ledger.verify import verify
from prefect_gatehouse.operate import runs as control
from prefect_gatehouse.operate.dry_run import dry_run_plan
from prefect_gatehouse.run.labels import pseudonym
from prefect_gatehouse.testing import BraketEmulator


@pytest.fixture
def on_braket(make_pipeline: Any, braket: BraketEmulator, tmp_path: Path) -> OnBraket:
    return OnBraket(make_pipeline, braket, tmp_path)


def test_a_run_reaches_the_device(on_braket: OnBraket, braket: BraketEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds are two tasks in the block's bucket; rows, ledger, bill, ARN and place are where people look, the key is nowhere."""
    pipeline = on_braket.pipeline
    on_braket.change("rehearsal: skip", "rehearsal: required")
    monkeypatch.setenv("GATEHOUSE_HOME", str(pipeline.home))
    monkeypatch.setenv("GATEHOUSE_IDENTITY", str(pipeline.keys[APPROVER]))
    wall = ["budget", "wall", on_braket.backend, "--credential", f"aws-credentials/{on_braket.name}"]
    told = CliRunner().invoke(main, [*wall, "--month-usd", "50", "--reason", "Pilot"], catch_exceptions=False)
    assert told.exit_code == 0 and "set for" in told.output, told.output
    run_id = pipeline.complete()
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.log.read_text()[-3000:]
    assert len(pipeline.rows()) == ROWS
    tasks = braket.tasks()
    assert [(task["status"], task["device"]) for task in tasks] == [("COMPLETED", on_braket.device.device_arn)] * 2
    # The provider's log joins ours, by no name.
    tags = tasks[0]["tags"]
    named = ("run", "tenant", "environment", "billing-code", "ticket")
    assert [tags[f"gatehouse-{name}"] for name in named] == [run_id, "test-tenant", "local", "T-1", "CHG-7"]
    assert tags["gatehouse-requester"] == pseudonym(pipeline.settings, "requester", REQUESTER)
    assert not any(REQUESTER in value or on_braket.name in value for name, value in tags.items() if name.startswith("gatehouse-"))
    found = verify(pipeline.ledger, VerifierKey.parse((pipeline.home / "ledger.vkey").read_text()))
    assert found.ok, found.problems
    settled = [Decimal(event.data["cost_usd"]) for event in pipeline.ledger.events(run_id, "job-settled")]
    assert settled == [Decimal(task["billed"]) for task in tasks]

    (limit,) = json.loads(CliRunner().invoke(main, [*wall, "--json"], catch_exceptions=False).output)["limits"]
    assert (limit["amount_usd"], limit["differs"]) == ("50.00", False)
    assert Decimal(limit["theirs_usd"]) == sum(settled)
    said = json.loads(CliRunner().invoke(main, ["who", run_id, "--json"], catch_exceptions=False).output)
    assert [item["job"] for item in said] == [task["arn"] for task in tasks]
    assert {(item["backend"], item["secret"]) for item in said} == {(on_braket.backend, f"aws-credentials/{on_braket.name}")}
    shown = CliRunner().invoke(main, ["show", run_id, "--plan"], catch_exceptions=False).output
    assert "Where jobs are sent" in shown and "eu-north-1" in shown
    assert "the provider's own limit: 50.00 of 50.00 USD left until" in " ".join(shown.replace("│", " ").split())
    assert dict(pipeline.standing_plan(run_id).body.backends[0].place)["device_arn"] == on_braket.device.device_arn
    # Nothing of it is left in the bucket, and the key was written nowhere.
    assert "Contents" not in braket.client("s3").list_objects_v2(Bucket=on_braket.name)
    assert not [path for path in pipeline.folder.rglob("*") if path.is_file() and on_braket.secret.encode() in path.read_bytes()]


def test_the_block_is_edited_while_the_run_waits(on_braket: OnBraket, braket: BraketEmulator) -> None:
    """Through Prefect's API, before the approval: the run ends, names the setting, and nothing was sent."""
    pipeline = on_braket.pipeline
    run_id = pipeline.start()
    pipeline.process(run_id)
    on_braket.edit(bucket="somebody-else-s")
    pipeline.answer(run_id)
    pipeline.process(run_id)
    message = pipeline.state(run_id).message
    assert f"backend {on_braket.backend}: bucket" in message, message
    assert pipeline.ledger.run(run_id).ending is not None
    assert (braket.tasks(), pipeline.rows(), pipeline.left_behind()) == ([], [], [])


def test_a_cancelled_run_s_task_is_cancelled(on_braket: OnBraket, braket: BraketEmulator) -> None:
    """The service was away while a task waited in its queue, somebody cancels the run: the sweeper cancels the task, whatever the block says now."""
    pipeline = on_braket.pipeline
    braket.conduct(queue_seconds=600)
    run_id = pipeline.start()
    pipeline.approved(run_id)
    braket.fault("GetQuantumTask", "error", times=3)
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).status == "failed", pipeline.log.read_text()[-3000:]
    assert [task["status"] for task in braket.tasks()] == ["QUEUED"]
    on_braket.edit(region="us-east-1")
    with control.server() as client:
        client.set_flow_run_state(uuid.UUID(run_id), Cancelling(), force=True)
    assert [row["ending"] for row in sweep(pipeline.settings)] == ["cancelled"]
    assert [task["status"] for task in braket.tasks()] == ["CANCELLED"]


def test_a_tier_that_does_not_list_it(on_braket: OnBraket) -> None:
    """A tier lists devices by name: another device of the same provider is denied, in the tier's words."""
    pipeline = on_braket.pipeline
    on_braket.change(on_braket.backend, "braket/another")
    run_id = pipeline.start()
    pipeline.process(run_id)
    message = pipeline.state(run_id).message
    assert pipeline.ledger.run(run_id).ending == "denied" and on_braket.backend in message, message


def test_the_plan_without_a_run(on_braket: OnBraket, braket: BraketEmulator) -> None:
    """``gatehouse plan`` asks the device with its block and its key, and sends nothing."""
    pipeline = on_braket.pipeline
    settings = pipeline.settings.model_copy(update={"identity": pipeline.keys[REQUESTER]})
    (backend,) = dry_run_plan(settings, pipeline.manifest, lambda what: lambda done, total: None).body.backends
    assert dict(backend.place)["bucket"] == on_braket.name and backend.jobs == 1
    assert braket.tasks() == []
