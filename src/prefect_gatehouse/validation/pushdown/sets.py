"""Values in a set or outside it, row by row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.validation.pushdown.arguments import Arguments, Scalar
from prefect_gatehouse.validation.pushdown.interface import Bind, Check, Table, Undecided
from prefect_gatehouse.validation.pushdown.shares import Share
from prefect_gatehouse.validation.pushdown.view import Batch, View, kind_of


class _InSet(Share):
    def __init__(self, column: str, mostly: float, values: tuple[Scalar, ...], *, inside: bool) -> None:
        super().__init__((column,), mostly)
        self._inside = inside
        self._texts = isinstance(values[0], str)
        self._members = pa.array(sorted(set(values)), pa.large_string() if self._texts else pa.float64())

    def look(self, batch: Batch) -> tuple[int, int]:
        view = batch.view(self.columns[0])
        found = self._found(view) if view.count else 0
        return view.count, view.count - found if self._inside else found

    def _found(self, view: View) -> int:
        if self._texts:
            return view.count_texts(pc.is_in(view.weighted[0], value_set=self._members))
        if not view.exact:
            raise Undecided
        numbers = view.numbers.astype(np.float64, copy=False)
        return int(pc.sum(pc.is_in(pa.array(numbers + 0.0), value_set=self._members), min_count=0).as_py())


def in_set(arguments: Arguments) -> Bind:
    """``expect_column_values_to_be_in_set``."""
    return _bind(arguments, inside=True)


def not_in_set(arguments: Arguments) -> Bind:
    """``expect_column_values_to_not_be_in_set``."""
    return _bind(arguments, inside=False)


def _bind(arguments: Arguments, *, inside: bool) -> Bind:
    column, values, mostly = arguments.name(), arguments.scalars("value_set"), arguments.mostly()
    wanted = {"text", "category"} if isinstance(values[0], str) else {"int", "float"}
    # -0.0 and 0.0 are one number, but not to a hash table.
    values = tuple(value if isinstance(value, str) else value + 0.0 for value in values)

    def bind(table: Table) -> Check | None:
        type_ = table.types.get(column)
        return _InSet(column, mostly, values, inside=inside) if type_ is not None and kind_of(type_) in wanted else None

    return bind
