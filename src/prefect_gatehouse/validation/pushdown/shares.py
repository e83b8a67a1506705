"""The share of rows that pass, in the very arithmetic of Great Expectations, so that ``mostly`` cuts at the same row."""

from __future__ import annotations

from abc import ABC, abstractmethod

from prefect_gatehouse.validation.pushdown.interface import OnePass
from prefect_gatehouse.validation.pushdown.view import Batch


def enough(considered: int, unexpected: int, mostly: float) -> bool:
    """Whether enough rows pass; true where there is none to consider."""
    if considered == 0:
        return True
    return (float(considered) - float(unexpected)) / float(considered) >= mostly


class Share(OnePass, ABC):
    """Base of the checks that count unexpected rows of one column or a few.

    Args:
        columns: What is looked at.
        mostly: The share of rows that must pass.
    """

    def __init__(self, columns: tuple[str, ...], mostly: float) -> None:
        self.columns = columns
        self._mostly = mostly
        self._considered = 0
        self._unexpected = 0

    def update(self, batch: Batch) -> None:
        """Counts one batch."""
        considered, unexpected = self.look(batch)
        self._considered += considered
        self._unexpected += unexpected

    @abstractmethod
    def look(self, batch: Batch) -> tuple[int, int]:
        """Rows considered and rows unexpected in one batch."""

    def success(self) -> bool:
        """Whether enough rows pass."""
        return enough(self._considered, self._unexpected, self._mostly)
