"""What a run leaves for people to read: pages that outlive it, of its suites and of its plan, entries in the ledger, artifacts in the Prefect UI."""

from __future__ import annotations

from typing import Any

from prefect_gatehouse.canonical import sha256_bytes
from prefect_gatehouse.evidence.kept import problems
from prefect_gatehouse.evidence.questions import recorded_plan


def test_three_gates_leave_a_page_and_an_artifact(pipeline: Any) -> None:
    """The pages are there after the clean-up, as the ledger has them, readable by their owner alone, and Prefect shows their tables.

    The plan's is there before anybody is asked, names the digest that was approved and shows the circuits; one that was edited is told.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    run_id = pipeline.complete()
    written = pipeline.ledger.events(run_id, "report-written")
    assert [event.data["gate"] for event in written] == ["validate_input", "plan", "validate_output"]
    assert written[1].seq < pipeline.ledger.events(run_id, "approval-asked")[0].seq
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
    # A round's place, times and cost; of its counts, which are not public here, nothing.
    assert "| aer | primary |" in tables["round"] and "svg" not in tables["round"] and "distinct" not in tables["round"]
    plan_page = pipeline.home / written[1].data["path"]
    planned = recorded_plan(pipeline.ledger, run_id)
    assert planned is not None and planned.digest in plan_page.read_text() and planned.digest in tables["plan"]
    assert "Ry(θ[0])" in plan_page.read_text()
    assert "](data:image/svg+xml;base64," in tables["plan"]
    values = pipeline.source_subjects()
    assert not any(
        str(value) in text
        for value in values
        for text in [*tables.values(), *((pipeline.home / event.data["path"]).read_text() for event in written)]
    )
    assert list(problems(pipeline.settings, pipeline.ledger)) == []
    plan_page.write_text(plan_page.read_text().replace("<svg", "<svg ", 1))
    assert list(problems(pipeline.settings, pipeline.ledger)) == [
        f"event {written[1].seq}: the page {written[1].data['path']} is not the one that was written"
    ]
