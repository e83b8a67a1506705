"""Which values are missing: null, and NaN in a column of floats, as pandas has it."""

from __future__ import annotations

from prefect_gatehouse.validation.pushdown.arguments import Arguments, Bounds
from prefect_gatehouse.validation.pushdown.interface import Bind, Check, OnePass, Table
from prefect_gatehouse.validation.pushdown.shares import Share
from prefect_gatehouse.validation.pushdown.view import Batch


class _Missing(Share):
    def __init__(self, column: str, mostly: float, *, wanted: bool) -> None:
        super().__init__((column,), mostly)
        self._wanted = wanted

    def look(self, batch: Batch) -> tuple[int, int]:
        view = batch.view(self.columns[0])
        return view.rows, view.count if self._wanted else view.rows - view.count


class _Proportion(OnePass):
    def __init__(self, column: str, bounds: Bounds) -> None:
        self.columns: tuple[str, ...] = (column,)
        self._bounds = bounds
        self._rows = self._present = 0

    def update(self, batch: Batch) -> None:
        view = batch.view(self.columns[0])
        self._rows += view.rows
        self._present += view.count

    def success(self) -> bool:
        return self._rows > 0 and self._bounds.hold(self._present / self._rows)


def not_null(arguments: Arguments) -> Bind:
    """``expect_column_values_to_not_be_null``."""
    return _missing(arguments, wanted=False)


def null(arguments: Arguments) -> Bind:
    """``expect_column_values_to_be_null``."""
    return _missing(arguments, wanted=True)


def non_null_proportion(arguments: Arguments) -> Bind:
    """``expect_column_proportion_of_non_null_values_to_be_between``; an empty table is left to Great Expectations."""
    column, bounds = arguments.name(), Bounds(arguments)
    return lambda table: _Proportion(column, bounds) if column in table.types and table.rows else None


def _missing(arguments: Arguments, *, wanted: bool) -> Bind:
    column, mostly = arguments.name(), arguments.mostly()

    def bind(table: Table) -> Check | None:
        return _Missing(column, mostly, wanted=wanted) if column in table.types else None

    return bind
