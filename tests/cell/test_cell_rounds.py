"""A workload in a cell does what it does without one: the same rounds, frames and errors, in the same words."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.support.cells import CELLS, EVERYWHERE, FEATURES, LIMITS, require, runner, to_the_end
from tests.support.circuit_lists import summarise
from tests.support.gates import HEAD, TWO_ROUNDS
from tests.workload.test_rounds import NO_CIRCUITS, RAISING

from prefect_gatehouse.errors import GatehouseError, InputError, PlanChanged, UnusableAnswer, WorkloadFailed
from prefect_gatehouse.vocabulary import CellName
from prefect_gatehouse.workload.rounds import Finished
from prefect_gatehouse.workload.runner.choose import run_in
from prefect_gatehouse.workload.runner.interface import Runner, Task
from prefect_gatehouse.workload.sources import find_workload


def digests(rounds: Runner, counts: dict[str, int]) -> tuple[list[str], pa.Table]:
    """What each round amounts to, and the frame."""
    found = []
    with rounds:
        step = rounds.advance(None)
        while not isinstance(step, Finished):
            found.append(summarise(step, 64).digest)
            step = rounds.advance([counts] * len(step))
    return found, step.table


def test_the_same_rounds_everywhere(tmp_path: Path) -> None:
    """Circuits and frame are those of a workload without a cell, whatever the generators of the process before drew."""
    found = []
    for turn, cell in enumerate((*EVERYWHERE, *CELLS)):
        random.seed(turn)
        np.random.seed(turn)
        found.append(digests(runner(cell, tmp_path / "w", TWO_ROUNDS), {"00": 40, "11": 24}))
    assert len(found[0][0]) == 2
    for circuits, table in found:
        assert circuits == found[0][0]
        assert table.to_pydict() == found[0][1].to_pydict()


UNSEEDED = """
import datetime
import hashlib
import secrets
import time
import uuid


def solve(features, parameters):
    for _ in range(3):
        drawn = [
            random.random(), np.random.random(), np.random.default_rng().random(), random.Random().random(), np.random.RandomState().random(),
            random.SystemRandom().random(), secrets.token_hex(), os.urandom(8), uuid.uuid4(), list({"a", "b", "c", "d", "e", "f"}),
            time.time(), time.time_ns(), time.ctime(), time.strftime("%c"), time.perf_counter(), datetime.datetime.now(),
            datetime.datetime.now(datetime.UTC), datetime.date.today(), datetime.datetime.today(), pd.Timestamp.now(), __file__,
        ]
        made = QuantumCircuit(1, 1)
        made.rx(int(hashlib.sha256(repr(drawn).encode()).hexdigest()[:8], 16) / 1e6, 0)
        yield [made]
    return pd.DataFrame({"found": [repr(drawn)]})
"""


def test_what_has_no_seed_replays(tmp_path: Path) -> None:
    """Clock, hash order and the system's random numbers are the same in each replay, and differ from round to round."""
    require("bubblewrap")
    found = [digests(runner("bubblewrap", tmp_path / "w", UNSEEDED), {"0": 64}) for _ in range(2)]
    assert found[0][1].to_pydict() == found[1][1].to_pydict()
    assert found[0][0] == found[1][0]
    assert len(set(found[0][0])) == 3


@pytest.mark.parametrize("cell", CELLS)
def test_types_come_out_as_without_a_cell(cell: CellName, tmp_path: Path) -> None:
    """Every type of column in and out: nothing is lost in the pipe, and nothing is added."""
    features = pd.DataFrame(
        {
            "subject": ["a", "b", None],
            "whole": pd.array([1, None, 2**53 + 1], dtype="Int64"),
            "truth": pd.array([True, None, False], dtype="boolean"),
            "number": [0.5, None, -0.0],
            "day": pd.to_datetime(["2026-01-01", None, "2026-01-03"]).date,
            "instant": pd.to_datetime(["2026-01-01T00:00:00.000001Z", None, "2026-01-03T00:00:00Z"], format="ISO8601"),
        }
    )
    body = "def solve(features, parameters):\n    yield [QuantumCircuit(1, 1)]\n    return features.assign(kinds=str(features.dtypes.to_dict()))\n"
    expected = to_the_end(runner("none", tmp_path / "w", body, features))
    found = to_the_end(runner(cell, tmp_path / "w", body, features))
    assert found.equals(expected.replace_schema_metadata(None))


