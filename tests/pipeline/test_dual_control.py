"""Dual control against a real Prefect server: what a run would write back waits until somebody who did not approve its plan has released it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.pipeline.test_linger import staying
from tests.pipeline.test_operator_commands import ended, scheduled
from tests.support.pipeline import APPROVER, OTHER, REQUESTER, ROWS

from prefect_gatehouse.run.approvals import standing
from prefect_gatehouse.run.matter import matter_of
from prefect_gatehouse.settings import Settings

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def pipeline(make_pipeline: Any, tmp_path: Path) -> Any:
    """One in a prototype tier that asks for one release."""
    tiers = tmp_path / "tiers.yaml"
    tiers.write_text(Settings().tiers.read_text().replace("write_back_approvers: 0", "write_back_approvers: 1"))
    return make_pipeline(environment={"GATEHOUSE_TIERS": str(tiers)})


@pytest.fixture
def start(warm_commands: Any, pipeline: Any) -> Callable[..., Any]:
    """Starts a command of somebody's."""

    def one(*words: str, who: str = REQUESTER) -> Any:
        environment = {**os.environ, "GATEHOUSE_HOME": str(pipeline.home), "GATEHOUSE_IDENTITY": str(pipeline.keys[who]), "COLUMNS": "400"}
        return warm_commands.start(*words, environment=environment, merged=True)

    return one


def shown(pipeline: Any, run_id: str) -> str:
    """The form that waits in Prefect, and the artifact that the run left before."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
    from prefect.input import read_flow_run_input

    form = str(read_flow_run_input(pipeline.state(run_id).state_details.run_input_keyset["description"], UUID(run_id)))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(run_id)])))
    (artifact,) = [str(each.data) for each in found if each.key == "outcome"]
    outcome = matter_of(pipeline.ledger, run_id)
    assert outcome is not None and outcome.digest in form and outcome.digest in artifact and artifact.startswith("# Outcome")
    return form + artifact


def test_nothing_is_written_before_somebody_else_has_released_it(pipeline: Any, start: Callable[..., Any]) -> None:
    """Killed as it asks, forced on in Prefect, answered by who approved the plan: it asks again, and sends nothing again; Other's release writes.

    A second run is withheld, in one process that stays for both answers: it ends and cleans up, and nothing of it is written.
    """
    run_id = pipeline.start()
    pipeline.approved(run_id)
    assert pipeline.process(run_id, kill={"suspended": True})["signal"] == 9
    form = shown(pipeline, run_id)
    assert "Release the outcome of canary to be written back?" in form and not [each for each in pipeline.canaries if each in form]

    pipeline.restart(run_id)
    pipeline.process(run_id)
    pipeline.answer(run_id, who=APPROVER)
    pipeline.process(run_id)
    pipeline.wait_paused(run_id)
    now = standing(pipeline.ledger, matter_of(pipeline.ledger, run_id))  # type: ignore[arg-type]
    forced = "there is no answer, whatever the run's state says; fill in the form"
    assert now.refusals == (forced, "whoever approved the plan does not release its outcome") and not now.approvals
    assert pipeline.rows() == [] and pipeline.ledger.run(run_id).message == "waits for release of its outcome"
    code, said = ended(start("inbox", who=OTHER))
    assert (code, "release the outcome" in said, run_id[:8] in said) == (0, True, True), said

    releaser = start("approve", run_id, "--yes", "--follow", who=OTHER)
    scheduled(pipeline, run_id)
    pipeline.process(run_id)
    code, said = ended(releaser)
    assert code == 0, said
    assert "I release the outcome of this run of Gatehouse" in said and "approve: counted; 1 of 1 releases, the run goes on" in said
    assert said.rstrip().endswith(f"run {run_id}: completed") and not [each for each in pipeline.canaries if each in said]
    assert (len(pipeline.rows()), len(pipeline.ledger.events(run_id, "job-submitted")), pipeline.left_behind()) == (ROWS, 2, [])
    assert f"released by {OTHER} (ssh)" in ended(start("show", run_id))[1]
    assert f"{OTHER} (ssh)" in ended(start("who", run_id))[1]
    code, said = ended(start("verify"))
    assert code == 0, said

    withheld = pipeline.start()
    with staying(pipeline, withheld) as ended_with:
        pipeline.answer(withheld)
        until = time.monotonic() + 120
        while pipeline.ledger.run(withheld).message != "waits for release of its outcome":
            assert time.monotonic() < until
            time.sleep(0.1)
        pipeline.answer(withheld, "reject", who=OTHER)
    row = pipeline.ledger.run(withheld)
    assert (ended_with, row.attempt, row.ending) == ({"signal": 0, "exit": 0}, 3, "rejected")
    assert (pipeline.state(withheld).name, pipeline.left_behind()) == ("Rejected", [])
    assert len(pipeline.rows()) == ROWS  # of the first
