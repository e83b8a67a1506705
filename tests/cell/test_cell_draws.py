"""A cell draws before it has a workload: as this process would, in a process of its own, and the workload finds no trace of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.support.cells import FEATURES, LIMITS, require, to_the_end
from tests.support.gates import HEAD, TWO_ROUNDS, Desk

from prefect_gatehouse.run import ahead, cells
from prefect_gatehouse.workload import drawing
from prefect_gatehouse.workload.batch import CircuitBatch, Template, joined
from prefect_gatehouse.workload.drawing import draw, fulfil, order
from prefect_gatehouse.workload.runner.cell import Cell, Spare
from prefect_gatehouse.workload.runner.choose import run_in, spare_of
from prefect_gatehouse.workload.runner.interface import Task
from prefect_gatehouse.workload.runner.wire import HEAD as FRAME
from prefect_gatehouse.workload.runner.wire import Kind
from prefect_gatehouse.workload.sources import find_workload

BATCH = joined(
    [
        (Template(2, 1, (("h", (0,), ()), ("rzz", (0, 1), ()), ("measure", (0,), (0,)))), np.zeros((3, 1))),
        (Template(1, 1, (("u", (0,), ()), ("measure", (0,), (0,)))), np.zeros((1, 3))),
    ]
)
WIDE = joined([(Template(500, 1, (("h", (0,), ()), ("measure", (0,), (0,)))), np.zeros((1, 0)))])
# What Qiskit counts in a process: names of circuits and registers.
NAMES = """
def solve(features, parameters):
    from qiskit import QuantumRegister
    names = [QuantumCircuit(1).name, QuantumRegister(1).name]
    yield [QuantumCircuit(1, 1)]
    return pd.DataFrame({"subject": ["a"], "found": [" ".join(names)]})
"""


def spare() -> Spare:
    require("bubblewrap")
    made = spare_of("bubblewrap", LIMITS)
    assert made is not None
    return made


def cell_of(folder: Path, body: str, made: Spare, **parameters: Any) -> Cell:
    (folder / "workload.py").write_text(HEAD + body)
    table = pa.Table.from_pandas(FEATURES, preserve_index=False)
    task = Task(find_workload("workload.py:solve", folder), lambda: table, parameters, {"subject", "found"})
    cell = run_in("bubblewrap", task, LIMITS, (), made)
    assert isinstance(cell, Cell)
    return cell


def ordered(batch: CircuitBatch) -> bytes:
    found = order(batch)
    assert found is not None
    return found


def test_it_draws_what_this_process_would(tmp_path: Path) -> None:
    """And goes on to its workload, which counts as if nobody had drawn."""
    asked, other = spare(), spare()
    asked.draw(ordered(BATCH))
    cell = cell_of(tmp_path, NAMES, asked)
    assert cell.drawn is None
    found = to_the_end(cell)
    assert draw(BATCH, cell.drawn) == draw(BATCH)
    assert json.loads(cell.drawn or b"") == [list(each.lines) for each in draw(BATCH).first]
    assert found == to_the_end(cell_of(tmp_path, NAMES, other))


def test_asked_ahead_it_has_drawn_first(tmp_path: Path) -> None:
    """Whoever asks early and often for the first round gets it, whatever has come by then."""
    made = spare()
    made.draw(ordered(BATCH))
    with cell_of(tmp_path, NAMES, made) as cell:
        while cell.drawn is None:
            cell.ask(None)
        assert len(cell.advance(None)) == 1  # type: ignore[arg-type]
        assert draw(BATCH, cell.drawn) == draw(BATCH)


def test_what_it_can_not_draw_is_drawn_here(tmp_path: Path) -> None:
    """The workload is none the worse for it."""
    made = spare()
    made.draw(b"CANARY")
    cell = cell_of(tmp_path, NAMES, made)
    assert to_the_end(cell).num_rows == 1
    assert cell.drawn == b""
    assert draw(BATCH, cell.drawn) == draw(BATCH)


def test_one_that_dies_over_a_drawing_does_not_come_to_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads half of an answer."""
    from prefect_gatehouse.errors import Unavailable
    from prefect_gatehouse.workload.runner import cell as module

    half = f"import os; child._draw = lambda writing, order: (os.write(writing, {FRAME.pack(Kind.DRAWN, 100)!r}), os._exit(1))"
    start = f"import json, sys; order = json.loads(sys.argv[1])\nfrom prefect_gatehouse.workload.runner import child\n{half}\nchild.main(order)"
    monkeypatch.setattr(module, "_START", start)
    made = spare()
    made.draw(ordered(BATCH))
    with pytest.raises(Unavailable, match="did not come to stand"):
        to_the_end(cell_of(tmp_path, NAMES, made))


@pytest.mark.parametrize("answer", [None, b"", b"CANARY", b"[]", b'["a", "b"]', b"[[], []]", b"[[1], [2]]", b'{"a": 1}', b"[" * 100_000])
def test_answers_that_are_none(answer: bytes | None) -> None:
    """Too few, empty, no text, no JSON: what is shown is drawn here."""
    assert draw(BATCH, answer) == draw(BATCH)


def test_what_is_ordered() -> None:
    """The templates that are drawn, without their angles; nothing where none is."""
    assert order(WIDE) is None
    assert order(BATCH) == order(joined([(template, table[:1] + 1.5) for template, table in zip(BATCH.templates, BATCH.angles, strict=True)]))
    assert drawing._answered(fulfil(ordered(BATCH)), 2) == [each.lines for each in draw(BATCH).first]


def test_a_plan_shows_what_the_rehearsal_s_cell_drew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process draws nothing of it; without a cell that was kept it does."""
    require("bubblewrap")
    drawn: list[bytes | None] = []

    def told(batch: CircuitBatch, answer: bytes | None = None) -> drawing.Drawings:
        drawn.append(answer)
        return draw(batch, answer)

    monkeypatch.setattr("prefect_gatehouse.tasks.plan.draw", told)
    for name, kept in (("kept", 2), ("started", 0)):
        desk = Desk(tmp_path / name, TWO_ROUNDS, cell="bubblewrap")
        cells.get_spares(desk.attempt.settings, kept)
        desk.planned()
        assert [each.lines != () for each in desk.attempt.drawings.first] == [True]
        assert not ahead._unassigned
    assert [each is not None for each in drawn] == [True, False]
