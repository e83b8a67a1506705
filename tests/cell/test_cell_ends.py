"""A cell that is ended while it comes to stand: nothing of it is left."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests.support.cells import CELLS, runner

from prefect_gatehouse.vocabulary import CellName

WORKLOAD = """
def solve(features, parameters):
    yield [QuantumCircuit(1, 1)]
    return features
"""


def left(mark: str) -> list[str]:
    """Processes whose command line has a word."""
    found = []
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdigit() and mark.encode() in place.joinpath("cmdline").read_bytes():
                found.append(place.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("cell", CELLS)
def test_nothing_is_left_whenever_it_is_ended(cell: CellName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also between bubblewrap's two processes, of which the inner one waits for a word of the outer one."""
    from prefect_gatehouse.workload.runner import cell as module

    mark = f"gatehouse-{tmp_path.name}"
    monkeypatch.setattr(module, "_START", f"# {mark}\n{module._START}")
    for delay in range(60):
        rounds = runner(cell, tmp_path / "project", WORKLOAD)
        time.sleep(delay / 5000)  # 0 to 12 ms
        rounds.close()
    require_nothing_left(mark)


@pytest.mark.parametrize("cell", CELLS)
def test_nothing_is_left_of_a_killed_run(cell: CellName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill -9 of the run's process, while its cell comes to stand."""
    from prefect_gatehouse.workload.runner import cell as module

    mark = f"gatehouse-{tmp_path.name}"
    monkeypatch.setattr(module, "_START", f"# {mark}\n{module._START}")
    runner(cell, tmp_path / "project", WORKLOAD).close()  # what is looked up once, is
    for delay in range(60):
        process = os.fork()
        if not process:
            try:
                runner(cell, tmp_path / "project", WORKLOAD)
                time.sleep(delay / 5000)
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(process, 0)
    require_nothing_left(mark)


def require_nothing_left(mark: str) -> None:
    until = time.monotonic() + 20
    while left(mark) and time.monotonic() < until:
        time.sleep(0.05)
    assert left(mark) == []
