"""A busy server: nothing is refused because its database is locked, and an answer whose acknowledgement is lost counts once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.operate import runs as control


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


@contextmanager
def forgetful_proxy(url: str) -> Iterator[tuple[str, list[int]]]:
    """A way to the server on which the answer to the first resume is lost after the server gave it; and each resume's status."""
    resumes: list[int] = []

    class Proxy(BaseHTTPRequestHandler):
        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in {"host", "content-length", "accept-encoding"}}
            answer = httpx.request(self.command, url + self.path, content=body, headers=headers, timeout=120)
            if self.path.endswith("/resume"):
                resumes.append(answer.status_code)
                if len(resumes) == 1:
                    self.close_connection = True
                    return
            self.send_response(answer.status_code)
            for name in ("content-type", "retry-after"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PATCH = do_DELETE = _forward  # noqa: N815 - names that the base class asks for

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}", resumes
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


def test_an_answer_whose_acknowledgement_is_lost(pipeline: Any, stack: Any) -> None:
    """The server took it, the connection broke: `approve` finds that out, says nothing wrong, and the run has one answer."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    run_id = pipeline.start()
    pipeline.process(run_id)
    pipeline.wait_paused(run_id)
    with forgetful_proxy(stack.url) as (url, resumes):
        with temporary_settings({PREFECT_API_URL: f"{url}/api"}):
            pipeline.answer(run_id)
        assert resumes[0] == 201
    with pytest.raises(InputError, match="does not wait"):
        control.answer(run_id, "approve", proof="another")
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.state(run_id)
    assert pipeline.standing(run_id).answers == 1
