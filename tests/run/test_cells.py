"""A cell is started ahead of its use, serves one way through the workload it was started for, and is not left behind."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.run import ahead
from prefect_gatehouse.run.ahead import drop_aside
from prefect_gatehouse.run.cells import begin_ahead, get_spares, keep_ahead, rounds_of, start_ahead, start_aside
from prefect_gatehouse.run.under import packages_of
from prefect_gatehouse.workload.runner.cell import Cell
from prefect_gatehouse.workload.runner.wire import Kind
from tests.support.cells import require
from tests.support.gates import TWO_ROUNDS, Desk


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    """Every cell that was started meanwhile."""
    found: list[Cell] = []
    make = Cell.__init__

    def counted(self: Cell, *args: object, **kwargs: object) -> None:
        make(self, *args, **kwargs)  # type: ignore[arg-type]
        found.append(self)

    monkeypatch.setattr(Cell, "__init__", counted)
    return found


def alive(cell: Cell) -> bool:
    return cell._process.poll() is None


def test_each_way_through_a_workload_has_a_cell_of_its_own(tmp_path: Path, started: list[Cell]) -> None:
    """One for the plan, one for the rehearsal, one for the jobs; the first two are started before they are wanted, none goes on."""
    require("bubblewrap")
    desk = Desk(tmp_path, cell="auto")
    made = desk.planned()
    assert (made.body.cell, len(started)) == ("bubblewrap", 2)
    start_ahead(desk.attempt, made.admitted, made.body.cell)
    outcome = run_rounds(desk.attempt, desk.approve(made))
    assert (len(outcome.rounds), len(started), desk.attempt.ahead) == (2, 3, None)
    assert not any(map(alive, started))


def test_a_plan_without_a_rehearsal_starts_one(tmp_path: Path, started: list[Cell]) -> None:
    """Nothing is started that nobody will drive."""
    require("bubblewrap")
    desk = Desk(tmp_path, cell="bubblewrap", rehearsal="skip")
    desk.planned()
    assert len(started) == 1 and desk.attempt.ahead is None


def test_a_workload_that_changes_meanwhile(tmp_path: Path, started: list[Cell]) -> None:
    """The files are read and compared again when the cell is wanted; one that was given others is ended unused."""
    require("bubblewrap")
    desk = Desk(tmp_path, cell="bubblewrap", rehearsal="skip")
    start_ahead(desk.attempt, desk.admitted())
    desk.write(TWO_ROUNDS + "\n\nLATER = 1\n")
    made = desk.planned()
    assert len(started) == 2 and not alive(started[0])
    assert "workload.py" in [each.path for each in made.body.files]
    # With a plan the comparison stops it, and what was started ahead is of no use.
    start_ahead(desk.attempt, made.admitted, made.body.cell)
    desk.write(TWO_ROUNDS)
    with pytest.raises(Exception, match="changed since the approval: workload"):
        rounds_of(desk.attempt, made.validated.minimised, made.body.cell)
    desk.attempt.release()
    assert not any(map(alive, started))


def test_a_cell_that_nobody_drives_ends_with_the_attempt(tmp_path: Path, started: list[Cell]) -> None:
    """On every way out of the process; and without a cell, or where there is none, nothing is started and nothing told."""
    require("bubblewrap")
    desk = Desk(tmp_path, cell="bubblewrap")
    start_ahead(desk.attempt, desk.admitted())
    process = started[0]._process.pid
    assert alive(started[0])
    desk.attempt.release()
    assert not alive(started[0]) and not Path(f"/proc/{process}").exists() and desk.attempt.ahead is None
    none = Desk(tmp_path / "none")
    start_ahead(none.attempt, none.admitted())
    assert none.attempt.ahead is None and len(started) == 1
    weak = Desk(tmp_path / "weak")
    tiers = weak.settings.tiers
    tiers.write_text(tiers.read_text().replace("cell: none", "cell: bubblewrap"))
    start_ahead(weak.attempt, weak.admitted())
    assert weak.attempt.ahead is None and len(started) == 1


def test_a_cell_is_kept_for_the_same_run_and_for_nobody_else(tmp_path: Path, started: list[Cell]) -> None:
    """What a process that stays for an answer starts, its next attempt drives; another run, another workload or a dead one starts anew."""
    require("bubblewrap")
    desk, other = Desk(tmp_path / "one", cell="bubblewrap", rehearsal="skip"), Desk(tmp_path / "other", cell="bubblewrap", rehearsal="skip")
    made = desk.planned()
    others = other.planned()
    del started[:]

    keep_ahead(desk.attempt)
    desk.attempt.release()  # the attempt is over, the cell is not
    assert len(started) == 1 and alive(started[0]) and desk.attempt.ahead is None
    start_ahead(other.attempt, others.admitted, others.body.cell)
    assert len(started) == 2 and not alive(started[0]) and alive(started[1])
    other.attempt.release()

    keep_ahead(desk.attempt)
    started[2]._process.kill()
    started[2]._process.wait()
    start_ahead(desk.attempt, made.admitted, made.body.cell)
    assert len(started) == 4 and alive(started[3])
    desk.attempt.release()

    keep_ahead(desk.attempt)
    drop_aside()
    assert len(started) == 5 and not any(map(alive, started))

    keep_ahead(desk.attempt)
    start_ahead(desk.attempt, made.admitted, made.body.cell)
    outcome = run_rounds(desk.attempt, desk.approve(made))
    assert len(outcome.rounds) == 2 and len(started) == 6 and not alive(started[5])
    keep_ahead(desk.attempt)  # what it gave is there: people are asked about that, and nobody drives the workload again
    assert len(started) == 6 and desk.attempt.ahead is None


def test_a_fork_starts_the_cell_before_its_attempt(tmp_path: Path, started: list[Cell]) -> None:
    """The cell of a run with a plan imports before the run is taken over; without a plan, with other files or behind the rounds there is none."""
    require("bubblewrap")
    desk = Desk(tmp_path, cell="bubblewrap", rehearsal="skip")

    def aside() -> int:
        del started[:]
        start_aside(desk.settings, desk.ledger, desk.attempt.run_id)
        return len(started)

    assert aside() == 0
    made = desk.planned()
    approved = desk.approve(made)
    assert aside() == 1
    start_ahead(desk.attempt, made.admitted, made.body.cell)
    run_rounds(desk.attempt, approved)
    assert len(started) == 1 and not alive(started[0])
    assert aside() == 0
    drop_aside()

    changed = Desk(tmp_path / "changed", cell="bubblewrap", rehearsal="skip")
    changed.planned()
    changed.write(TWO_ROUNDS + "\n\nLATER = 1\n")
    del started[:]
    start_aside(changed.settings, changed.ledger, changed.attempt.run_id)
    assert started == []


def test_a_cell_that_imported_other_packages_is_not_driven(tmp_path: Path, started: list[Cell]) -> None:
    """A cell that was kept takes the workload before what is installed has been looked at; whoever drives it compares."""
    require("bubblewrap")
    desk = Desk(tmp_path, cell="bubblewrap", rehearsal="skip")
    made = desk.planned()
    for other in (False, True):
        del started[:]
        get_spares(desk.settings)
        start_aside(desk.settings, desk.ledger, desk.attempt.run_id)
        kept = ahead._aside[0]
        assert kept.packages == packages_of(desk.settings).digest
        ahead._aside[0] = replace(kept, packages="0" * 64) if other else kept
        start_ahead(desk.attempt, made.admitted, made.body.cell)
        assert alive(started[0]) is not other
        assert len(started) == 1 + other
        desk.attempt.release()
    drop_aside()


def test_a_first_round_is_computed_before_anybody_asks_for_it(tmp_path: Path, started: list[Cell]) -> None:
    """It is what the plan has; a cell that was given data is not kept beyond its attempt."""
    require("bubblewrap")
    desk = Desk(tmp_path, cell="bubblewrap", rehearsal="skip")
    made = desk.planned()
    approved = desk.approve(made)
    start_ahead(desk.attempt, made.admitted, made.body.cell)
    cell = started[-1]
    until = time.monotonic() + 60
    while cell._channel.says() != Kind.CIRCUITS:
        assert time.monotonic() < until
        begin_ahead(desk.attempt, made.validated.minimised)
        time.sleep(0.02)
    keep_ahead(desk.attempt)
    assert not alive(cell)
    drop_aside()

    start_ahead(desk.attempt, made.admitted, made.body.cell)
    begin_ahead(desk.attempt, made.validated.minimised)
    assert len(run_rounds(desk.attempt, approved).rounds) == 2
