"""A run on a device of IBM Quantum: its block and its key in a real Prefect server, its jobs at the emulator, to the rows and the proof."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prefect.blocks.system import Secret
from tests.support.pipeline import ROWS

from prefect_gatehouse.blocks import IBMDevice
from prefect_gatehouse.cli.main import main
from prefect_gatehouse.ledger.note import VerifierKey
from prefect_gatehouse.ledger.verify import verify
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.testing import IBMEmulator


def test_a_run_reaches_the_device(make_pipeline: Any, ibm: IBMEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds are two jobs, billed by the second and deleted afterwards; place and bill are where people look, the key is nowhere."""
    name = f"torino-{uuid.uuid4().hex[:8]}"
    IBMDevice(**ibm.settings(job_minutes=1, call_seconds=10, grace_seconds=10)).save(name)
    Secret(value=ibm.credential).save(name)
    tiers = tmp_path / "tiers.yaml"
    tiers.write_text(Settings().tiers.read_text().replace("backends: [aer, braket-local]", f"backends: [aer, ibm/{name}]", 1))
    pipeline = make_pipeline(backends=f"ibm/{name}", rehearsal="skip", environment={"GATEHOUSE_TIERS": str(tiers)})
    text = pipeline.manifest.read_text().replace("credentials:\n", f"credentials:\n  submit: secret/{name}\n").replace("cost: 0", "cost: 400")
    pipeline.manifest.write_text(text)

    run_id = pipeline.complete()
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.log.read_text()[-3000:]
    assert len(pipeline.rows()) == ROWS
    assert ibm.state()["calls"]["create_job"] == ibm.state()["calls"]["delete_job"] == 2 and ibm.jobs() == []
    found = verify(pipeline.ledger, VerifierKey.parse((pipeline.home / "ledger.vkey").read_text()))
    assert found.ok, found.problems
    reserved = [Decimal(event.data["reserved_usd"]) for event in pipeline.ledger.events(run_id, "submission-intended")]
    settled = [Decimal(event.data["cost_usd"]) for event in pipeline.ledger.events(run_id, "job-settled")]
    assert reserved == [96, 96] and all(0 < cost < 10 and cost % Decimal("1.6") == 0 for cost in settled)

    monkeypatch.setenv("GATEHOUSE_HOME", str(pipeline.home))
    said = json.loads(CliRunner().invoke(main, ["who", run_id, "--json"], catch_exceptions=False).output)
    assert {(item["backend"], item["secret"]) for item in said} == {(f"ibm/{name}", f"secret/{name}")}
    (backend,) = pipeline.standing_plan(run_id).body.backends
    assert dict(backend.place)["instance"] == ibm.instance and "x up to 1 min x 96 a minute" in backend.cost_basis
    assert not [path for path in pipeline.folder.rglob("*") if path.is_file() and ibm.credential.encode() in path.read_bytes()]
