"""Numbers between two bounds, row by row."""

from __future__ import annotations

import math

import numpy as np

from prefect_gatehouse.validation.pushdown.arguments import Arguments, Bounds
from prefect_gatehouse.validation.pushdown.interface import Bind, Check, Table, Undecided
from prefect_gatehouse.validation.pushdown.shares import Share
from prefect_gatehouse.validation.pushdown.view import Batch, Numbers, kind_of


class _Between(Share):
    def __init__(self, column: str, mostly: float, bounds: Bounds) -> None:
        super().__init__((column,), mostly)
        self._bounds = bounds

    def look(self, batch: Batch) -> tuple[int, int]:
        view = batch.view(self.columns[0])
        if view.count == 0:
            return 0, 0
        if not view.exact:
            raise Undecided
        low, high = view.extremes  # one look for all the checks of a column, and mostly the last
        if self._bounds.hold(low) and self._bounds.hold(high):
            return view.count, 0
        return view.count, view.count - self._inside(view.numbers)

    def _inside(self, numbers: Numbers) -> int:
        bounds = self._bounds
        low, high, strict_low, strict_high = bounds.low, bounds.high, bounds.strict_low, bounds.strict_high
        if numbers.dtype == np.int64:  # whole bounds, so that whole numbers are compared as such
            low = None if low is None else math.floor(low) + 1 if strict_low else math.ceil(low)
            high = None if high is None else math.ceil(high) - 1 if strict_high else math.floor(high)
            strict_low = strict_high = False
        inside = np.ones(len(numbers), dtype=np.bool_)
        if low is not None:
            inside &= numbers > low if strict_low else numbers >= low
        if high is not None:
            inside &= numbers < high if strict_high else numbers <= high
        return int(np.count_nonzero(inside))


def values_between(arguments: Arguments) -> Bind:
    """``expect_column_values_to_be_between``."""
    column, bounds, mostly = arguments.name(), Bounds(arguments), arguments.mostly()

    def bind(table: Table) -> Check | None:
        type_ = table.types.get(column)
        return _Between(column, mostly, bounds) if type_ is not None and kind_of(type_) in {"int", "float"} else None

    return bind
