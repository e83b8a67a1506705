"""What a run leaves of its suites: pages that outlive it, entries in the ledger, tables in the Prefect UI."""

from __future__ import annotations

from typing import Any

import pytest

from prefect_gatehouse.canonical import sha256_bytes

pytestmark = pytest.mark.xdist_group("stack")


def test_both_gates_leave_a_page_and_a_table(pipeline: Any) -> None:
    """The pages are there after the clean-up, as the ledger has them, readable by their owner alone, and Prefect shows their tables."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    run_id = pipeline.complete()
    written = pipeline.ledger.events(run_id, "report-written")
    assert [event.data["gate"] for event in written] == ["validate_input", "validate_output"]
    for event in written:
        path = pipeline.home / event.data["path"]
        assert sha256_bytes(path.read_bytes()) == event.data["sha256"]
        assert path.stat().st_mode & 0o077 == 0
        assert event.data["owner"]
        assert event.data["retain_days"] > 0
    with get_client(sync_client=True) as client:
        shown = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id])))
    tables = {artifact.key: str(artifact.data) for artifact in shown}
    assert {"suite-validate-input", "suite-validate-output"} <= set(tables)
    assert all("\u2713 passed" in tables[f"suite-validate-{side}"] for side in ("input", "output"))
    values = pipeline.source_subjects()
    assert not any(
        str(value) in text
        for value in values
        for text in [*tables.values(), *((pipeline.home / event.data["path"]).read_text() for event in written)]
    )
