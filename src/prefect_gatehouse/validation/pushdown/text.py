"""Patterns and lengths of texts, row by row; where texts repeat, each is looked at once a batch."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.validation.pushdown.arguments import Arguments, Bounds, NotPlain
from prefect_gatehouse.validation.pushdown.interface import Bind, Check, Table, Undecided
from prefect_gatehouse.validation.pushdown.patterns import Pattern, alike
from prefect_gatehouse.validation.pushdown.shares import Share
from prefect_gatehouse.validation.pushdown.view import Batch, View, kind_of

Match = Literal["any", "all", "none"]


class _Texts(Share):
    def look(self, batch: Batch) -> tuple[int, int]:
        view = batch.view(self.columns[0])
        return view.count, view.count - view.count_texts(self.expected(view)) if view.count else 0

    @abstractmethod
    def expected(self, view: View) -> pa.BooleanArray:
        """Which of the distinct texts are as expected."""


class _Matches(_Texts):
    def __init__(self, column: str, mostly: float, patterns: tuple[Pattern, ...], match: Match) -> None:
        super().__init__((column,), mostly)
        self._patterns = patterns
        self._match = match

    def expected(self, view: View) -> pa.BooleanArray:
        if any(pattern.ascii_only for pattern in self._patterns) and not view.ascii:
            raise Undecided
        if any(pattern.one_line for pattern in self._patterns) and not view.one_line:
            raise Undecided
        values, _ = view.weighted
        found = [pc.match_substring_regex(values, pattern.source) for pattern in self._patterns]
        result = found[0]
        for each in found[1:]:
            result = pc.and_(result, each) if self._match == "all" else pc.or_(result, each)
        return pc.invert(result) if self._match == "none" else result


class _Lengths(_Texts):
    def __init__(self, column: str, mostly: float, bounds: Bounds | None, value: float | None) -> None:
        super().__init__((column,), mostly)
        self._bounds = bounds
        self._value = value

    def expected(self, view: View) -> pa.BooleanArray:
        values, _ = view.weighted
        lengths = pc.cast(pc.utf8_length(values), pa.float64())
        if self._bounds is None:
            return pc.equal(lengths, self._value)
        bounds = self._bounds
        low = -1.0 if bounds.low is None else float(bounds.low)  # no text is shorter than 0
        high = math.inf if bounds.high is None else float(bounds.high)
        above = pc.greater(lengths, low) if bounds.strict_low else pc.greater_equal(lengths, low)
        below = pc.less(lengths, high) if bounds.strict_high else pc.less_equal(lengths, high)
        return pc.and_(above, below)


def match_regex(arguments: Arguments) -> Bind:
    """``expect_column_values_to_match_regex``."""
    return _matches(arguments.name(), arguments.mostly(), (arguments.text("regex"),), "any")


def not_match_regex(arguments: Arguments) -> Bind:
    """``expect_column_values_to_not_match_regex``."""
    return _matches(arguments.name(), arguments.mostly(), (arguments.text("regex"),), "none")


def match_regex_list(arguments: Arguments) -> Bind:
    """``expect_column_values_to_match_regex_list``."""
    match: Match = "all" if arguments.word("match_on", "any", ("any", "all")) == "all" else "any"
    return _matches(arguments.name(), arguments.mostly(), arguments.texts("regex_list"), match)


def not_match_regex_list(arguments: Arguments) -> Bind:
    """``expect_column_values_to_not_match_regex_list``."""
    return _matches(arguments.name(), arguments.mostly(), arguments.texts("regex_list"), "none")


def lengths_between(arguments: Arguments) -> Bind:
    """``expect_column_value_lengths_to_be_between``."""
    column, mostly, bounds = arguments.name(), arguments.mostly(), Bounds(arguments, whole=True)
    return _on_texts(column, lambda: _Lengths(column, mostly, bounds, None))


def lengths_equal(arguments: Arguments) -> Bind:
    """``expect_column_value_lengths_to_equal``."""
    column, mostly, value = arguments.name(), arguments.mostly(), arguments.number("value")
    if value is None:
        raise NotPlain
    return _on_texts(column, lambda: _Lengths(column, mostly, None, float(value)))


def _matches(column: str, mostly: float, sources: tuple[str, ...], match: Match) -> Bind:
    patterns = tuple(pattern for pattern in map(alike, sources) if pattern is not None)
    if len(patterns) != len(sources):
        return lambda table: None
    return _on_texts(column, lambda: _Matches(column, mostly, patterns, match))


def _on_texts(column: str, make: Callable[[], Check]) -> Bind:
    def bind(table: Table) -> Check | None:
        type_ = table.types.get(column)
        return make() if type_ is not None and kind_of(type_) in {"text", "category"} else None

    return bind
