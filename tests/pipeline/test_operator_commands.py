"""The commands of an operator at night, as processes of their own: each says what is so, what to do, and ends when there is nothing to wait for."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from tests.support.pipeline import APPROVER, REQUESTER, ROWS

from prefect_gatehouse.errors import Unavailable
from prefect_gatehouse.ledger.projection import SILENT_SECONDS
from prefect_gatehouse.ledger.tables import heartbeats
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate import watching
from prefect_gatehouse.operate.answering import follow_answer
from prefect_gatehouse.run.approvals import last_asked

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def start(warm_commands: Any, pipeline: Any) -> Callable[..., Any]:
    """Starts a command that runs while the test does something else."""

    def one(*words: str, who: str = REQUESTER) -> Any:
        environment = {**os.environ, "GATEHOUSE_HOME": str(pipeline.home), "COLUMNS": "400"}
        if who in pipeline.keys:
            environment["GATEHOUSE_IDENTITY"] = str(pipeline.keys[who])
        return warm_commands.start(*words, environment=environment, merged=True)

    return one


@pytest.fixture
def command(start: Callable[..., Any]) -> Callable[..., tuple[int, str]]:
    """A command from its start to its end."""
    return lambda *words, **more: ended(start(*words, **more))


def ended(running: Any) -> tuple[int, str]:
    """Its exit code and all that it still printed."""
    done = running.end()
    assert "Traceback" not in done.stdout, done.stdout
    return done.returncode, done.stdout


def scheduled(pipeline: Any, run_id: str) -> None:
    """Until somebody has scheduled the run."""
    until = time.monotonic() + 200
    while not pipeline.state(run_id).is_scheduled():
        assert time.monotonic() < until, pipeline.state(run_id)
        time.sleep(0.2)


def crashed(run_id: str) -> None:
    """What a worker tells Prefect when it finds a run's process dead."""
    from uuid import UUID

    from prefect.client.orchestration import get_client
    from prefect.states import Crashed

    with get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(run_id), Crashed(), force=True)


def test_a_failed_run_is_resumed_and_followed(pipeline: Any, start: Callable[..., Any], command: Callable[..., tuple[int, str]]) -> None:
    """`resume --follow` waits for the new attempt, not for the failure of the one before; `show` said what to do; `approve` does the rest."""
    run_id = pipeline.start()
    pipeline.process(run_id, fail="minimise")
    code, said = command("show", run_id[:8])
    assert code == 0
    assert f"run {run_id}: failed - minimise: unexpected" in said
    assert "mend the cause, then, until 20" in said and f"gatehouse resume {run_id[:8]}" in said
    follower = start("resume", run_id, "--follow")
    scheduled(pipeline, run_id)
    pipeline.process(run_id)
    code, said = ended(follower)
    assert (code, "unexpected" in said, said.count("waits for approval")) == (0, False, 1), said
    assert f"gatehouse approve {run_id[:8]}" in said

    code, said = command("abandon", run_id)
    assert (code, "--yes" in said, pipeline.ledger.run(run_id).ending) == (2, True, None), said

    approver = start("approve", run_id, "--yes", who=REQUESTER)
    scheduled(pipeline, run_id)
    pipeline.process(run_id)
    code, said = ended(approver)
    assert code == 3
    assert "this person has not the role approver" in said
    assert f"gatehouse people add {REQUESTER} --role approver" in said

    approver = start("approve", run_id, "--yes", "--follow", who=APPROVER)
    scheduled(pipeline, run_id)
    pipeline.process(run_id)
    code, said = ended(approver)
    assert code == 0, said
    assert "approve: counted; 1 of 1 approvals, the run goes on" in said
    assert said.rstrip().endswith(f"run {run_id}: completed")
    assert len(pipeline.rows()) == ROWS

    shown = json.loads(command("show", run_id, "--json")[1])
    assert shown["run"]["state"] == "completed"
    assert shown["answers_refused"] == ["this person has not the role approver"]
    assert [(Path(path).name, Path(path).is_file()) for path in shown["reports"]] == [
        ("plan.html", True),
        ("validate_input.html", True),
        ("validate_output.html", True),
    ]
    assert Path(shown["reports"][0]).as_uri() in command("show", run_id)[1]
    for words in (("who", run_id), ("verify",)):
        assert command(*words)[0] == 0


def silence(pipeline: Any, run_id: str, seconds: float) -> None:
    """As if the run's process had given its last sign of life some time ago."""
    with pipeline.ledger.transaction() as tx:
        tx.connection.execute(update(heartbeats).where(heartbeats.c.run_id == run_id).values(at=time.time() - seconds))


def test_a_process_that_dies_is_told_at_once(pipeline: Any, start: Callable[..., Any], command: Callable[..., tuple[int, str]]) -> None:
    """A crash ends `--follow` within seconds and blames no worker; without Prefect's word the silence in the ledger tells it."""
    follower = start("run", str(pipeline.manifest), "--deployment", pipeline.deployment, "--follow")
    run_id = follower.stdout.readline().removeprefix("run ").strip()
    pipeline.process(run_id, kill={"event": "validate_input", "side": "before"})
    crashed(run_id)
    began = time.monotonic()
    code, said = ended(follower)
    assert (code, "the process of the run has died" in said, f"gatehouse resume {run_id}" in said) == (4, True, True), said
    assert "worker" not in said
    assert time.monotonic() - began < 60

    silence(pipeline, run_id, SILENT_SECONDS + 60)
    for words in (("runs",), ("show", run_id)):
        code, said = command(*words)
        assert (code, "lost" in said, "no sign of life" in said, f"gatehouse resume {run_id[:8]}" in said) == (0, True, True, True), said
    pipeline.restart(run_id)
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).status == "waiting"


def test_nobody_takes_the_run_up(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a worker the wait has an end, and its message names the command that starts one; the run stays scheduled."""
    monkeypatch.setattr(watching, "_WORKER_SECONDS", 0.0)
    run_id = pipeline.start()
    with pytest.raises(Unavailable, match="no worker has taken the run up") as told:
        watching.Watch(pipeline.ledger, run_id).look()
    assert "prefect worker start --pool gatehouse" in told.value.advice
    assert pipeline.state(run_id).is_scheduled()
    pipeline.process(run_id)
    row = pipeline.ledger.run(run_id)
    pipeline.answer(run_id)
    plan = pipeline.standing_plan(run_id)
    asking = last_asked(pipeline.ledger, plan)
    assert asking is not None
    with pytest.raises(Unavailable, match="the answer was handed over, but: no worker"):
        follow_answer(pipeline.ledger, plan, asking, row.attempt)


def test_a_denied_run_says_why(pipeline: Any, command: Callable[..., tuple[int, str]]) -> None:
    """`show` has the policy's sentence and the command that helps, with this run's own names in it."""
    pipeline.people.add(REQUESTER, roles=frozenset({"requester"}), clearance=DataClass.INTERNAL)
    run_id = pipeline.start()
    pipeline.process(run_id)
    code, said = command("show", run_id)
    assert (code, f"run {run_id}: denied - policy: request: " in said, "[class-above-clearance]" in said) == (0, True, True), said
    assert f"gatehouse people add {REQUESTER} --role requester --clearance restricted" in said
    code, said = command("abandon", run_id, "--yes")
    assert (code, "the run has ended (denied)" in said) == (2, True)
