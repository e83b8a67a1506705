"""Reminders of approvals that wait: when, through which block, with which words, and once a turn; sent by a real block to a real server."""

from __future__ import annotations

import json
import multiprocessing
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.blocks.system import Secret
from pydantic import ValidationError
from sqlalchemy import text

from prefect_gatehouse.blocks import notifier
from prefect_gatehouse.flows.reminding import remind
from prefect_gatehouse.ledger.answers import ApprovalReminded
from prefect_gatehouse.ledger.events import RunSuspended
from prefect_gatehouse.run.matter import closes_at
from prefect_gatehouse.run.reminders import due
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.settings import Settings
from tests.support.gates import Desk
from tests.support.plans import RUN


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[tuple[Desk, Plan]]:
    """A run whose plan waits, in an installation with two groups."""
    desk = Desk(tmp_path, rehearsal="skip")
    plan = desk.planned()
    desk.attempt.record("suspended:1:k", RunSuspended(until=time.time() + 86_400))
    blocks = {"notify": "slack-webhook/first, custom-webhook/first", "escalate": "custom-webhook/second"}
    desk.settings = desk.settings.model_copy(update=blocks | {"remind_minutes": 60, "escalate_minutes": 150})
    yield desk, plan
    desk.ledger.close()


def told(desk: Desk, plan: Plan, minutes: float) -> list[tuple[str, bool]]:
    """What is due so many minutes after the plan was made."""
    return [(each.fact.block, each.fact.escalated) for each in due(desk.settings, desk.ledger, plan.made_at + timedelta(minutes=minutes))]


FIRST = [("slack-webhook/first", False), ("custom-webhook/first", False)]


def test_when_and_to_whom(waiting: tuple[Desk, Plan]) -> None:
    """The first group every hour, the second as well once it has waited for long; nobody after it is decided or closed, or without a block."""
    desk, plan = waiting
    assert told(desk, plan, 59) == []
    assert told(desk, plan, 60) == FIRST and told(desk, plan, 149) == FIRST
    assert told(desk, plan, 150) == [*FIRST, ("custom-webhook/second", True)]
    assert told(desk, plan, (closes_at(plan) - plan.made_at).total_seconds() / 60) == []
    assert list(due(Settings(home=desk.settings.home), desk.ledger, plan.made_at + timedelta(hours=5))) == []
    desk.answer(plan, "approve")
    assert told(desk, plan, 150) == []


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def hook() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), _Hook)
    server.got, server.status = [], 200  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_what_is_sent(waiting: tuple[Desk, Plan], hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's own block sends the summary and nothing of the data; once a turn; what failed is tried a turn later and keeps nobody else waiting."""
    desk, plan = waiting
    url = f"http://127.0.0.1:{hook.server_address[1]}/secret-part-of-the-address"
    webhook = CustomWebhookNotificationBlock(name="w", url=url, json_data={"subject": "{{subject}}", "body": "{{body}}"})
    blocks = {"custom-webhook/first": webhook, "custom-webhook/second": webhook, "slack-webhook/first": Secret(value="x")}
    monkeypatch.setattr(notifier, "load_block", blocks.__getitem__)
    now = (plan.made_at + timedelta(minutes=155)).timestamp()
    first = remind(desk.settings, desk.ledger, now)
    assert [each[:2] for each in first] == [(RUN, "not reminded"), (RUN, "reminded"), (RUN, "escalated")]
    assert "none for notifications" in first[0][2]
    assert [each["subject"] for each in hook.got] == ["small CHG-7 waits for approval", "Escalated: small CHG-7 waits for approval"]
    body = hook.got[0]["body"]
    assert body.startswith("0 of 1 approvals, open until ") and f"gatehouse approve {RUN}" in body and "3 rows, up to restricted, for aer" in body
    assert not re.search(r"\b(ann|bob|cid|Hold a plan|test-owner)\b", str(hook.got))
    assert [event.fact.block for event in desk.ledger.facts(ApprovalReminded, RUN)] == [
        "slack-webhook/first",
        "custom-webhook/first",
        "custom-webhook/second",
    ]
    desk.settings = desk.settings.model_copy(update={"notify": "custom-webhook/first"})
    assert remind(desk.settings, desk.ledger, now + 60) == []
    hook.status = 500
    failed = remind(desk.settings, desk.ledger, now + 3600)
    assert [each[1] for each in failed] == ["not reminded", "not reminded"] and "secret-part" not in str(failed)
    hook.status = 200
    assert remind(desk.settings, desk.ledger, now + 3660) == []
    assert [each[1] for each in remind(desk.settings, desk.ledger, now + 7200)] == ["reminded", "escalated"]


class _Slow(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.server.got.append(self.path)  # type: ignore[attr-defined]
        with suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 60:
                self.wfile.write(bytes([byte]))
                time.sleep(0.5)

    def log_message(self, *_: Any) -> None:
        return


def test_a_receiver_that_never_comes_to_an_end(waiting: tuple[Desk, Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    """The look ends, with the sending process gone; the block is left alone for its rest, and the message until the next turn."""
    desk, plan = waiting
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Slow)
    server.daemon_threads, server.got = True, []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    webhook = CustomWebhookNotificationBlock(name="w", url=f"http://127.0.0.1:{server.server_address[1]}/", json_data={"body": "{{body}}"})
    monkeypatch.setattr(notifier, "load_block", lambda _: webhook)
    monkeypatch.setattr(notifier, "SECONDS", 2.0)
    desk.settings = desk.settings.model_copy(update={"notify": "custom-webhook/one", "escalate": "custom-webhook/one"})
    now = (plan.made_at + timedelta(minutes=155)).timestamp()
    begun = time.monotonic()
    first = remind(desk.settings, desk.ledger, now)
    assert time.monotonic() - begun < 25
    assert [each[1] for each in first] == ["not reminded"] * 2 and first[1][2] == "left for the next look: custom-webhook/one"
    assert server.got == ["/"] and multiprocessing.active_children() == []  # type: ignore[attr-defined]
    assert [event.fact.escalated for event in desk.ledger.facts(ApprovalReminded, RUN)] == [False]
    server.shutdown()
    server.server_close()


def test_a_ledger_that_cannot_be_written(waiting: tuple[Desk, Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent: whoever is told each five minutes stops to read."""
    desk, plan = waiting
    sent: list[str] = []
    monkeypatch.setattr("prefect_gatehouse.flows.reminding.notify", lambda block, *_: sent.append(block))
    with desk.ledger.transaction() as tx:
        tx.connection.execute(text("CREATE TRIGGER no_more BEFORE INSERT ON gatehouse_events BEGIN SELECT RAISE(ABORT, 'disk full'); END"))
    told_of = remind(desk.settings, desk.ledger, (plan.made_at + timedelta(minutes=155)).timestamp())
    assert [each[1] for each in told_of] == ["not reminded"] and sent == []


@pytest.mark.parametrize("text", ["slack", "slack-webhook/a;b", "https://hooks.example.org/x", "slack-webhook/a,"])
def test_what_names_no_block(text: str, tmp_path: Path) -> None:
    """An address with its secret in it is none."""
    with pytest.raises(ValidationError):
        Settings(home=tmp_path, notify=text)
