"""A run whose end is decided is cleaned up, whatever somebody sets its state to in Prefect."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Self
from uuid import UUID

import pytest
from prefect.exceptions import Pause
from prefect.states import Suspended
from tests.support.gates import Desk
from tests.support.plans import RUN

from prefect_gatehouse.flows.ending import end
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.tasks import gate, stopped


class Hostile:
    """A server that has every run as suspended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def request(self, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(json=lambda: 0)

    def read_flow_run(self, _: UUID) -> SimpleNamespace:
        return SimpleNamespace(state=Suspended(timeout_seconds=3600))


def test_suspended_while_it_is_cleaned_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its end is decided it stops at the next gate; behind that nothing is left over, a credential that cleaning up needs is fetched."""
    desk = Desk(tmp_path)
    desk.change("  write_back: secret/url", "  write_back: secret/url\n  submit: secret/key")
    approved = desk.approved()
    run_rounds(desk.attempt, approved)
    context = SimpleNamespace(flow_run=SimpleNamespace(id=UUID(RUN)))
    monkeypatch.setattr(gate.FlowRunContext, "get", classmethod(lambda cls: context))
    monkeypatch.setattr(stopped, "get_client", lambda **_: Hostile())
    monkeypatch.setattr(gate, "task", lambda **_: lambda function: lambda return_state: function())
    with pytest.raises(Pause):
        stopped.refuse_if_stopped(desk.attempt, "collect")
    desk.attempt.asked_prefect = time.monotonic() - 60
    end(desk.attempt, "rejected", "no")
    assert desk.attempt.store.uris(RUN) == []
    assert [event.kind for event in desk.ledger.events(RUN)][-1] == "run-ended"
    entered = [event.data["gate"] for event in desk.ledger.events(RUN, "gate-entered")]
    assert entered[-2:] == ["clean_up", "fetch_credential"]
