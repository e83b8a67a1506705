"""What Prefect's log has of a run, by the depth of its tier: asked of the server, of runs in processes of their own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import Log

from prefect_gatehouse.settings import Settings


def logs(run_id: str, level: int) -> list[Log]:
    """All that the server has of a run, once it has a record of a gate's of this level, and nothing has come for two seconds."""
    found: list[Log] = []
    until = time.monotonic() + 30
    with get_client(sync_client=True) as client:
        while time.monotonic() < until:
            before = len(found)
            found = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[UUID(run_id)])), limit=200)
            if len(found) == before and any(each.level >= level for each in found if each.task_run_id is not None):
                break
            time.sleep(2)
    return [each for each in found if each.task_run_id is not None]


@pytest.mark.parametrize("depth", ["info", "warning"])
def test_what_prefect_s_log_has_of_the_gates(make_pipeline: Callable[..., Any], tmp_path: Any, depth: str) -> None:
    """At info every gate's task says how it ended; at warning none does, that of the admission included, but a failure is told at either."""
    tiers = tmp_path / "tiers.yaml"
    tiers.write_text(Settings().tiers.read_text().replace("logging: debug", f"logging: {depth}"))
    pipeline = make_pipeline(rehearsal="skip", environment={"GATEHOUSE_TIERS": str(tiers)})
    run_id = pipeline.start()
    pipeline.process(run_id)
    pipeline.answer(run_id)
    pipeline.process(run_id, fail="validate_output")
    of_gates = logs(run_id, logging.ERROR)
    told = {each.name for each in of_gates}
    assert (len([each for each in of_gates if each.level < logging.WARNING]) > 6) is (depth == "info")
    assert any(each.level < logging.WARNING for each in of_gates) is (depth == "info")
    assert any(each.level >= logging.ERROR for each in of_gates)
    assert told == {"prefect.task_runs"}
    # What the ledger has is no matter of depth.
    passed = [event.data["gate"] for event in pipeline.ledger.events(run_id, "gate-passed")]
    assert passed[:4] == ["admit", "fetch_credential", "minimise", "validate_input"]
    assert pipeline.standing_plan(run_id).admitted.tier.logging == depth
