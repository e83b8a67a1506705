"""A process keeps its connection to an SQLite ledger, and never one that is another process's or another file's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prefect_gatehouse.errors import StorageError
from prefect_gatehouse.ledger.events import GateEntered
from prefect_gatehouse.ledger.store import Ledger


def enter(ledger: Ledger, number: int) -> None:
    with ledger.transaction() as tx:
        tx.append(f"r:{number}", "r", GateEntered(gate="g", round=number), attempt=1)


def numbers(ledger: Ledger) -> list[int | None]:
    return [event.fact.round for event in ledger.facts(GateEntered)]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    opened.begin_attempt("r")
    enter(opened, 0)
    return opened


def test_the_log_is_not_copied_back_at_every_commit(ledger: Ledger, tmp_path: Path) -> None:
    """The last connection that closes deletes the log: it is there as long as the ledger is open, and gone once it is closed."""
    assert (tmp_path / "ledger.sqlite-wal").exists()
    ledger.close()
    assert not (tmp_path / "ledger.sqlite-wal").exists()


def test_a_ledger_that_was_taken_away_is_not_written(ledger: Ledger, tmp_path: Path) -> None:
    """A kept connection would write on into a file that nobody finds any more."""
    for path in tmp_path.iterdir():
        path.rename(path.with_name(f"old-{path.name}"))
    with pytest.raises(StorageError):
        enter(ledger, 1)
    ledger.close()


def test_a_ledger_that_was_put_back_is_the_one_that_is_written(ledger: Ledger, tmp_path: Path) -> None:
    """A backup in the ledger's place is used from the next transaction on."""
    ledger.close()
    backup = (tmp_path / "ledger.sqlite").read_bytes()
    enter(ledger, 1)
    for path in tmp_path.iterdir():
        path.unlink()
    (tmp_path / "ledger.sqlite").write_bytes(backup)
    enter(ledger, 2)
    assert numbers(ledger) == [0, 2]
    ledger.close()


def test_a_fork_has_connections_of_its_own(ledger: Ledger) -> None:
    """Parent and child write one after the other; nothing is lost and the chain holds."""
    for number in range(1, 7, 2):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                enter(ledger, number)
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        enter(ledger, number + 1)
    assert numbers(ledger) == list(range(7))
    ledger.close()
