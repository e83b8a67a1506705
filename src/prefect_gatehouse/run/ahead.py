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


_unassigned: list[Unassigned] = []


def is_prepared() -> bool:
    """Whether this process has a cell for whatever it drives next."""
    return bool(_aside or _unassigned)


def keep_spare(unassigned: Unassigned) -> None:
    """Keeps a cell without a workload for the first one that this process starts."""
    drop_spare()
    _unassigned.append(unassigned)


def take_spare(cell: CellName, packages: str | None) -> Unassigned | None:
    """The cell that was kept, if it is such a one and what is installed is what it imported; any other is ended.

    Args:
        cell: Such a one.
        packages: Digest of what is installed; None where that is compared later.
    """
    kept = _unassigned.pop() if _unassigned else None
    if kept is not None and kept.cell == cell and packages in (None, kept.packages):
        return kept
    if kept is not None:
        kept.spare.close()
    return None


def drop_spare() -> None:
    """Ends the cell that nobody took."""
    while _unassigned:
        _unassigned.pop().spare.close()
