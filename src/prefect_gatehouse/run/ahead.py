"""A cell that was started ahead: it has the workload's files and imports, and waits for features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from prefect_gatehouse.vocabulary import CellName
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
    """

    run_id: str
    cell: CellName
    workload: FoundWorkload
    features: Features
    runner: Runner

    def close(self) -> None:
        """Ends it unused."""
        self.runner.close()


_aside: list[Ahead] = []


def set_aside(ahead: Ahead) -> None:
    """Keeps a cell for the attempt that this process begins next."""
    drop_aside()
    _aside.append(ahead)


def take_aside(run_id: str, cell: CellName, workload: FoundWorkload) -> Ahead | None:
    """The cell that was kept, if it is this run's, has this workload and still stands; any other is ended."""
    kept = _aside.pop() if _aside else None
    if kept is not None and (kept.run_id, kept.cell, kept.workload) == (run_id, cell, workload) and kept.runner.alive:
        return kept
    if kept is not None:
        kept.close()
    return None


def drop_aside() -> None:
    """Ends the cell that was kept and that nobody took."""
    while _aside:
        _aside.pop().close()
