"""The server that the demo and the tests start, under many hands at once: nothing is refused because its database is locked."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.xdist_group("stack-2")


def test_many_runs_are_suspended_and_answered_at_once(stack: Any, by_hand: str) -> None:
    """Eight hands create, suspend and resume runs by REST, as browsers do: without a client that tries again, each call is taken."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        flow = str(client.read_deployment_by_name(by_hand).flow_id)

    def hand(_: int) -> Counter[str]:
        answers: Counter[str] = Counter()
        with httpx.Client(base_url=f"{stack.url}/api/", timeout=120) as browser:
            for _ in range(6):
                made = browser.post("flow_runs/", json={"flow_id": flow, "state": {"type": "PENDING"}})
                answers[f"create {made.status_code}"] += 1
                run = f"flow_runs/{made.json()['id']}"
                for state in ("RUNNING", "PAUSED"):
                    answers[f"{state} {browser.post(f'{run}/set_state', json={'state': {'type': state}}).status_code}"] += 1
                answers[f"resume {browser.post(f'{run}/resume', json={}).status_code}"] += 1
                answers[f"delete {browser.delete(run).status_code}"] += 1
        return answers

    with ThreadPoolExecutor(8) as hands:
        total = sum(hands.map(hand, range(8)), Counter[str]())
    assert total == {"create 201": 48, "RUNNING 201": 48, "PAUSED 201": 48, "resume 201": 48, "delete 204": 48}
