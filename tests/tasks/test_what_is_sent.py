"""The boundary in the gate: what a provider encodes is looked at before it is intended, and what the journal holds before it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.gates import Desk

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.providers.interface import Connection
from prefect_gatehouse.providers.simulator.aer import AerBackend
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.attempt import Attempt

TOKEN = "s1_" + "0123456789abcdefghijklmnopqrstuv"


class Leaky(AerBackend):
    """A provider that sends the workload's names along, once it is armed, and says so."""

    armed = ""
    sent: list[bytes]

    def encode(self, circuits: Any, shots: int) -> bytes:
        payload = super().encode(circuits, shots)
        return payload + TOKEN.encode() if Leaky.armed == "bytes" else payload

    def plain_form(self, payload: bytes) -> bytes:
        form = super().plain_form(payload.removesuffix(TOKEN.encode()))
        return form.replace(b'"ry"', f'"ry_{TOKEN}"'.encode(), 1) if Leaky.armed == "names" or payload.endswith(TOKEN.encode()) else form

    def submit(self, payload: bytes, key: str, lease: Any) -> str:
        Leaky.sent.append(payload)
        return super().submit(payload, key, lease)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A run whose only backend is the leaky one, not armed yet."""
    Leaky.armed, Leaky.sent = "", []
    monkeypatch.setattr(Attempt, "backend", lambda self, name: Leaky(Connection(self.kept_by("simulator"), self.sealer)))
    made = Desk(tmp_path, backends="aer")
    with closing(made.ledger):
        yield made


def refused(desk: Desk, approved: Any) -> None:
    with pytest.raises(DataRefused, match="a payload may not leave: it holds a token") as caught:
        run_rounds(desk.attempt, approved)
    assert TOKEN not in repr(caught.value) + str(caught.value)
    assert Leaky.sent == []
    assert desk.ledger.events(desk.attempt.run_id, "job-submitted") == []


def test_nothing_is_intended(desk: Desk) -> None:
    """A provider that would send a name: the journal has no intent, nothing is reserved, nothing was sent."""
    approved = desk.approved()
    Leaky.armed = "bytes"
    refused(desk, approved)
    assert journal.entries(desk.attempt) == []


def test_what_another_process_intended_is_looked_at_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process died between intent and submission; what it left behind passes the boundary again before it is sent."""
    approved = desk.approved()
    with monkeypatch.context() as dying:
        dying.setattr(Leaky, "find_by_key", lambda self, key, lease: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_rounds(desk.attempt, approved)
    assert [entry.state for entry in journal.entries(desk.attempt)] == ["intended"]
    desk.attempt = desk.next_attempt()
    monkeypatch.setattr(Leaky, "facts", lambda self, lease: replace(AerBackend.facts(self, lease), grace_seconds=0.0))
    Leaky.armed = "names"
    refused(desk, approved)
    Leaky.armed = ""
    assert len(run_rounds(desk.attempt, approved).rounds) == 2
    assert len(Leaky.sent) == 2


def test_a_key_that_somebody_wrote_is_not_sent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is the one name that goes along: another text in the journal's row is not even looked up at the provider."""
    approved = desk.approved()
    asked: list[str] = []
    monkeypatch.setattr(Leaky, "find_by_key", lambda self, key, lease: asked.append(key))
    entries = journal.entries

    def other_keys(*args: Any) -> list[journal.Entry]:
        from dataclasses import replace

        return [replace(entry, key=f"{TOKEN}:0:0:0") for entry in entries(*args)]

    monkeypatch.setattr(journal, "entries", other_keys)
    with pytest.raises(DataRefused, match="not of our own form"):
        run_rounds(desk.attempt, approved)
    assert (asked, Leaky.sent) == ([], [])
