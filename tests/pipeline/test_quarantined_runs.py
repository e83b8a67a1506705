"""Quarantine on a real server: what waits, what is started, what is resumed and what is deployed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from tests.support.pipeline import APPROVER, OTHER, Pipeline

from prefect_gatehouse.flows.governed_pipeline import governed_pipeline
from prefect_gatehouse.operate import quarantine as control

pytestmark = pytest.mark.timeout(400)


def deployed(pipeline: Pipeline) -> UUID:
    """A deployment that runs this pipeline's manifest, as a schedule's would."""
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(governed_pipeline)
        return client.create_deployment(flow_id=flow_id, name="of-the-canary", parameters={"manifest": str(pipeline.manifest), "request": None})


def test_nothing_gets_round_it(pipeline: Any, stack: Any) -> None:
    """A yes in the form does not count, nor a forced state; a new run is denied, the deployment is paused; another person lets it go on."""
    waiting = pipeline.start()
    pipeline.process(waiting)
    deployment = deployed(pipeline)
    settings = pipeline.settings.model_copy(update={"identity": pipeline.keys[APPROVER]})
    event = control.impose(settings, pipeline.ledger, "canary", "Incident 7")
    done = control.carry_out(settings, pipeline.ledger, event)
    assert (done.paused, done.held, done.ended, done.not_done) == (["of-the-canary"], [waiting], [], [])
    with get_client(sync_client=True) as client:
        assert client.read_deployment(deployment).paused

    pipeline.answer(waiting, who=OTHER)
    pipeline.process(waiting)
    assert pipeline.standing(waiting).refusals[-1].startswith("pipeline canary is in quarantine")
    pipeline.wait_paused(waiting)
    pipeline.restart(waiting)
    pipeline.process(waiting)
    assert pipeline.standing(waiting).approvals == () and pipeline.ledger.run(waiting).status == "waiting"

    begun = pipeline.start()
    pipeline.process(begun)
    assert pipeline.ledger.run(begun).ending == "denied" and "is in quarantine" in (pipeline.state(begun).message or "")
    assert pipeline.ledger.events(kind="submission-intended") == []

    control.release(pipeline.settings.model_copy(update={"identity": pipeline.keys[OTHER]}), pipeline.ledger, "canary", "It is over")
    pipeline.answer(waiting)
    pipeline.process(waiting)
    assert pipeline.ledger.run(waiting).ending == "completed"
