"""A cell that was started ahead: it has the workload's files and imports, and waits for features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from prefect_gatehouse.run.values import MinimisedData
    from prefect_gatehouse.vocabulary import CellName
    from prefect_gatehouse.workload.runner.interface import Runner
    from prefect_gatehouse.workload.sources import FoundWorkload


class Features:
    """The minimised data, read when the workload is ready for it.

    Args:
        read: Reads it.
        minimised: What is read; None as long as there is none.
    """

    def __init__(self, read: Callable[[MinimisedData], pa.Table], minimised: MinimisedData | None = None) -> None:
        self._read = read
        self.minimised = minimised

    def __call__(self) -> pa.Table:
        """The data, one row a subject."""
        assert self.minimised is not None  # a cell is given it before it is driven
        return self._read(self.minimised)


@dataclass(frozen=True)
class Ahead:
    """A cell that nobody drives yet.

    Attributes:
        cell: Which.
        workload: What it was given.
        features: What it will be given.
        runner: The cell.
    """

    cell: CellName
    workload: FoundWorkload
    features: Features
    runner: Runner

    def close(self) -> None:
        """Ends it unused."""
        self.runner.close()
