"""What ``gatehouse doctor`` says of this machine's cell, of the bundle of policies and of where tickets are."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.bundles import own_files, sign_bundle, write_bundle
from tests.support.plans import TICKETS

from prefect_gatehouse.ledger.opening import open_ledger
from prefect_gatehouse.operate import doctor
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import CellName


@pytest.mark.parametrize(
    ("cell", "platform", "level", "advice"),
    [
        ("bubblewrap", "linux", "note", "nothing"),
        ("landlock", "linux", "note", "install bubblewrap"),
        ("none", "linux", "problem", "install bubblewrap"),
        ("none", "darwin", "note", "run workers of the tiers that ask for a cell on Linux"),
    ],
)
def test_the_cell_is_named(cell: CellName, platform: str, level: str, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name, what it denies, and what would make it stronger; a Linux without any is a problem."""
    monkeypatch.setattr(doctor, "strongest", lambda: cell)
    monkeypatch.setattr(doctor.sys, "platform", platform)
    (found,) = doctor._of_cell()
    assert (found.level, found.where) == (level, "this machine")
    assert f"in the cell {cell}; denied: " in found.message
    assert advice in found.advice


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation that the doctor looks over, with rules of its own."""
    made = own_files(Settings(home=tmp_path / "home"), tmp_path)
    made.folder("")
    monkeypatch.setattr(doctor, "load_settings", lambda: made)
    return made


def test_a_bundle_that_nobody_began_is_no_problem(settings: Settings) -> None:
    """Where only the prototype tier is meant to run, neither a bundle nor a ticket system is missing."""
    assert [*doctor._of_bundle(), *doctor._of_tickets()] == []


def test_a_bundle_is_begun_signed_and_edited(settings: Settings) -> None:
    """A problem until it is signed, none after that, and one again as soon as a rule is edited."""
    write_bundle(settings)
    (begun,) = doctor._of_bundle()
    assert begun.level == "problem" and begun.message.endswith("only the prototype tier is open")
    with open_ledger(settings) as ledger:
        sign_bundle(settings, ledger)
    assert list(doctor._of_bundle()) == []
    settings.classes.write_text(settings.classes.read_text().replace("artifacts: 90d", "artifacts: 89d"))
    (edited,) = doctor._of_bundle()
    assert "classes" in edited.message


def test_tickets_that_nobody_could_check(settings: Settings) -> None:
    """Tiers whose runs would stop at admission are named, with the file to write."""
    write_bundle(settings)
    (none,) = doctor._of_tickets()
    assert none.message == "no ticket system is set up: runs of integration, business stop at admission"
    assert str(settings.tickets_file()) in none.advice
    settings.tickets_file().write_text(TICKETS)
    (listed,) = doctor._of_tickets()
    assert listed.message == "a list, and no ticket system, is set up: runs of business stop at admission"
