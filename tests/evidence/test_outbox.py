"""The outbox: in order, at least once, and a receiver that fails holds up nobody."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_gatehouse.errors import Unavailable
from prefect_gatehouse.evidence.outbox import drain
from prefect_gatehouse.evidence.ship.noop import Noop
from prefect_gatehouse.ledger.events import GateEntered
from prefect_gatehouse.ledger.fact import Fact
from prefect_gatehouse.ledger.store import Event, Ledger


class Receiver:
    """Keeps what it is told, and fails where it is made to."""

    topic = "test"

    def __init__(self, *, fails_at: int = 0, error: Exception | None = None) -> None:
        self.told: list[int] = []
        self.fails_at = fails_at
        self.error = error or Unavailable("down")

    def ship(self, event: Event[Fact]) -> None:
        if event.seq == self.fails_at:
            raise self.error
        self.told.append(event.seq)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger of 450 events: more than two batches."""
    with contextlib.closing(Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")) as opened:
        with opened.transaction() as tx:
            for number in range(450):
                tx.append(f"e{number}", "run", GateEntered(gate="g"))
        yield opened


def test_everything_is_told_once_and_in_order(ledger: Ledger, tmp_path: Path) -> None:
    """A second call has nothing to tell; what comes later is told then."""
    receiver = Receiver()
    assert drain(ledger, receiver, tmp_path).told == 450
    assert receiver.told == list(range(1, 451))
    assert drain(ledger, receiver, tmp_path).told == 0
    with ledger.transaction() as tx:
        tx.append("later", "run", GateEntered(gate="g"))
    assert drain(ledger, receiver, tmp_path).told == 1
    assert receiver.told[-1] == 451


@pytest.mark.parametrize("error", [Unavailable("down"), RuntimeError("CANARY text of a client"), TimeoutError()])
def test_a_receiver_that_fails_is_told_again_from_there(ledger: Ledger, tmp_path: Path, error: Exception) -> None:
    """Nothing before is repeated, nothing behind is skipped, and the error's text is nowhere."""
    receiver = Receiver(fails_at=300, error=error)
    found = drain(ledger, receiver, tmp_path)
    assert (found.told, found.left) == (299, 151)
    assert found.why and "CANARY" not in found.why
    receiver.fails_at = 0
    assert drain(ledger, receiver, tmp_path).left == 0
    assert receiver.told == list(range(1, 451))


def test_receivers_go_on_by_themselves(ledger: Ledger, tmp_path: Path) -> None:
    """One that is down keeps no other waiting."""
    drain(ledger, Receiver(fails_at=1), tmp_path)
    assert drain(ledger, Noop(), tmp_path).told == 450
    assert (ledger.told("test"), ledger.told("none")) == (0, 450)


def test_one_process_tells_at_a_time(ledger: Ledger, tmp_path: Path) -> None:
    """Who comes while another one tells leaves it to that one."""
    receiver = Receiver()
    with (tmp_path / ".test.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert drain(ledger, receiver, tmp_path).told == 0
    assert receiver.told == []
    assert drain(ledger, receiver, tmp_path).told == 450
