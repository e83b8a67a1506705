"""Coarser values of quasi-identifiers: the next steps of each rule, which of them would reach k and l, and which column splits the groups.

Steps are tried on the groups that were counted, so no row is read again. What is told are names of columns, settings and counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.data.anonymity import Coarser, Groups
from prefect_gatehouse.data.counting import number
from prefect_gatehouse.data.suppress import Suppressed
from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.manifest.columns import Column, Drop, Generalise
from prefect_gatehouse.manifest.data import Data
from prefect_gatehouse.plurals import counted
from prefect_gatehouse.tokens.columns import is_text

_COARSER_DATES: dict[str, tuple[str, ...]] = {
    "day": ("month", "quarter", "year", "decade"),
    "week": ("year", "decade"),
    "month": ("quarter", "year", "decade"),
    "quarter": ("year", "decade"),
    "year": ("decade",),
    "decade": (),
}
_FACTORS = (2, 5)
# Sets of steps that are told at most, so that a message stays one.
_TOLD = 4


@dataclass(frozen=True)
class Step:
    """One coarser setting of a column.

    Attributes:
        column: The column's name.
        words: The setting before and after it, or that the column is left out.
        declared: The rule.
        way: From the values of the rule as it is; None where the column is left out.
    """

    column: str
    words: str
    declared: Column
    way: Coarser | None


def ladder(name: str, declared: Column) -> list[Step]:
    """Coarser settings of a column, each coarser than the one before; the last one leaves it out.

    Where numbers are rounded already, a coarser rounding is told of the rounded ones: values that lie half-way may go the other way.
    """
    steps = []
    if isinstance(declared, Generalise):
        same = {"rule": "generalise", "data_class": declared.data_class, "nulls": declared.nulls}
        steps = [Step(name, words, Generalise.model_validate(same | setting), way) for words, setting, way in _settings(declared)]
    return [*steps, Step(name, "drop", Drop(rule="drop", data_class=declared.data_class), None)]


def _settings(declared: Generalise) -> Iterator[tuple[str, dict[str, object], Coarser]]:
    if declared.to is not None:
        for to in _COARSER_DATES[declared.to]:
            yield f"to: {declared.to} -> {to}", {"to": to}, _of_dates(to)
    elif declared.prefix is not None:
        for length in range(declared.prefix - 1, 0, -1):
            yield f"prefix: {declared.prefix} -> {length}", {"prefix": length}, _of_text(length)
    elif declared.round_to is not None:
        for factor in _FACTORS:
            step = declared.round_to * factor
            yield f"round_to: {number(declared.round_to)} -> {number(step)}", {"round_to": step}, _of_numbers(step)
    elif declared.bins is not None:
        edges = declared.bins
        while len(edges) > 2:
            edges = (*edges[:-1:2], edges[-1])
            yield f"bins: {len(declared.bins) - 1} -> {len(edges) - 1}", {"bins": edges}, _of_bins(declared.bins, edges)


def _of_dates(to: str) -> Coarser:
    def way(values: pa.Array) -> pa.Array:
        if not is_text(values.type):  # a year
            return pc.multiply(pc.divide(values, 10), 10)
        year = pc.utf8_slice_codeunits(values, 0, 4)
        if to == "decade":
            return pc.utf8_slice_codeunits(values, 0, 3)
        if to == "month":
            return pc.utf8_slice_codeunits(values, 0, 7)
        if to == "quarter":
            month = pc.utf8_slice_codeunits(values, 5, 7).cast(pa.int32())
            return pc.binary_join_element_wise(year, pc.divide(pc.add(month, 2), 3).cast(pa.string()), "-Q")
        return year

    return way


def _of_text(length: int) -> Coarser:
    return lambda values: pc.utf8_slice_codeunits(values, 0, length)


def _of_numbers(step: float) -> Coarser:
    return lambda values: pc.round(pc.divide(values.cast(pa.float64()), step), 0, "half_to_even")


def _of_bins(edges: Sequence[float], coarser: Sequence[float]) -> Coarser:
    labels = pa.array([f"[{number(low)},{number(high)})" for low, high in pairwise(edges)])
    places = pa.array([sum(low >= edge for edge in coarser[1:]) for low, _ in pairwise(edges)], pa.int64())
    return lambda values: places.take(pc.index_in(values, value_set=labels))


def failing_rows(groups: Groups, k: int, l: int | None) -> tuple[int, int]:  # noqa: E741 the measure's own letter
    """Rows in groups that miss k or l, and how many such groups there are."""
    if not groups.columns:  # one group of all rows, of which nothing is required but that there are some
        rows, _ = groups.sizes()
        return (0, 0) if rows >= k else (rows, 1)
    failing = Suppressed(groups.columns, groups.failing(k, l))
    return groups.rows_in(failing.holds), failing.groups


@dataclass(frozen=True)
class Way:
    """Some steps together.

    Attributes:
        steps: At most one for each column.
        failing: Rows in groups that still miss k or l.
    """

    steps: tuple[Step, ...]
    failing: int

    def in_words(self) -> str:
        """Columns and settings."""
        return " and ".join(f"'{step.column}' {step.words}" for step in self.steps)


class Search:
    """Looks for coarser settings under which every group has k rows and l values.

    Args:
        groups: What was counted.
        columns: The rules of the quasi-identifiers.
        k: Fewest rows of a group.
        l: Fewest different values of a sensitive column in a group, None if nothing is required.
    """

    def __init__(self, groups: Groups, columns: Mapping[str, Column], k: int, l: int | None) -> None:  # noqa: E741
        self._groups = groups
        self._ladders = {name: ladder(name, columns[name]) for name in groups.columns}
        self._k, self._l = k, l
        self.failing, self.failing_groups = failing_rows(groups, k, l)

    def _tried(self, steps: Sequence[Step]) -> Way:
        coarser = self._groups.coarsened({step.column: step.way for step in steps})
        return Way(tuple(steps), failing_rows(coarser, self._k, self._l)[0])

    def without(self) -> list[Way]:
        """Each column left out alone, the one that splits the groups most first."""
        return sorted((self._tried([steps[-1]]) for steps in self._ladders.values()), key=lambda way: way.failing)

    def alone(self) -> list[Way]:
        """For each column its first step that is enough by itself, coarser values before what is left out."""
        found = []
        for steps in self._ladders.values():
            found += [way for step in steps if not (way := self._tried([step])).failing][:1]
        return sorted(found, key=lambda way: isinstance(way.steps[0].declared, Drop))

    def together(self, *, leaving_out: bool, tolerated: int = 0) -> Way:
        """Step by step the one that leaves fewest failing rows, until no more than tolerated are left or there is no step more."""
        taken: dict[str, int] = {}
        best = Way((), self.failing)
        while best.failing > tolerated:
            tries = []
            for name, steps in self._ladders.items():
                following = taken.get(name, -1) + 1
                if following < len(steps) - (not leaving_out):
                    chosen = {**taken, name: following}
                    tries.append((self._tried([self._ladders[each][place] for each, place in chosen.items()]), chosen))
            if not tries:
                break
            best, taken = min(tries, key=lambda each: (each[0].failing, isinstance(each[0].steps[-1].declared, Drop)))
        return best


def explained(error: DataRefused, data: Data, groups: Groups, rows: int) -> DataRefused:
    """A refusal for k, l or the suppression limit, with the columns that split the groups and what would be enough.

    Args:
        error: The refusal.
        data: What the manifest declares.
        groups: Of all rows.
        rows: How many rows there are.
    """
    if data.k is None or not groups.columns or not rows:
        return error
    search = Search(groups, data.columns, data.k, data.l)
    splitting = search.without()[0]
    smallest = groups.coarsened({splitting.steps[0].column: None}).sizes()[0]
    message = f"{error.message}; '{splitting.steps[0].column}' splits them most"
    if len(groups.columns) > 1:
        message += f": without it the smallest has {counted(smallest, 'row')}, and {splitting.failing} instead of "
        message += counted(search.failing, "row", "miss k or l")
    return DataRefused(message, where=error.where, advice=_advice(search, data, rows))


def _advice(search: Search, data: Data, rows: int) -> str:
    wanted = f"k = {data.k}" + (f" and l = {data.l}" if data.l is not None else "")
    alone = search.alone()
    if alone:
        told = f"to reach {wanted} change one: " + "; ".join(way.in_words() for way in alone[:_TOLD])
    else:
        together = search.together(leaving_out=True)
        reached = f"to reach {wanted} change these: {together.in_words()}"
        told = reached if not together.failing else f"nothing reaches {wanted} with {counted(rows, 'row')}"
    share = math.ceil(search.failing / rows * 1000) / 1000
    if data.suppression_limit is None and share <= _SUPPRESSIBLE:
        told += f"; or suppression_limit: {share:g}, which leaves out {counted(search.failing, 'row')} in {counted(search.failing_groups, 'group')}"
    return told


# Above this share it is not the last small groups that would be left out.
_SUPPRESSIBLE = 0.05
