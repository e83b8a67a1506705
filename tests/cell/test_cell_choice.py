"""Which cell a run gets: the strongest that works, no weaker one than the tier takes, the same to its end; and who can read that."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.cells import CELLS, require
from tests.support.gates import TWO_ROUNDS, Desk
from tests.support.plans import RUN

from prefect_gatehouse.errors import InputError, Unavailable
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.policy.tiers import load_tiers
from prefect_gatehouse.run.cells import rounds_of
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import CellName
from prefect_gatehouse.workload.runner import choose as module
from prefect_gatehouse.workload.runner import places
from prefect_gatehouse.workload.runner.choose import choose, strongest


@pytest.mark.parametrize("cell", CELLS)
def test_a_run_has_one_cell_to_its_end(cell: CellName, tmp_path: Path) -> None:
    """Planned and driven in it; plan, digest, form and ledger name it, with the lines that nobody read."""
    require(cell)
    desk = Desk(tmp_path, TWO_ROUNDS.replace("    share =", "    print('CANARY')\n    share ="), cell=cell)
    made = desk.planned()
    assert made.body.cell == cell
    assert made.body.model_copy(update={"cell": "none"}).digest() != made.digest
    told = [row for section in sections(made) for row in section.rows if row[0] == "The workload's cell"]
    assert len(told) == 1 and told[0][1].startswith(f"{cell}; denied: network")
    outcome = run_rounds(desk.attempt, desk.approve(made))
    assert len(outcome.rounds) == 2
    ran = [event.data for event in desk.ledger.events(RUN, "workload-ran")]
    assert ran == [{"step": step, "cell": cell, "suppressed_lines": lines} for step, lines in (("rehearsal", 0), ("plan", 1), ("rounds", 1))]
    assert "CANARY" not in str(ran)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("what", ["source.csv", "target.sqlite"])
def test_no_cell_could_read_source_or_target(cell: CellName, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project among the system's or the packages' files, as /usr/src/app in a container, would show each workload all columns of its source."""
    require(cell)
    desk = Desk(tmp_path, cell=cell)
    monkeypatch.setattr(places, "SYSTEM", (*places.SYSTEM, (desk.folder / what).resolve()))
    with pytest.raises(InputError, match="lies where a workload may read") as caught:
        desk.planned()
    assert caught.value.where.endswith(what)


def test_another_machine_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was approved to run in a cell does not run in a weaker one, nor in none."""
    require("bubblewrap")
    desk = Desk(tmp_path, cell="bubblewrap")
    made = desk.planned()
    monkeypatch.setattr(type(module.MECHANISMS[0]), "usable", lambda self: False)
    with pytest.raises(Unavailable, match="a cell of bubblewrap can't be made here"):
        rounds_of(desk.attempt, made.validated.minimised, made.body.cell)


def test_the_form_says_that_there_is_none(tmp_path: Path) -> None:
    """Development runs without a cell, and nobody approves that unread."""
    made = Desk(tmp_path, cell="none").planned()
    rows = [row for section in sections(made) for row in section.rows if row[0] == "The workload's cell"]
    assert rows == [
        ("The workload's cell", "none; denied: nothing: it runs in the process of the run, with everything that this process can read and do")
    ]


def test_the_tier_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting can't weaken what the tier asks for, and where there is too little the run stops."""
    with pytest.raises(InputError, match="at least landlock, the setting names none"):
        choose("none", "landlock")
    for mechanism in module.MECHANISMS:
        monkeypatch.setattr(type(mechanism), "usable", lambda self: False)
    strongest.cache_clear()
    try:
        assert choose(None) == "none"
        with pytest.raises(Unavailable, match="at least landlock, and this machine has none"):
            choose(None, "landlock")
        with pytest.raises(Unavailable, match="a cell of landlock can't be made here"):
            choose("landlock")
    finally:
        strongest.cache_clear()


def test_business_takes_no_workload_without_a_cell(tmp_path: Path) -> None:
    """Neither by the file that is shipped nor by one that somebody edits; a file that says nothing asks for the most."""
    shipped = Settings().tiers.read_text()
    tiers = load_tiers(Settings().tiers)
    assert (tiers["prototype"].cell, tiers["integration"].cell, tiers["business"].cell) == ("none", "landlock", "landlock")
    edited = tmp_path / "tiers.yaml"
    head, business = shipped.split("business:")
    edited.write_text(head + "business:" + business.replace("cell: landlock", "cell: none"))
    with pytest.raises(InputError, match="takes workloads without a cell"):
        load_tiers(edited)
    edited.write_text(head + "business:" + business.replace("  cell: landlock\n", ""))
    assert load_tiers(edited)["business"].cell == "bubblewrap"
