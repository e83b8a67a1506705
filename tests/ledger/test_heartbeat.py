"""Signs of life: a process that drives a run renews them, a dead or superseded one does not; on both databases."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import text
from tests.run.desk import RUN, Desk

from prefect_gatehouse.ledger.events import RunEnded, RunInterrupted, RunSuspended
from prefect_gatehouse.ledger.heartbeat import BEAT_SECONDS, beating
from prefect_gatehouse.ledger.projection import SILENT_SECONDS
from prefect_gatehouse.ledger.store import Ledger

DRIVER = """
import sys, time
from prefect_gatehouse.ledger.heartbeat import beating
from prefect_gatehouse.ledger.store import Ledger

ledger = Ledger(sys.argv[1])
with beating(ledger, sys.argv[2], ledger.begin_attempt(sys.argv[2]), every=0.05):
    print("drives", flush=True)
    time.sleep(60)
"""


def sign(ledger: Ledger) -> float:
    row = ledger.run(RUN)
    assert row is not None
    return row.last_sign


def test_a_process_gives_signs_until_it_is_killed(desk: Any) -> None:
    """Kill -9 in mid-run: the signs stop, and from two minutes on the run counts as lost; not a second before."""
    child = subprocess.Popen([sys.executable, "-c", DRIVER, desk.settings.ledger(), RUN], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"drives\n"
    began, until = sign(desk.ledger), time.monotonic() + 30
    while sign(desk.ledger) == began and time.monotonic() < until:
        time.sleep(0.05)
    assert sign(desk.ledger) > began
    child.send_signal(signal.SIGKILL)
    child.communicate()
    last = sign(desk.ledger)
    time.sleep(0.3)
    assert sign(desk.ledger) == last
    row = desk.ledger.run(RUN)
    assert row.status == "running"
    assert row.silent_for(last + 180) == 180
    assert not row.is_lost(last + SILENT_SECONDS)
    assert row.is_lost(last + SILENT_SECONDS + 1)
    assert BEAT_SECONDS * 4 < SILENT_SECONDS


def test_a_superseded_process_gives_no_sign(desk: Any) -> None:
    """Whoever lost the fence can't make the run look alive any more."""
    older = desk.attempt.number
    newer = desk.next_attempt().number
    stands = sign(desk.ledger)
    desk.ledger.beat(RUN, older)
    assert sign(desk.ledger) == stands
    desk.ledger.beat(RUN, newer)
    assert sign(desk.ledger) > stands


def test_a_run_that_nobody_should_drive_is_not_lost(desk: Any) -> None:
    """One that waits, failed or ended has no process, and so none that could be missed."""
    facts = {
        "waiting": RunSuspended(until=0),
        "suspended": RunInterrupted(status="suspended", message="m", until=0),
        "failed": RunInterrupted(status="failed", message="m", until=0),
        "ended": RunEnded(ending="completed"),
    }
    for status, fact in facts.items():
        desk.attempt.record(status, fact)
        row = desk.ledger.run(RUN)
        assert row.status == status
        assert row.silent_for() is None
        assert not row.is_lost(time.time() + 86_400)


def test_a_beat_waits_for_no_other_transaction_of_the_run(postgres: Any, tmp_path: Path) -> None:
    """Where the database can do two things at once, a long transaction of the run does not stop its heart."""
    desk = Desk(tmp_path / "home", str(postgres.url(postgres.new_database())))
    with closing(desk.ledger):
        stands = sign(desk.ledger)
        with desk.attempt.effect():
            desk.ledger.beat(RUN, desk.attempt.number)
            assert sign(desk.ledger) > stands


def test_the_heart_stops_with_the_block(desk: Any) -> None:
    """Leaving the process on any way ends the beating, before the ledger is closed."""
    with beating(desk.ledger, RUN, desk.attempt.number, every=0.01):
        time.sleep(0.1)
    stands = sign(desk.ledger)
    time.sleep(0.1)
    assert sign(desk.ledger) == stands


def test_a_ledger_of_a_version_without_heartbeats(desk: Any) -> None:
    """It gains the table when it is opened; its runs have the time of their last change, and its events are as they were."""
    size = desk.ledger.size()
    with desk.ledger.transaction() as tx:
        tx.connection.execute(text("DROP TABLE gatehouse_heartbeats"))
    with closing(Ledger(desk.settings.ledger())) as opened:
        row = opened.run(RUN)
        assert row is not None and row.last_sign == row.updated
        assert [item.run_id for item in opened.runs()] == [RUN]
        assert opened.size() == size
        opened.begin_attempt(RUN)
        assert sign(opened) > row.last_sign
