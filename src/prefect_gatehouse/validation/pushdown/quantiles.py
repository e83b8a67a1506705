"""Median and quantiles of a column of numbers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

from prefect_gatehouse.validation.pushdown.arguments import Arguments, Bounds, NotPlain
from prefect_gatehouse.validation.pushdown.interface import Bind, Check, Table, Undecided
from prefect_gatehouse.validation.pushdown.order_statistics import Selection, keys_of
from prefect_gatehouse.validation.pushdown.view import Batch, kind_of

_RTOL, _ATOL = 1e-4, 1e-8
"""Great Expectations takes a quantile that is this close to a bound as within it."""
_TIE = 1e-6
"""A rank this close to the middle of two may be rounded either way; far above what q * (n - 1) can err by."""


class _Ranks(ABC):
    """Base: finds the numbers at the ranks that the number of values decides."""

    def __init__(self, column: str) -> None:
        self.columns: tuple[str, ...] = (column,)
        self._count = 0
        self._first = Selection()
        self._selections: list[Selection] | None = None

    def update(self, batch: Batch) -> None:
        view = batch.view(self.columns[0])
        if view.count == 0:
            return
        if not view.exact:
            raise Undecided
        low, high = view.extremes
        if not (math.isfinite(low) and math.isfinite(high)):
            raise Undecided
        keys = keys_of(view.numbers)
        if self._selections is None:
            self._count += view.count
            self._first.update(keys)
        else:
            for selection in self._selections:
                selection.update(keys)

    def again(self) -> bool:
        if self._count == 0:
            return False
        if self._selections is None:
            # The first pass counts the same digit for every rank.
            self._selections = [self._first.at(rank) for rank in self.ranks(self._count)]
        # Every selection takes its step, also once one is known to need another pass.
        going = [selection.again() for selection in self._selections]
        return any(going)

    def found(self) -> list[float]:
        """The numbers at the ranks."""
        return [selection.found for selection in self._selections or () if selection.found is not None]

    @abstractmethod
    def ranks(self, count: int) -> list[int]:
        """The ranks to select among so many values."""


class _Median(_Ranks):
    def __init__(self, column: str, bounds: Bounds) -> None:
        super().__init__(column)
        self._bounds = bounds

    def ranks(self, count: int) -> list[int]:
        return [(count - 1) // 2, count // 2]

    def success(self) -> bool:
        if self._count == 0:
            return False
        low, high = self.found()
        middle = (low + high) / 2 if low != high else low
        if not math.isfinite(middle):
            raise Undecided
        return self._bounds.hold(middle)


class _Quantiles(_Ranks):
    def __init__(self, column: str, ranges: tuple[tuple[float, float | None, float | None], ...]) -> None:
        super().__init__(column)
        self._ranges = ranges

    def ranks(self, count: int) -> list[int]:
        places = [quantile * (count - 1) for quantile, _, _ in self._ranges]
        if any(abs(place - math.floor(place) - 0.5) < _TIE for place in places):
            raise Undecided
        return [round(place) for place in places]

    def success(self) -> bool:
        if self._count == 0:
            raise Undecided
        # All of them are looked at: one that is undecided outweighs another that fails.
        within = [_within(value, low, high) for value, (_, low, high) in zip(self.found(), self._ranges, strict=True)]
        return all(within)


def _within(value: float, low: float | None, high: float | None) -> bool:
    if (low is None or value >= low) and (high is None or value <= high):
        return True
    for bound in (low, high):
        if bound is None:
            continue
        distance, tolerance = abs(value - bound), _ATOL + _RTOL * abs(bound)
        if distance <= tolerance * 0.999:
            return True
        if distance <= tolerance * 1.001:
            raise Undecided
    return False


def median(arguments: Arguments) -> Bind:
    """``expect_column_median_to_be_between``."""
    column, bounds = arguments.name(), Bounds(arguments)
    return _on_numbers(column, lambda: _Median(column, bounds))


def quantiles(arguments: Arguments) -> Bind:
    """``expect_column_quantile_values_to_be_between``, with the nearest value for a rank between two."""
    column, ranges = arguments.name(), arguments.ranges("quantile_ranges")
    if arguments.flag("allow_relative_error", default=False):
        raise NotPlain
    return _on_numbers(column, lambda: _Quantiles(column, ranges))


def _on_numbers(column: str, make: Callable[[], Check]) -> Bind:
    def bind(table: Table) -> Check | None:
        type_ = table.types.get(column)
        return make() if type_ is not None and kind_of(type_) in {"int", "float"} else None

    return bind