@pytest.mark.parametrize("cell", CELLS)
def test_counts_and_parameters_arrive(cell: CellName, tmp_path: Path) -> None:
    """Registers of counts, and what a manifest may hold as parameters."""
    body = """
from qiskit import ClassicalRegister, QuantumRegister


def solve(features, parameters):
    assert parameters == {"text": "ä", "number": 1.5, "list": [1, None, {"a": True}]}
    two = QuantumCircuit(QuantumRegister(3), ClassicalRegister(1, "c0"), ClassicalRegister(2, "c1"))
    first, second = yield [two, QuantumCircuit(2, 2)]
    assert first.spaced() == {"10 1": 3, "11 1": 2, "10 0": 1} and first.of("c0") == {"1": 5, "0": 1}
    assert second == {"01": 6}
    return pd.DataFrame({"found": [1]})
"""
    with runner(cell, tmp_path / "w", body, text="ä", number=1.5, list=[1, None, {"a": True}]) as rounds:
        rounds.advance(None)
        assert isinstance(rounds.advance([{"101": 3, "111": 2, "100": 1}, {"01": 6}]), Finished)


def told(cell: CellName, folder: Path, body: str, counts: bool = False) -> GatehouseError:
    """The error of a workload."""
    try:
        with runner(cell, folder, body) as rounds:
            rounds.advance(None)
            if counts:
                rounds.advance([{"0": 1}])
    except GatehouseError as error:
        return error
    raise AssertionError("it was not refused")


@pytest.mark.parametrize("name", RAISING)
def test_a_workload_that_raises_is_told_alike(tmp_path: Path, name: str) -> None:
    """Type and line, not the text; Ctrl-C and Prefect's own included, which nobody sends into a cell."""
    if name.startswith("prefect"):
        pytest.importorskip("prefect.exceptions")
    cell = CELLS[list(RAISING).index(name) % 2]
    body = f"def solve(features, parameters):\n    yield [QuantumCircuit(1, 1)]\n    {RAISING[name]}\n    yield []\n"
    error = told(cell, tmp_path / "w", body, counts=True)
    assert isinstance(error, WorkloadFailed) and "CANARY" not in str(error)
    assert str(error) == str(told("none", tmp_path / "w", body, counts=True))


