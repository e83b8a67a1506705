"""``gatehouse verify``: what it says of a home, and with which exit code."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.ledger.events import GateEntered
from prefect_gatehouse.ledger.seal import COPY, seal_home
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.settings import Settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with two sealed heads."""
    settings = Settings(home=tmp_path / "home")
    with contextlib.closing(Ledger(f"sqlite:///{settings.folder('') / 'ledger.sqlite'}")) as ledger:
        for run_id in ("one", "two"):
            ledger.begin_attempt(run_id)
            if run_id == "one":
                with ledger.transaction() as tx:
                    tx.append("one:admit:before", run_id, GateEntered(gate="admit"), attempt=1)
            seal_home(settings.home, ledger)
    monkeypatch.setenv("GATEHOUSE_HOME", str(settings.home))
    return settings.home


def verified() -> Result:
    return CliRunner().invoke(main, ["verify"], prog_name="gatehouse")


def test_a_home_as_it_is(home: Path) -> None:
    """Everything holds."""
    told = verified()
    assert (told.exit_code, "ledger verified: 3 events, 2 signed heads" in told.output) == (0, True)


@pytest.mark.parametrize("what", ["missing", "junk"])
def test_the_copy_of_the_newest_head_can_not_just_go(home: Path, what: str) -> None:
    """Whoever deletes the newest head would delete its copy as well: that it is gone is told."""
    (home / COPY).unlink() if what == "missing" else (home / COPY).write_text("junk\n")
    told = verified()
    assert (told.exit_code, COPY in told.output) == (7, True)


def test_the_newest_head_and_its_events_are_gone(home: Path) -> None:
    """The copy tells of it."""
    with contextlib.closing(sqlite3.connect(home / "ledger.sqlite")) as thief:
        for trigger in ("events_no_delete", "heads_no_delete"):
            thief.execute(f"DROP TRIGGER gatehouse_{trigger}")
        thief.execute("DELETE FROM gatehouse_events WHERE seq = 3")
        thief.execute("DELETE FROM gatehouse_heads WHERE size = 3")
        thief.execute("DELETE FROM gatehouse_runs WHERE run_id = 'two'")
        thief.commit()
    told = verified()
    assert (told.exit_code, "head at 3: it was signed, and the ledger has it no more" in told.output) == (7, True)


@pytest.mark.parametrize("body", ["{{{", "[]", b"\xff\xfe"])
def test_what_reads_a_broken_event_says_so(home: Path, body: str | bytes) -> None:
    """``show`` names the command that finds it, and no foreign error comes out."""
    with contextlib.closing(sqlite3.connect(home / "ledger.sqlite")) as thief:
        thief.execute("DROP TRIGGER gatehouse_events_no_update")
        thief.execute("UPDATE gatehouse_events SET body = ? WHERE seq = 2", (body,))
        thief.commit()
    told = CliRunner().invoke(main, ["show", "one"], prog_name="gatehouse")
    assert (told.exit_code, "an event can't be read" in told.output, "unexpected" in told.output) == (7, True, False)
    assert verified().exit_code == 7
