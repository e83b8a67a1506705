"""Which cell a workload gets: the strongest that works here, or the one that is named, and never a weaker one in silence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, get_args

from prefect_gatehouse.errors import InputError, Unavailable
from prefect_gatehouse.vocabulary import CellName
from prefect_gatehouse.workload.runner.bubblewrap import Bubblewrap
from prefect_gatehouse.workload.runner.landlock import Landlock

if TYPE_CHECKING:
    from pathlib import Path

    from prefect_gatehouse.workload.runner.cell import Spare
    from prefect_gatehouse.workload.runner.interface import Limits, Mechanism, Runner, Task

MECHANISMS: tuple[Mechanism, ...] = (Bubblewrap(), Landlock())
"""Strongest first."""
NOTHING = "nothing: it runs in the process of the run, with everything that this process can read and do"


@cache
def strongest() -> CellName:
    """The strongest cell that works here, found by trying; ``none`` where none does."""
    return next((each.name for each in MECHANISMS if each.usable()), "none")


def weaker(cell: CellName, than: CellName) -> bool:
    """Whether a cell is weaker than another."""
    order: Sequence[CellName] = get_args(CellName)
    return order.index(cell) < order.index(than)


def denies(cell: CellName) -> str:
    """What a cell denies, in words."""
    return next((each.denies for each in MECHANISMS if each.name == cell), NOTHING)


def choose(setting: CellName | None, weakest: CellName = "none") -> CellName:
    """The cell to use.

    Args:
        setting: The one that the installation names; the strongest if None.
        weakest: The least that is good enough.

    Raises:
        InputError: The named one is too weak.
        Unavailable: The named one does not work here, or none that is strong enough does.
    """
    found = strongest() if setting is None else setting
    if weaker(found, weakest):
        if setting is not None:
            raise InputError(
                f"the tier asks for a cell of at least {weakest}, the setting names {setting}", where="GATEHOUSE_CELL", advice="take the setting away"
            )
        raise Unavailable(
            f"the tier asks for a cell of at least {weakest}, and this machine has {found}",
            where="cell",
            advice="install bubblewrap where the worker runs and let it make user namespaces (docs/operators.md), then resume the run",
        )
    if found != "none" and not next(each for each in MECHANISMS if each.name == found).usable():
        raise Unavailable(f"a cell of {found} can't be made here", where="GATEHOUSE_CELL", advice="see docs/operators.md, The cell")
    return found


def spare_of(cell: CellName, limits: Limits) -> Spare | None:
    """A cell that imports before there is a workload for it; None where there is no such.

    Raises:
        Unavailable: It can't be started.
    """
    mechanism = next((each for each in MECHANISMS if each.name == cell and each.home is not None), None)
    if mechanism is None:
        return None
    from prefect_gatehouse.workload.runner.cell import Spare

    return Spare(mechanism, limits)


def run_in(cell: CellName, task: Task, limits: Limits, secret: Sequence[Path] = (), spare: Spare | None = None) -> Runner:
    """A workload, ready to be driven in a cell.

    Args:
        cell: Which.
        task: What it drives.
        limits: What it may use; without a cell nothing limits it.
        secret: Folders that it must not be able to read.
        spare: A cell that was started ahead, which becomes this one where it suits, and is ended where it does not.

    Raises:
        InputError: There is no generator function of this name, or a secret folder lies among those that it reads.
        Unavailable: The cell can't be made.
        WorkloadFailed: Without a cell: its files raised while they were loaded.
    """
    if cell == "none":
        from prefect_gatehouse.workload.runner.in_process import in_process

        if spare is not None:
            spare.close()
        return in_process(task)
    from prefect_gatehouse.workload.runner.cell import Cell

    return Cell(next(each for each in MECHANISMS if each.name == cell), task, limits, secret, spare)
