"""The whole pipeline against a real Prefect server: what a run does, and the ways it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.pipeline import APPROVER, GATES, REQUESTER, ROWS, Pipeline

from prefect_gatehouse.evidence.questions import passages, who
from prefect_gatehouse.ledger.note import VerifierKey
from prefect_gatehouse.ledger.verify import verify

Completed = tuple[Pipeline, str]


@pytest.fixture(scope="module")
def completed(tmp_path_factory: pytest.TempPathFactory, zygote: Any, by_hand: str) -> Iterator[Completed]:
    """A run from its start to its end, for those who only look at it."""
    with Pipeline(tmp_path_factory.mktemp("completed") / "p", zygote, by_hand) as pipeline:
        yield pipeline, pipeline.complete()


def test_a_run_passes_every_gate_and_leaves_nothing(completed: Completed) -> None:
    """Rows arrive under their own identifiers, every gate is in the ledger once, the ledger verifies, nothing is left behind."""
    pipeline, run_id = completed
    assert pipeline.state(run_id).is_completed(), pipeline.log.read_text()
    rows = pipeline.rows()
    assert len(rows) == ROWS
    assert {row[0] for row in rows} == pipeline.source_subjects()
    passed = [item.gate for item in passages(pipeline.ledger, run_id) if item.outcome == "passed" and item.gate != "fetch_credential"]
    assert sorted(set(passed), key=passed.index) == [gate for gate in GATES if gate != "fetch_credential"]
    assert passed.count("submit") == passed.count("collect") == 2
    assert pipeline.left_behind() == []
    found = verify(pipeline.ledger, VerifierKey.parse((pipeline.home / "ledger.vkey").read_text()))
    assert found.ok, found.problems
    assert found.sealed == found.events


def test_who_answers_with_identity_secret_ticket_and_proof(completed: Completed) -> None:
    """An auditor's question about a job is answered with requester, approver, environment, secret and ticket, each with its event."""
    pipeline, run_id = completed
    jobs = who(pipeline.ledger, run_id)
    assert len(jobs) == 2
    by_handle = who(pipeline.ledger, jobs[0].job)
    assert by_handle == [jobs[0]]
    assert (jobs[0].requester, jobs[0].requester_method, jobs[0].ticket) == (REQUESTER, "ssh", "CHG-7")
    assert jobs[0].approvers == (f"{APPROVER} (ssh)",)
    assert jobs[0].secret == "none needed"
    assert all(number > 0 for number in jobs[0].events.values())


def test_tags_tell_the_lineage(completed: Completed) -> None:
    """Flow run and task runs carry run, gate, tenant, environment, tier, dataset, plan, ticket, backend and job."""
    from uuid import UUID

    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    _, run_id = completed
    with get_client(sync_client=True) as client:
        shown = client.read_flow_run(UUID(run_id))
        flow_tags = {tag.partition(":")[0] for tag in shown.tags}
        tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[UUID(run_id)])))
    assert shown.name == "canary CHG-7"
    assert flow_tags >= {"run", "tenant", "env", "tier", "dataset", "plan", "ticket", "backend", "job"}
    by_gate = {task.name: {tag.partition(":")[0] for tag in task.tags} for task in tasks}
    assert by_gate["submit 1"] >= {"run", "gate", "tenant", "env", "tier", "dataset", "plan", "ticket", "backend", "job"}
    assert by_gate["write_back"] >= {"run", "gate", "ticket", "plan"}


def test_openlineage_has_start_and_complete_of_every_gate(completed: Completed) -> None:
    """Each gate's START is followed by its COMPLETE, with the same run id."""
    import json

    pipeline, _ = completed
    events = [json.loads(line) for line in (pipeline.home / "lineage" / "openlineage.ndjson").read_text().splitlines()]
    started = [(event["job"]["name"], event["run"]["runId"]) for event in events if event["eventType"] == "START"]
    completed = [(event["job"]["name"], event["run"]["runId"]) for event in events if event["eventType"] == "COMPLETE"]
    assert set(started) == set(completed)
    assert started[0][0] == "governed-pipeline"
    assert {name.rpartition(".")[2].partition(":")[0] for name, _ in started[1:]} == set(GATES)
    assert len(set(started)) == len(started)
    assert all(event["producer"].startswith("urn:prefect-gatehouse") for event in events)


