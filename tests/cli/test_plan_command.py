"""``gatehouse plan``: the tables, what the circuits look like, and both as JSON; nothing is left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.support.gates import Desk

from prefect_gatehouse.cli.main import main


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The small project: three circuits of one template, each with an angle of its own."""
    made = Desk(tmp_path, backends="aer")
    made.ledger.close()
    monkeypatch.setenv("GATEHOUSE_HOME", str(made.settings.home))
    monkeypatch.setenv("GATEHOUSE_TIERS", str(made.settings.tiers))
    monkeypatch.setenv("COLUMNS", "80")
    return made


def said(desk: Desk, *words: str) -> str:
    done = CliRunner().invoke(main, ["plan", str(desk.manifest), "--unsigned", *words])
    assert done.exit_code == 0, done.output
    return str(done.stdout)


def test_the_drawing_stands_below_the_tables(desk: Desk) -> None:
    """Whole lines, no wider than a terminal of 80, with how many settings it stands for; the last line stays the last."""
    before = set(desk.settings.home.rglob("*"))
    lines = said(desk).rstrip().splitlines()
    at = lines.index("template 1: 2 qubits, 4 gates, 3 settings of its 1 angle")
    assert lines.index(next(line for line in lines if line.startswith("What will be written"))) < at
    assert "┤ Ry(θ[0]) ├" in lines[at + 2]
    assert max(map(len, lines[at:])) <= 80
    assert lines[-1].startswith("plan ")
    assert set(desk.settings.home.rglob("*")) == before


def test_the_drawing_is_a_field_of_the_json(desk: Desk) -> None:
    """For each template its size, how often each gate comes, and the lines."""
    data = json.loads(said(desk, "--json"))
    (one,) = data["drawings"]["templates"]
    assert (one["settings"], one["angles"], one["qubits"]) == (3, 1, 2)
    assert one["gates"] == {"ry": 1, "cx": 1, "measure": 2}
    assert any("Ry(θ[0])" in line for line in one["lines"])
    assert data["drawings"]["left_out"] == 0
    assert data["body"]["circuits"]["templates"] == 1