UNUSABLE = {
    **{f"yields-{place}": f"yield {what}\n" for place, what in enumerate(NO_CIRCUITS) if place in (0, 4, 9)},
    "not-finite": "made = QuantumCircuit(1, 1)\n    made.rx(float('nan'), 0)\n    yield [made]\n",
    "control-flow": "made = QuantumCircuit(1, 1)\n    with made.if_test((0, 1)):\n        made.x(0)\n    yield [made]\n",
    "pub": "yield [(QuantumCircuit(1, 1), [[1, 2]])]\n",
    "frame": "yield [QuantumCircuit(1, 1)]\n    return pd.DataFrame({'subject': ['a'], 'CANARY': [1j], 'found': [1]})\n",
    "declared": "yield [QuantumCircuit(1, 1)]\n    return pd.DataFrame({'subject': ['a'], 'found': [1j]})\n",
    "mixed": "yield [QuantumCircuit(1, 1)]\n    return pd.DataFrame({'found': [1, 'a', 2.5, b'c', None]})\n",
    "none": "yield [QuantumCircuit(1, 1)]\n",
    "own-type": "yield [QuantumCircuit(1, 1)]\n    return type('CANARY', (dict,), {})()\n",
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_answer_is_told_alike(tmp_path: Path, name: str) -> None:
    """The sentence, its numbers and its advice."""
    cell = CELLS[list(UNUSABLE).index(name) % 2]
    body = f"def solve(features, parameters):\n    {UNUSABLE[name]}"
    counts = "return" in body or name == "none"
    error = told(cell, tmp_path / "w", body, counts)
    assert isinstance(error, UnusableAnswer) and "CANARY" not in str(error)
    assert str(error) == str(told("none", tmp_path / "w", body, counts))


LOADING = {
    "raises": "raise ValueError('CANARY')\n",
    "syntax": "\ndef solve(:  # CANARY\n",
    "nul": "x = 1\0CANARY\n",
    "missing": "\nimport no_such_package.part\n",
    "made-up": "import importlib; importlib.import_module('no_such_package_CANARY')\n",
    "exits": "raise SystemExit('CANARY')\n",
}


@pytest.mark.parametrize("name", LOADING)
def test_a_file_that_can_not_be_loaded_is_told_alike(tmp_path: Path, name: str) -> None:
    """Nothing of it runs outside: neither when it is looked for nor when it is digested."""
    cell = CELLS[list(LOADING).index(name) % 2]
    body = f"{LOADING[name]}\ndef solve(features, parameters):\n    yield []\n"
    error = told(cell, tmp_path / "w", body)
    assert "CANARY" not in str(error)
    assert str(error) == str(told("none", tmp_path / "w", body))


@pytest.mark.parametrize("cell", CELLS)
def test_no_generator(cell: CellName, tmp_path: Path) -> None:
    """An input error that names the field."""
    with pytest.raises(InputError, match="no generator function"), runner(cell, tmp_path / "w", "solve = 1\n") as rounds:
        rounds.advance(None)


@pytest.mark.parametrize("cell", CELLS)
def test_neighbours_and_packages(cell: CellName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workload imports its neighbours, late ones too; one of an installed package is found by its name, wherever it is installed."""
    folder = tmp_path / "w"
    (folder / "parts").mkdir(parents=True)
    (folder / "helper.py").write_text("WIDTH = 3\n")
    (folder / "parts" / "inner.py").write_text("DEPTH = 2\n")
    body = (
        "def solve(features, parameters):\n    import helper\n    from parts.inner import DEPTH\n"
        "    yield [QuantumCircuit(helper.WIDTH, 1)] * DEPTH\n    return pd.DataFrame({'found': [1]})\n"
    )
    with runner(cell, folder, body) as rounds:
        batch = rounds.advance(None)
    assert not isinstance(batch, Finished) and (batch.qubits, len(batch)) == (3, 2)
    package = tmp_path / "elsewhere" / "a_package_in_a_cell"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise_ = 1\n")
    kernel = "from a_package_in_a_cell import raise_\n\n\ndef solve(features, parameters):\n    yield [QuantumCircuit(4, 1)]\n"
    (package / "kernel.py").write_text(HEAD + kernel)
    monkeypatch.syspath_prepend(str(package.parent))
    table = pa.Table.from_pandas(FEATURES)
    found = find_workload("a_package_in_a_cell.kernel:solve", tmp_path)
    with run_in(cell, Task(found, lambda: table, {}), LIMITS) as rounds:
        batch = rounds.advance(None)
    assert not isinstance(batch, Finished) and batch.qubits == 4


@pytest.mark.parametrize("cell", CELLS)
def test_what_runs_is_what_was_digested(cell: CellName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changes after it was read is not looked at again; files that are not those of the digest do not run."""
    body = "def solve(features, parameters):\n    yield [QuantumCircuit({}, 1)]\n"
    require(cell)
    (tmp_path / "workload.py").write_text(HEAD + body.format(2))
    found = find_workload("workload.py:solve", tmp_path)
    (tmp_path / "workload.py").write_text(HEAD + body.format(3))
    table = pa.Table.from_pandas(FEATURES)
    with run_in(cell, Task(found, lambda: table, {}), LIMITS) as rounds:
        batch = rounds.advance(None)
    assert not isinstance(batch, Finished) and batch.qubits == 2
    # An installed package is read by its own process: there the digests are compared.
    package = tmp_path / "elsewhere" / "a_package_that_changes"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "kernel.py").write_text(HEAD + body.format(2))
    monkeypatch.syspath_prepend(str(package.parent))
    found = find_workload("a_package_that_changes.kernel:solve", tmp_path)
    (package / "kernel.py").write_text(HEAD + body.format(3))
    with pytest.raises(PlanChanged), run_in(cell, Task(found, lambda: table, {}), LIMITS) as rounds:
        rounds.advance(None)


READS = """
from pathlib import Path


def solve(features, parameters):
    here = Path(__file__).parent
    weights = np.load(here / "weights.npy")
    table = pd.read_csv(here / "deep" / "table.csv")
    yield [QuantumCircuit(len(weights), 1)] * len(table)
    return pd.DataFrame({"found": [float(weights.sum() + table["x"].sum())]})
"""


def with_data(folder: Path) -> None:
    (folder / "deep").mkdir(parents=True)
    np.save(folder / "weights.npy", np.array([0.25, 0.5, 1.0]))
    (folder / "deep" / "table.csv").write_text("x\n1\n2\n")


@pytest.mark.parametrize("cell", EVERYWHERE)
def test_data_files_beside_the_workload(cell: CellName, tmp_path: Path) -> None:
    """They are where its own file is, in every cell, below folders too, and nothing is left of them but what was there before."""
    with_data(tmp_path / "w")
    table = to_the_end(runner(cell, tmp_path / "w", READS))
    assert table.column("found").to_pylist() == [4.75]
    assert sorted(path.name for path in (tmp_path / "w").rglob("*")) == ["deep", "table.csv", "weights.npy", "workload.py"]


@pytest.mark.parametrize("cell", CELLS)
def test_data_files_larger_than_a_pipe(cell: CellName, tmp_path: Path) -> None:
    """More than a pipe, and than the temporary files that a workload may have, goes in."""
    (tmp_path / "w").mkdir()
    np.save(tmp_path / "w" / "large.npy", np.ones(3 << 20))
    body = (
        "def solve(features, parameters):\n    import pathlib\n    large = np.load(pathlib.Path(__file__).parent / 'large.npy')\n"
        "    yield [QuantumCircuit(1, 1)]\n    return pd.DataFrame({'found': [float(large.sum())]})\n"
    )
    limits = dataclasses.replace(LIMITS, file=1 << 20)
    assert to_the_end(runner(cell, tmp_path / "w", body, limits=limits)).column("found").to_pylist() == [float(3 << 20)]


@pytest.mark.parametrize("cell", CELLS)
def test_a_data_file_that_changes(cell: CellName, tmp_path: Path) -> None:
    """What was digested is what the workload reads; where a cell has no place of its own for it, another file stops the workload."""
    with_data(tmp_path / "w")
    rounds = runner(cell, tmp_path / "w", READS)
    np.save(tmp_path / "w" / "weights.npy", np.array([9.0, 9.0, 9.0]))
    if cell == "bubblewrap":
        assert to_the_end(rounds).column("found").to_pylist() == [4.75]
    else:
        with pytest.raises(PlanChanged):
            to_the_end(rounds)


@pytest.mark.parametrize("cell", CELLS)
def test_many_files_of_long_names(cell: CellName, tmp_path: Path) -> None:
    """As many as may lie beside a workload, in names that no argument of a process could hold (128 KiB, execve(2))."""
    (tmp_path / "w").mkdir()
    for number in range(900):
        (tmp_path / "w" / f"{number:0200}.txt").write_text(str(number))
    body = """
def solve(features, parameters):
    place = os.path.dirname(__file__)
    found = [int(open(os.path.join(place, f"{number:0200}.txt")).read()) for number in range(900)]
    yield [QuantumCircuit(1, 1)]
    return pd.DataFrame({"found": [sum(found)]})
"""
    assert to_the_end(runner(cell, tmp_path / "w", body)).column("found").to_pylist() == [404_550]
