"""Cells that were started ahead: one that has the workload's files and waits for features, and one that imports before anybody knows the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from prefect_gatehouse.vocabulary import CellName
    from prefect_gatehouse.workload.runner.cell import Spare
    from prefect_gatehouse.workload.runner.interface import Runner
    from prefect_gatehouse.workload.sources import FoundWorkload


class Features:
    """The minimised data, read when the workload is ready for it.

    Args:
        read: Reads it; None as long as nobody knows what the workload is given.
    """

    def __init__(self, read: Callable[[], pa.Table] | None = None) -> None:
        self.read = read

    def __call__(self) -> pa.Table:
        """The data, one row a subject."""
        assert self.read is not None  # a cell is given it before it is driven
        return self.read()


@dataclass(frozen=True)
class Ahead:
    """A cell that nobody drives yet.

    Attributes:
        run_id: Whose it is; no other run's, ever.
        cell: Which.
        workload: What it was given.
        features: What it will be given.
        runner: The cell.
        packages: Digest of what was installed when it imported, where nobody has compared that yet.
    """

    run_id: str
    cell: CellName
    workload: FoundWorkload
    features: Features
    runner: Runner
    packages: str | None = None

    def close(self) -> None:
        """Ends it unused."""
        self.runner.close()


_aside: list[Ahead] = []


def set_aside(ahead: Ahead) -> None:
    """Keeps a cell for the attempt that this process begins next."""
    drop_aside()
    _aside.append(ahead)


def take_aside(run_id: str, cell: CellName, workload: FoundWorkload, packages: str) -> Ahead | None:
    """The cell that was kept, if it is this run's, has this workload, imported what is installed and still stands; any other is ended."""
    kept = _aside.pop() if _aside else None
    suits = kept is not None and (kept.run_id, kept.cell, kept.workload) == (run_id, cell, workload) and kept.packages in (None, packages)
    if kept is not None and suits and kept.runner.alive:
        return kept
    if kept is not None:
        kept.close()
    return None


def drop_aside() -> None:
    """Ends the cell that was kept and that nobody took."""
    while _aside:
        _aside.pop().close()


@dataclass(frozen=True)
class Unassigned:
    """A cell without a workload.

    Attributes:
        cell: Which.
        packages: Digest of what was installed when it was started; it has imported some of that.
        spare: The cell.
    """

    cell: CellName
    packages: str
    spare: Spare


@dataclass(frozen=True)
class Early:
    """A cell without a workload that was started before anybody looked at what is installed.

    Attributes:
        cell: Which.
        started: When it was about to start, in nanoseconds since 1970.
        spare: The cell.
    """

    cell: CellName
    started: int
    spare: Spare


_unassigned: list[Unassigned] = []
_early: list[Early] = []


def keep_early(early: Early) -> None:
    """Keeps a cell for whoever wants the next one of this process."""
    _early.append(early)


def is_early() -> bool:
    """Whether there is one that nobody has taken."""
    return bool(_early)


def take_early(cell: CellName) -> Early | None:
    """The cell that was started early, if it is such a one; any other is ended."""
    kept = _early.pop() if _early else None
    if kept is not None and kept.cell != cell:
        kept.spare.close()
        return None
    return kept


def prepared() -> int:
    """How many cells this process has for what it drives next."""
    return len(_aside) + len(_unassigned)


def keep_spare(unassigned: Unassigned) -> None:
    """Keeps a cell without a workload for one that this process starts; the first that is kept is the first that is taken."""
    _unassigned.append(unassigned)


def take_spare(cell: CellName, packages: str | None) -> Unassigned | None:
    """The first cell that was kept, if it is such a one and what is installed is what it imported; any other is ended.

    Args:
        cell: Such a one.
        packages: Digest of what is installed; None where that is compared later.
    """
    kept = _unassigned.pop(0) if _unassigned else None
    if kept is not None and kept.cell == cell and packages in (None, kept.packages):
        return kept
    if kept is not None:
        kept.spare.close()
    return None


def drop_spare() -> None:
    """Ends the cells without a workload that nobody took."""
    for kept in (_unassigned, _early):
        while kept:
            kept.pop().spare.close()
