"""Somebody with Prefect's API changes the form of a waiting run: people see it, the ledger has it, and what they sign there approves nothing."""

from __future__ import annotations

import json
import os
from typing import Any
from uuid import UUID

import httpx
import pytest
from tests.support.pipeline import APPROVER

from prefect_gatehouse.evidence.questions import reason_of
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.ledger.answers import FormDiffered
from prefect_gatehouse.operate import runs as control

pytestmark = pytest.mark.timeout(400)


class Forger:
    """Somebody who can reach the server and nothing else."""

    def __init__(self, url: str, run_id: str) -> None:
        with control.server() as client:
            state = control.flow_run(client, str(UUID(run_id))).state
        assert state is not None and state.state_details.run_input_keyset is not None
        self._key = state.state_details.run_input_keyset["description"]
        self._http = httpx.Client(base_url=f"{url}/flow_runs/{run_id}", timeout=60)

    def shown(self) -> str:
        """What the form shows."""
        text: str = json.loads(self._http.get(f"/input/{self._key}").raise_for_status().text)
        return text if isinstance(text, str) and not text.startswith('"') else json.loads(text)

    def show(self, text: str) -> None:
        """Shows something else."""
        self._http.delete(f"/input/{self._key}").raise_for_status()
        self._http.post("/input", json={"key": self._key, "value": json.dumps(text)}).raise_for_status()

    def close(self) -> None:
        self._http.close()


def gatehouse(commands: Any, pipeline: Any, *words: str) -> str:
    """What a command prints."""
    environment = {**os.environ, "GATEHOUSE_HOME": str(pipeline.home), "GATEHOUSE_IDENTITY": str(pipeline.keys[APPROVER]), "COLUMNS": "400"}
    done = commands.run(*words, environment=environment)
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def found_by(pipeline: Any, run_id: str) -> list[str]:
    return [event.fact.found_by for event in pipeline.ledger.facts(FormDiffered, run_id=run_id)]


def test_a_form_that_shows_another_plan(pipeline: Any, stack: Any, warm_commands: Any) -> None:
    """A harmless pipeline over the real one: ``show`` tells it, a signature of the forged words is refused, and the ledger's words count."""
    run_id = pipeline.start()
    pipeline.process(run_id)
    pipeline.wait_paused(run_id)
    assert "the form in Prefect" not in gatehouse(warm_commands, pipeline, "show", run_id)
    url = stack.environment["PREFECT_API_URL"]
    forger = Forger(url, run_id)
    forged = forger.shown().replace("canary", "harmless-pipeline").replace("Rows: 40", "Rows: 1")
    assert "harmless-pipeline" in forged
    forger.show(forged)
    forger.close()
    said = gatehouse(warm_commands, pipeline, "show", run_id)
    assert "the form in Prefect was not the ledger's: somebody changed it there" in said
    assert found_by(pipeline, run_id) == ["show"]
    statement = forged.partition("printf %s '")[2].partition("'")[0]
    assert statement.startswith("I approve this run of Gatehouse.\nPipeline: harmless-pipeline")
    pipeline.answer(run_id, proof=sshsig.sign(pipeline.keys[APPROVER], statement.encode()))
    pipeline.process(run_id)
    now = pipeline.standing(run_id)
    assert (now.approvals, len(now.refusals)) == ((), 1)
    assert "not one of the statement to approve exactly this plan" in now.refusals[0]
    # The next form is forged as well, and nobody looks: the run finds it when it goes on.
    pipeline.wait_paused(run_id)
    forger = Forger(url, run_id)
    forger.show("# Approve nothing at all?")
    forger.close()
    pipeline.answer(run_id)
    pipeline.process(run_id)
    assert found_by(pipeline, run_id) == ["show", "run"]
    assert reason_of(pipeline.ledger, run_id) == "every gate passed"
    assert pipeline.ledger.run(run_id).ending == "completed"