def test_a_rejection_ends_the_run_and_cleans_up(pipeline: Any) -> None:
    """A rejected run has no job, no rows and no artifact, and says who said no."""
    run_id = pipeline.start()
    pipeline.process(run_id)
    pipeline.answer(run_id, "reject", reason="not today")
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).ending == "rejected"
    assert pipeline.state(run_id).name == "Rejected"
    assert (pipeline.rows(), pipeline.left_behind(), pipeline.ledger.events(run_id, "job-submitted")) == ([], [], [])


FALSE = [
    (APPROVER, "000000", "wrong"),
    ("nobody@example.org", "123456", "not in the registry"),
    (REQUESTER, None, "has not the role approver"),  # last: behind two wrong answers the run looks at no code for a while
]


def test_false_answers_are_refused_and_asked_again(pipeline: Any) -> None:
    """A wrong code, the requester's own signature, a stranger and a state set by hand approve nothing; the form comes again with the reason."""
    run_id = pipeline.start()
    pipeline.process(run_id)
    for number, (who_, proof, reason) in enumerate(FALSE, 1):
        if proof is None:
            pipeline.answer(run_id, who=who_)
        else:
            pipeline.answer(run_id, approver=who_, proof=proof)
        pipeline.process(run_id)
        pipeline.wait_paused(run_id)
        now = pipeline.standing(run_id)
        assert reason in now.refusals[-1] and (len(now.refusals), now.approvals) == (number, ())
    pipeline.restart(run_id)
    pipeline.process(run_id)
    pipeline.wait_paused(run_id)
    now = pipeline.standing(run_id)
    assert "there is no answer, whatever the run's state says" in now.refusals[-1] and not now.approvals
    assert pipeline.ledger.events(run_id, "job-submitted") == []
    pipeline.answer(run_id)
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).ending == "completed"


def test_a_changed_workload_voids_the_approval(pipeline: Any) -> None:
    """Code that was changed after the approval is not submitted."""
    run_id = pipeline.start()
    pipeline.approved(run_id)
    with (pipeline.zone / "workload.py").open("a") as stream:
        stream.write("# another line\n")
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).ending == "denied"
    assert "workload" in pipeline.state(run_id).message
    assert pipeline.ledger.events(run_id, "job-submitted") == []
    assert pipeline.left_behind() == []


def test_a_closed_run_stays_closed(pipeline: Any) -> None:
    """A completed run that is set SCHEDULED again does nothing a second time."""
    run_id = pipeline.complete()
    rows, size = pipeline.rows(), pipeline.ledger.size()
    pipeline.restart(run_id)
    pipeline.process(run_id)
    assert pipeline.state(run_id).is_completed()
    assert (pipeline.rows(), pipeline.ledger.size()) == (rows, size)


def test_an_unsigned_run_is_unverified_and_only_for_the_prototype_tier(make_pipeline: Any) -> None:
    """Without a signature the requester is 'unverified': prototype admits it for internal data and no higher, integration does not."""
    lenient, strict, restricted = make_pipeline("a"), make_pipeline("b", tier="integration"), make_pipeline("c")
    text = lenient.manifest.read_text()
    lenient.manifest.write_text(text.replace("class: restricted", "class: internal").replace("class: confidential", "class: internal"))
    run_id = lenient.start(signed=False)
    lenient.process(run_id)
    assert lenient.ledger.run(run_id).requester == "unverified"
    assert lenient.ledger.run(run_id).status == "waiting"
    run_id = strict.start(signed=False)
    strict.process(run_id)
    assert strict.ledger.run(run_id).ending == "denied"
    assert "unverified-requester" in strict.state(run_id).message
    run_id = restricted.start(signed=False)
    restricted.process(run_id)
    assert restricted.ledger.run(run_id).ending == "denied"
    assert "class-above-clearance" in restricted.state(run_id).message


def test_two_runs_at_once_do_not_disturb_each_other(make_pipeline: Any) -> None:
    """Two suspended runs of one home, answered crosswise, each get their own answer and their own rows."""
    pipeline = make_pipeline()
    first, second = pipeline.start(), pipeline.start()
    pipeline.process(first)
    pipeline.process(second)
    pipeline.answer(second)
    pipeline.answer(first, "reject")
    pipeline.process(first)
    pipeline.process(second)
    assert pipeline.ledger.run(first).ending == "rejected"
    assert pipeline.ledger.run(second).ending == "completed"
    assert len(pipeline.rows()) == ROWS


def test_braket_local_gives_rows_too(make_pipeline: Any) -> None:
    """The same pipeline on Braket's local simulator: one job a circuit."""
    pipeline = make_pipeline(backends="braket-local", rounds=1)
    run_id = pipeline.complete()
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.log.read_text()
    assert len(pipeline.ledger.events(run_id, "job-submitted")) == 4
