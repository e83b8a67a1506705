"""A work pool for each tenant: a process of an installation that does not drive a tenant's runs takes none of them any further."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.pipeline import ROWS

from prefect_gatehouse.ledger.events import GateEntered
from prefect_gatehouse.ledger.jobs import JobSubmitted

FOREIGN = {"GATEHOUSE_TENANTS": "somebody-else, another"}

pytestmark = pytest.mark.timeout(300)


def stops(pipeline: Any, run_id: str) -> None:
    """A foreign process takes the run up, and leaves it as it was."""
    pipeline.process(run_id, env=FOREIGN)
    row = pipeline.ledger.run(run_id)
    assert (row.status, row.ending) == ("failed", None)
    assert "this worker drives the runs of another, somebody-else" in row.message
    assert pipeline.left_behind() == []


def test_a_worker_drives_its_tenants_runs_alone(make_pipeline: Any) -> None:
    """Neither before nor after the approval; each time the run goes on where its tenant is served."""
    pipeline = make_pipeline()
    run_id = pipeline.start()
    stops(pipeline, run_id)
    assert {each.fact.gate for each in pipeline.ledger.facts(GateEntered, run_id)} == {"admit"}
    served = {"GATEHOUSE_TENANTS": f"another, {pipeline.ledger.run(run_id).tenant}"}
    pipeline.restart(run_id)
    pipeline.process(run_id, env=served)
    pipeline.answer(run_id)
    pipeline.process(run_id, env=FOREIGN)
    row = pipeline.ledger.run(run_id)
    assert row.status == "failed"
    assert "this worker drives" in row.message
    assert pipeline.ledger.facts(JobSubmitted, run_id) == []
    pipeline.restart(run_id)
    pipeline.process(run_id, env=served)
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.ledger.run(run_id).message
    assert len(pipeline.rows()) == ROWS
