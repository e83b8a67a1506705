"""What ``gatehouse doctor`` says of this machine's cell."""

from __future__ import annotations

import pytest

from prefect_gatehouse.operate import doctor
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
    found = doctor._of_cell()
    assert (found.level, found.where) == (level, "this machine")
    assert f"in the cell {cell}; denied: " in found.message
    assert advice in found.advice
