"""How many different values a column has, which they are, and which is the most common.

Up to 65,536 different values are counted one by one. A column with more is in no set of a suite of 1 MiB that has fewer members, and
its number of different values comes from the search for repetitions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.validation.pushdown.arguments import Arguments, Bounds, Scalar
from prefect_gatehouse.validation.pushdown.interface import Bind, Check, OnePass, Table, Undecided
from prefect_gatehouse.validation.pushdown.repetition import Repetition
from prefect_gatehouse.validation.pushdown.uniqueness import KINDS, FloatedWholes
from prefect_gatehouse.validation.pushdown.view import Batch, View, kind_of

MOST = 1 << 16


class Tally:
    """Different values with how often each occurs, as long as there are few."""

    def __init__(self) -> None:
        self._values: pa.Table | None = None
        self._floated = FloatedWholes()
        self.overflowed = False

    def __repr__(self) -> str:
        return f"Tally(overflowed={self.overflowed})"

    def update(self, batch: Batch, column: str) -> None:
        """Takes one batch into account."""
        self._floated.look(batch, (column,))
        view = batch.view(column)
        if self.overflowed or view.count == 0:
            return
        counted = _counted(view)
        if self._values is not None:
            both = pa.concat_tables([self._values, counted])
            counted = both.group_by("v", use_threads=False).aggregate([("n", "sum")]).rename_columns({"n_sum": "n"})
        self.overflowed = counted.num_rows > MOST
        self._values = None if self.overflowed else counted

    def counts(self) -> dict[Scalar, int]:
        """The values with their numbers, none if there are too many to know."""
        if self._values is None:
            return {}
        return dict(zip(self._values.column("v").to_pylist(), self._values.column("n").to_pylist(), strict=True))


def _counted(view: View) -> pa.Table:
    if view.kind == "text":
        values, counts = view.weighted
        if counts is not None:
            return pa.table({"v": values, "n": counts})
    else:
        numbers = view.numbers
        values = pa.array(numbers + 0.0 if numbers.dtype == np.float64 else numbers)
    counted = pc.value_counts(values)
    return pa.table({"v": counted.field("values"), "n": counted.field("counts")})


class _Number:
    """How many different values there are; beyond what a tally holds, by the search for repetitions."""

    def __init__(self, column: str, bounds: Bounds, rows: int, *, proportion: bool) -> None:
        self.columns: tuple[str, ...] = (column,)
        self._bounds = bounds
        self._proportion = proportion
        self._rows = rows
        self._present = 0
        self._tally = Tally()
        self._search: Repetition | None = None

    def update(self, batch: Batch) -> None:
        if self._search is not None:
            self._search.update(batch)
            return
        self._present += batch.view(self.columns[0]).count
        self._tally.update(batch, self.columns[0])

    def again(self) -> bool:
        if self._search is not None:
            return self._search.again()
        if self._tally.overflowed:
            self._search = Repetition(self.columns, self._rows, "counts")
        return self._search is not None

    def success(self) -> bool:
        number = self._search.distinct if self._search is not None else len(self._tally.counts())
        if not self._proportion:
            return self._bounds.hold(number)
        return self._bounds.hold(number / self._present if self._present else 0)


Answer = Callable[[Tally], bool]


class _Tallied(OnePass):
    def __init__(self, column: str, answer: Answer) -> None:
        self.columns: tuple[str, ...] = (column,)
        self._answer = answer
        self._tally = Tally()

    def update(self, batch: Batch) -> None:
        self._tally.update(batch, self.columns[0])

    def success(self) -> bool:
        return self._answer(self._tally)


def unique_count(arguments: Arguments) -> Bind:
    """``expect_column_unique_value_count_to_be_between``."""
    column, bounds = arguments.name(), Bounds(arguments, whole=True)
    return _bind(column, lambda table: _Number(column, bounds, table.rows, proportion=False))


def unique_proportion(arguments: Arguments) -> Bind:
    """``expect_column_proportion_of_unique_values_to_be_between``."""
    column, bounds = arguments.name(), Bounds(arguments)
    return _bind(column, lambda table: _Number(column, bounds, table.rows, proportion=True))


def distinct_in_set(arguments: Arguments) -> Bind:
    """``expect_column_distinct_values_to_be_in_set``."""
    return _sets(arguments, lambda found, wanted: found <= wanted)


def distinct_contain_set(arguments: Arguments) -> Bind:
    """``expect_column_distinct_values_to_contain_set``."""
    return _sets(arguments, lambda found, wanted: found >= wanted, overflow=None)


def distinct_equal_set(arguments: Arguments) -> Bind:
    """``expect_column_distinct_values_to_equal_set``."""
    return _sets(arguments, lambda found, wanted: found == wanted)


def most_common_in_set(arguments: Arguments) -> Bind:
    """``expect_column_most_common_value_to_be_in_set``."""
    column, values, ties = arguments.name(), set(arguments.scalars("value_set")), arguments.flag("ties_okay", default=False)

    def answer(tally: Tally) -> bool:
        if tally.overflowed:
            raise Undecided
        counts = tally.counts()
        most = max(counts.values(), default=0)
        modes = [value for value, number in counts.items() if number == most]
        common = values.intersection(modes)
        return bool(common) if ties else len(modes) == len(common) == 1

    return _bind(column, lambda table: _Tallied(column, answer))


def _sets(arguments: Arguments, holds: Callable[[set[Scalar], set[Scalar]], bool], overflow: bool | None = False) -> Bind:
    column, values = arguments.name(), set(arguments.scalars("value_set"))

    def answer(tally: Tally) -> bool:
        if tally.overflowed:
            if overflow is None or len(values) > MOST:
                raise Undecided
            return overflow
        return holds(set(tally.counts()), values)

    return _bind(column, lambda table: _Tallied(column, answer))


def _bind(column: str, make: Callable[[Table], Check]) -> Bind:
    def bind(table: Table) -> Check | None:
        return make(table) if column in table.types and kind_of(table.types[column]) in KINDS else None

    return bind
