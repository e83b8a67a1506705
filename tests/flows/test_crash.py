"""What the ledger is told of a process that died: the run can be resumed, unless somebody has gone on with it or it has ended."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from prefect.states import Crashed
from tests.support.plans import RUN

from prefect_gatehouse.flows.crash import mark_crashed, note_crash
from prefect_gatehouse.ledger.events import RunEnded, RunSuspended
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation that the hook finds."""
    monkeypatch.setenv("GATEHOUSE_HOME", str(tmp_path))
    made = Settings(home=tmp_path)
    made.folder("")
    return made


def hook() -> None:
    """As Prefect calls it."""
    flow_run: Any = SimpleNamespace(id=UUID(RUN))
    note_crash(flow=None, flow_run=flow_run, state=Crashed(message="died"))


def test_a_run_whose_process_died_can_be_resumed(settings: Settings) -> None:
    """It is no longer running, says how to go on, and for how long that is possible."""
    with closing(Ledger(settings.ledger())) as ledger:
        ledger.begin_attempt(RUN)
        hook()
        row = ledger.run(RUN)
        assert row is not None and (row.status, row.ending) == ("failed", None)
        assert row.message == f"the process that drove the run died; resume it with: gatehouse resume {RUN}"
        assert row.wait_until == pytest.approx(time.time() + 24 * 3600, abs=60)


def test_what_is_not_touched(settings: Settings) -> None:
    """A run that waits, that has ended, that another process has resumed since the crash, or that the ledger does not know."""
    with closing(Ledger(settings.ledger())) as ledger:
        hook()
        assert ledger.run(RUN) is None
        ledger.begin_attempt(RUN)
        before = time.time()
        time.sleep(0.01)
        ledger.begin_attempt(RUN)
        assert not mark_crashed(ledger, RUN, before)
        for status, fact in (("waiting", RunSuspended(until=time.time() + 60)), ("ended", RunEnded(ending="completed"))):
            with ledger.transaction() as tx:
                tx.append(f"{RUN}:{status}", RUN, fact, attempt=2)
            told = ledger.run(RUN)
            hook()
            row = ledger.run(RUN)
            assert row is not None and row.status == status and row == told


def test_a_ledger_that_is_not_there(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's worker goes on: whoever reads the ledger later judges the run by its last sign of life."""
    monkeypatch.setenv("GATEHOUSE_LEDGER_URL", "sqlite:////proc/none/ledger.sqlite")
    hook()
