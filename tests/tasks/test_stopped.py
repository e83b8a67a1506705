"""Asking Prefect whether the run was stopped, beside a gate that judges: what it lets out waits for the answer."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Self
from uuid import UUID

import httpx
import pytest
from prefect.client.schemas.objects import State
from prefect.exceptions import Pause
from prefect.states import Cancelled as CancelledState
from prefect.states import Running, Suspended
from tests.support.gates import Desk, Fetching
from tests.support.plans import RUN

from prefect_gatehouse.errors import Cancelled, DataRefused, Unavailable
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.gate_value import GateValue
from prefect_gatehouse.tasks import gate as gates
from prefect_gatehouse.tasks import stopped
from prefect_gatehouse.tasks.await_release import await_release
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.tasks.validate_output import validate_output
from prefect_gatehouse.tasks.write_back import write_back


class Weight(GateValue):
    """What the gate of these tests returns."""

    gate = "weigh"


class Server:
    """A client of Prefect's server, which has the run in a state.

    Args:
        state: The run's.
        fails: How many requests fail before one is answered.
    """

    def __init__(self, state: State[None], fails: int = 0) -> None:
        self.state, self.fails, self.asked = state, fails, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def request(self, *_: object, **__: object) -> SimpleNamespace:
        self.asked += 1
        if self.asked <= self.fails:
            raise httpx.ConnectError("refused")
        return SimpleNamespace(json=lambda: int(self.state.is_running()))

    def read_flow_run(self, _: UUID) -> SimpleNamespace:
        return SimpleNamespace(state=self.state)


Under = Callable[..., Server]


@pytest.fixture
def under(monkeypatch: pytest.MonkeyPatch) -> Under:
    """Has gates believe that they are in a flow whose client is the given one."""

    def in_flow(state: State[None], fails: int = 0) -> Server:
        server = Server(state, fails)
        context = SimpleNamespace(flow_run=SimpleNamespace(id=UUID(RUN)))
        monkeypatch.setattr(stopped.FlowRunContext, "get", classmethod(lambda cls: context))
        monkeypatch.setattr(stopped.SyncClientContext, "get", classmethod(lambda cls: SimpleNamespace(client=server)))
        monkeypatch.setattr(stopped, "get_client", lambda **_: server)
        monkeypatch.setattr(gates, "task", lambda **_: lambda function: lambda return_state: function())
        return server

    return in_flow


def weigh(attempt: Attempt, *, heeds: bool = True, error: Exception | None = None) -> list[str]:
    """Passes a gate that lets something out; gives what went out."""
    out: list[str] = []

    def weigh(attempt: Attempt) -> Weight:
        """Weighs."""
        if error is not None:
            raise error
        if heeds:
            attempt.heed()
        out.append("weight")
        return Weight()

    passed = gate(Weight, heeds_cancellation="at once")(weigh)
    try:
        passed(attempt)
    except (Cancelled, Pause, Unavailable) as stop:
        out.append(type(stop).__name__)
    return out


def test_a_run_that_goes_on(desk: Desk, under: Under) -> None:
    """Asked once, however often it is heeded; the time of it counts for the gates behind."""
    server, before = under(Running()), desk.attempt.asked_prefect
    assert weigh(desk.attempt) == ["weight"]
    assert server.asked == 1 and desk.attempt.asked_prefect > before
    desk.attempt.heed()  # between gates nobody has anything to heed


@pytest.mark.parametrize(("state", "told"), [(CancelledState(), "Cancelled"), (Suspended(timeout_seconds=60), "Pause")])
def test_a_run_that_was_stopped(desk: Desk, under: Under, state: State[None], told: str) -> None:
    """Nothing goes out."""
    under(state)
    assert weigh(desk.attempt) == [told]


def test_a_request_that_fails_is_asked_again(desk: Desk, under: Under) -> None:
    """Where it is waited for, with whatever that raises: no answer is no yes."""
    server = under(Running(), fails=1)
    assert weigh(desk.attempt) == ["weight"] and server.asked == 2
    under(Running(), fails=9)
    assert weigh(desk.next_attempt()) == []  # passed already: a gate that is kept lets nothing out again


def test_a_server_that_is_gone(desk: Desk, under: Under) -> None:
    """The run can be resumed."""
    under(Running(), fails=9)
    assert weigh(desk.attempt) == ["Unavailable"]


def test_whoever_was_stopped_is_told_so(desk: Desk, under: Under) -> None:
    """Whatever else is wrong, and also behind a gate that forgot to heed it."""
    under(CancelledState())
    assert weigh(desk.attempt, error=DataRefused("no", where="weigh")) == ["Cancelled"]
    assert weigh(desk.next_attempt(), heeds=False) == ["weight", "Cancelled"]


def test_no_job_of_a_cancelled_run(desk: Desk, under: Under) -> None:
    """The gate that submits heeds it before it intends a job, also where no gate for a credential asks."""
    approved = desk.approved()
    under(CancelledState())
    with pytest.raises(Cancelled):
        run_rounds(desk.attempt, approved)
    assert journal.entries(desk.attempt) == [] and desk.gates("gate-failed") == ["submit"]


def test_no_row_of_a_cancelled_run(desk: Desk, under: Under) -> None:
    """The gate that publishes heeds it before it fetches the address."""
    outcome, fetch = await_release(desk.attempt, validate_output(desk.attempt, run_rounds(desk.attempt, desk.approved()))), Fetching()
    under(CancelledState())
    with pytest.raises(Cancelled):
        write_back(desk.attempt, outcome, fetch)
    assert fetch.purposes == [] and not (desk.folder / "target.sqlite").exists()
