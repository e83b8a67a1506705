"""Answers that a client of Prefect's API writes past the form: each is refused with its reason, and the run asks again."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import UUID

import httpx
import pytest

from prefect_gatehouse.operate import runs as control

pytestmark = pytest.mark.timeout(400)

HOSTILE = ["17", '"approve"', "[[[", r'"\ud800"', json.dumps({"decision": "approve", "proof": "CANARY", "more": 1})]


class Client:
    """Somebody who can reach the server and nothing else."""

    def __init__(self, url: str, run_id: str) -> None:
        self._http = httpx.Client(base_url=f"{url}/flow_runs/{run_id}", timeout=60)
        self._run_id = run_id

    def write(self, key: str, text: str) -> None:
        """Writes one of the run's inputs as it stands in the database."""
        self._http.delete(f"/input/{key}")
        self._http.post("/input", json={"key": key, "value": text}).raise_for_status()

    def answer(self, key: str, text: str) -> None:
        """Resumes the run with a form that the server takes, and puts something else in its place before the run reads it."""
        for _ in range(20):  # the server on SQLite answers 503 now and then
            found = self._http.post("/resume", json={"run_input": {"decision": "approve"}})
            if found.is_success and found.json()["status"] == "ACCEPT":
                break
            time.sleep(0.5)
        self.write(key, text)

    def read(self, key: str) -> str | None:
        """Reads one."""
        found = self._http.get(f"/input/{key}")
        return found.text if found.status_code == httpx.codes.OK else None

    def close(self) -> None:
        self._http.close()


def keyset(run_id: str) -> dict[str, str]:
    """Where the form that the run waits on, and its answer, are kept."""
    with control.server() as client:
        state = control.flow_run(client, str(UUID(run_id))).state
    assert state is not None
    keys = state.state_details.run_input_keyset
    assert keys is not None
    return dict(keys)


def test_any_answer_is_refused_and_the_run_asks_again(pipeline: Any, stack: Any) -> None:
    """A number, a word, half a list, half a character, an unknown key: refused one by one, the run lives, and a person's counts."""
    run_id = pipeline.start()
    pipeline.process(run_id)
    client = Client(stack.environment["PREFECT_API_URL"], run_id)
    for number, text in enumerate(HOSTILE, 1):
        pipeline.wait_paused(run_id)
        client.answer(keyset(run_id)["response"], text)
        pipeline.process(run_id)
        now = pipeline.standing(run_id)
        assert (now.answers, len(now.refusals), now.decided) == (number, number, False)
        assert "fill in the form" in now.refusals[-1]
        assert pipeline.state(run_id).is_paused()
    assert pipeline.ledger.run(run_id).status == "waiting"
    # A form that somebody spoilt while its answer was under way: the answer is judged all the same, and the next form is whole.
    pipeline.wait_paused(run_id)
    keys = keyset(run_id)
    client.answer(keys["response"], json.dumps({"decision": "approve"}))
    for name in ("schema", "description"):
        client.write(keys[name], "[[[")
    pipeline.process(run_id)
    assert pipeline.standing(run_id).refusals[-1].startswith("a proof is missing")
    keys = keyset(run_id)
    assert "decision" in (client.read(keys["schema"]) or "")
    assert pipeline.standing_plan(run_id).digest[:12] in (client.read(keys["description"]) or "")
    client.close()
    pipeline.answer(run_id)
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).ending == "completed"
    assert "CANARY" not in "".join(str(event.data) for event in pipeline.ledger.events(run_id))
