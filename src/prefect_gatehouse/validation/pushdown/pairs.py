"""Columns compared with each other, row by row."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from prefect_gatehouse.validation.pushdown.arguments import EXACT, Arguments, NotPlain
from prefect_gatehouse.validation.pushdown.interface import Bind, Check, Table, Undecided
from prefect_gatehouse.validation.pushdown.shares import Share
from prefect_gatehouse.validation.pushdown.view import Batch, Numbers, View, kind_of

Mask = npt.NDArray[np.bool_]
Compare = Callable[[Numbers, Numbers], object]
_NUMBERS = {"int", "float"}
_PAIR = ("both_values_are_missing", "either_value_is_missing", "neither")
_SEVERAL = ("all_values_are_missing", "any_value_is_missing", "never")


class _Rows(Share):
    """Rows of several columns; a comparison with a missing value fails, unless the row does not count."""

    def __init__(self, columns: tuple[str, ...], mostly: float, ignored: int) -> None:
        super().__init__(columns, mostly)
        self._ignored = ignored  # place in _PAIR and _SEVERAL

    def look(self, batch: Batch) -> tuple[int, int]:
        views = [batch.view(name) for name in self.columns]
        if not all(view.exact for view in views):
            raise Undecided
        present = np.stack([view.present for view in views])
        whole = np.asarray(present.all(axis=0))
        considered = [np.asarray(present.any(axis=0)), whole, np.ones(batch.rows, dtype=np.bool_)][self._ignored]
        number = int(np.count_nonzero(considered))
        return number, number - int(np.count_nonzero(self.holds(views, whole) & considered))

    @abstractmethod
    def holds(self, views: list[View], whole: Mask) -> Mask:
        """Which rows pass, where ``whole`` says which have a value in every column."""


class _Compared(_Rows):
    def __init__(self, columns: tuple[str, ...], mostly: float, ignored: int, compare: Compare) -> None:
        super().__init__(columns, mostly, ignored)
        self._compare = compare

    def holds(self, views: list[View], whole: Mask) -> Mask:
        return np.asarray(self._compare(views[0].dense(), views[1].dense()), dtype=np.bool_) & whole


class _SameText(_Rows):
    def holds(self, views: list[View], whole: Mask) -> Mask:
        every = np.ones(len(whole), dtype=np.bool_)
        left, right = (pc.fill_null(view.kept(every), "") for view in views)
        return np.asarray(pc.equal(left, right).to_numpy(zero_copy_only=False), dtype=np.bool_) & whole


class _Sum(_Rows):
    """Whole numbers only: the order in which pandas adds floats is its own."""

    def __init__(self, columns: tuple[str, ...], mostly: float, ignored: int, total: float) -> None:
        super().__init__(columns, mostly, ignored)
        self._total = total

    def holds(self, views: list[View], whole: Mask) -> Mask:
        # Of a few thousand columns below 2^53 none leaves 64 bits; and up to 2^53 a sum is the same in floats.
        added = np.sum([view.dense() for view in views], axis=0, dtype=np.int64)
        if np.sum([max(map(abs, view.extremes)) for view in views if view.count]) >= EXACT:
            raise Undecided
        return np.asarray(added == self._total) & whole


def pair_greater(arguments: Arguments) -> Bind:
    """``expect_column_pair_values_a_to_be_greater_than_b``."""
    compare: Compare = np.greater_equal if arguments.flag("or_equal", default=False) else np.greater
    columns, mostly, ignored = _pair(arguments)

    def bind(table: Table) -> Check | None:
        return _Compared(columns, mostly, ignored, compare) if _kinds(table, columns) <= _NUMBERS else None

    return bind


def pair_equal(arguments: Arguments) -> Bind:
    """``expect_column_pair_values_to_be_equal``."""
    columns, mostly, ignored = _pair(arguments)

    def bind(table: Table) -> Check | None:
        kinds = _kinds(table, columns)
        if kinds <= _NUMBERS:
            return _Compared(columns, mostly, ignored, np.equal)
        return _SameText(columns, mostly, ignored) if kinds == {"text"} else None

    return bind


def sum_equal(arguments: Arguments) -> Bind:
    """``expect_multicolumn_sum_to_equal``."""
    columns, mostly, total = arguments.names("column_list"), arguments.mostly(), arguments.number("sum_total")
    ignored = _SEVERAL.index(arguments.word("ignore_row_if", _SEVERAL[0], _SEVERAL))
    if total is None or len(columns) < 2:
        raise NotPlain

    def bind(table: Table) -> Check | None:
        return _Sum(columns, mostly, ignored, total) if _kinds(table, columns) == {"int"} else None

    return bind


def _pair(arguments: Arguments) -> tuple[tuple[str, str], float, int]:
    columns = (arguments.name("column_A"), arguments.name("column_B"))
    return columns, arguments.mostly(), _PAIR.index(arguments.word("ignore_row_if", _PAIR[0], _PAIR))


def _kinds(table: Table, columns: tuple[str, ...]) -> set[str]:
    return {kind_of(table.types[name]) if name in table.types else "other" for name in columns}
