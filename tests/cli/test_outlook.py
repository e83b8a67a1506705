"""What the lists say of a run: a word that is true at that time, and the command that helps."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from prefect_gatehouse.cli.outlook import next_step, state_of
from prefect_gatehouse.cli.output import confirm
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.ledger.projection import SILENT_SECONDS, RunRow
from prefect_gatehouse.ledger.store import Ledger

NOW = 1_800_000_000.0
ROW = RunRow(
    run_id="0123abcd-0000-4000-8000-000000000000",
    attempt=1,
    status="running",
    ending=None,
    pipeline="pumps",
    tenant="t",
    environment="local",
    tier="prototype",
    ticket="CHG-1",
    requester="ann",
    started=NOW - 100,
    updated=NOW - 50,
    wait_until=None,
    message="",
    last_sign=NOW - 4,
)
UNTIL = NOW + 3600

# Status, what changes, the word, and what must be said.
CASES = {
    "running": ({}, "running", ["4 s old"]),
    "silent, not yet lost": ({"last_sign": NOW - SILENT_SECONDS + 1}, "running", ["1 min old"]),
    "lost": ({"last_sign": NOW - 900}, "lost", ["no sign of life", "15 min", "gatehouse resume 0123abcd"]),
    "waiting": ({"status": "waiting", "wait_until": UNTIL}, "waiting", ["until 2027-01-15 09:00 UTC", "gatehouse approve 0123abcd"]),
    "queued": ({"status": "queued", "wait_until": UNTIL, "message": "waits for 2 jobs at b"}, "queued", ["waits for 2 jobs at b, until 2027-01-15"]),
    "failed": ({"status": "failed", "wait_until": UNTIL}, "failed", ["until 2027-01-15 09:00 UTC", "gatehouse resume 0123abcd"]),
    "suspended": ({"status": "suspended", "last_sign": NOW - 9000}, "suspended", ["by hand", "gatehouse resume 0123abcd"]),
    "scheduled": ({"status": "scheduled", "last_sign": NOW - 9000}, "scheduled", ["no worker", "prefect worker start --pool gatehouse"]),
    "ended": ({"status": "ended", "ending": "denied", "last_sign": NOW - 9000}, "denied", []),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_at_a_glance(case: str) -> None:
    """Its state in a word; for an open one what it waits for and the command to paste, for one that has ended nothing more to do."""
    changes, word, said = CASES[case]
    row = replace(ROW, **changes)  # type: ignore[arg-type]
    told = next_step(row, NOW)
    assert state_of(row, NOW) == word
    assert [each for each in said if each not in told] == []
    assert bool(told) is bool(said)
    assert "RUN" not in told


def test_a_question_that_nobody_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal and without an answer it is refused, naming the switch; an answer from a pipe counts; no ends the command."""
    import click

    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(InputError) as refused:
        confirm("End it?")
    assert (refused.value.where, "--yes" in refused.value.advice) == ("--yes", True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    confirm("End it?")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(readline=lambda *_: "n\n", isatty=lambda: True))
    with pytest.raises(click.Abort):
        confirm("End it?")


def test_a_run_is_found_by_its_beginning(tmp_path: Path) -> None:
    """None, several and nothing given are three messages; several are named."""
    from prefect_gatehouse.evidence.questions import find_run

    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    try:
        for name in ("aa11", "aa22", "bb33"):
            ledger.begin_attempt(name)
        assert find_run(ledger, "b") == "bb33"
        for text, words in (("cc", "begins with 'cc'"), ("", "empty"), ("aa", "2 runs begin with 'aa': aa11, aa22")):
            with pytest.raises(InputError, match=words):
                find_run(ledger, text)
    finally:
        ledger.close()
