"""Workloads in cells: each that this machine has, and none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from prefect_gatehouse.vocabulary import CellName
from prefect_gatehouse.workload.rounds import Finished
from prefect_gatehouse.workload.runner.choose import MECHANISMS, run_in
from prefect_gatehouse.workload.runner.interface import Limits, Runner, Task
from prefect_gatehouse.workload.sources import find_workload
from tests.services import unavailable
from tests.support.gates import HEAD

CELLS: tuple[CellName, ...] = ("bubblewrap", "landlock")
EVERYWHERE: tuple[CellName, ...] = ("none", *CELLS)
FEATURES = pd.DataFrame({"subject": ["a", "b", "c"], "x": [0.3, 0.2, 0.1]})
LIMITS = Limits(cpu_seconds=120, wall_seconds=120, memory=3 << 30, file=8 << 20)


def require(cell: CellName) -> None:
    """Skips a test of a cell that this machine does not have; in CI it has to have each."""
    if cell == "none" or next(each for each in MECHANISMS if each.name == cell).usable():
        return
    unavailable(f"{cell} does not work here")


def runner(
    cell: CellName,
    folder: Path,
    body: str,
    features: pd.DataFrame = FEATURES,
    /,
    limits: Limits = LIMITS,
    secret: tuple[Path, ...] = (),
    apart: tuple[Path, ...] = (),
    **parameters: Any,
) -> Runner:
    """A workload of this text over some features; what lies beside it is its own, but for what is set apart."""
    require(cell)
    folder.mkdir(exist_ok=True)
    (folder / "workload.py").write_text(HEAD + body)
    table = pa.Table.from_pandas(features, preserve_index=False)
    return run_in(cell, Task(find_workload("workload.py:solve", folder, apart), lambda: table, parameters, {"subject", "found"}), limits, secret)


def to_the_end(rounds: Runner, counts: dict[str, int] | None = None) -> pa.Table:
    """What a workload returns when every circuit is answered with the same counts."""
    with rounds:
        step = rounds.advance(None)
        while not isinstance(step, Finished):
            step = rounds.advance([counts or {"0": 1}] * len(step))
    return step.table


ATTACK = """
def solve(features, parameters):
    try:
        found = attack(parameters)
    except Exception as error:
        found = None
    yield [QuantumCircuit(1, 1)]
    return pd.DataFrame({"found": [repr(found)]})
"""


def attacked(cell: CellName, folder: Path, attack: str, limits: Limits = LIMITS, /, apart: tuple[Path, ...] = (), **parameters: Any) -> str:
    """What an attack got hold of, as the workload tells it in its frame; ``None`` if it was denied."""
    table = to_the_end(runner(cell, folder, f"{attack}\n{ATTACK}", limits=limits, apart=apart, **parameters))
    return str(table.column("found")[0].as_py())


ATTACKS = """
def told(attack, given):
    try:
        return repr(attack(given))
    except Exception:
        return "None"


def solve(features, parameters):
    found = [told(attack, given) for attack, given in zip(attacks, parameters["each"], strict=True)]
    yield [QuantumCircuit(1, 1)]
    return pd.DataFrame({"found": found})
"""


def all_attacked(cell: CellName, folder: Path, attacks: Mapping[str, tuple[str, Mapping[str, Any]]], limits: Limits = LIMITS, /) -> dict[str, str]:
    """What each of several attacks with its parameters got hold of, one after the other in one cell: a cell takes a second to start."""
    functions = "".join(f"{attack}\nattacks.append(attack)\n" for attack, _ in attacks.values())
    body = f"attacks = []\n{functions}\n{ATTACKS}"
    table = to_the_end(runner(cell, folder, body, limits=limits, each=[dict(given) for _, given in attacks.values()]))
    return dict(zip(attacks, table.column("found").to_pylist(), strict=True))
