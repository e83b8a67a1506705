"""Least, largest, mean, sum and deviation of a column of numbers, each with a bound on how far rounding can have moved it.

pandas adds in an order of its own, so two correct sums of floats may differ in their last digits. A sum of whole numbers below 2^53
is the same in every order. Otherwise the classical bound holds: n additions err by at most n*u*sum|x|, u = 2^-53 (Higham, Accuracy
and Stability of Numerical Algorithms, 4.2). A variance by pairwise updates errs relatively by at most about n*u*k, where k is its
condition number sqrt(1 + n*mean^2/S) (Chan, Golub, LeVeque, The American Statistician 37, 1983). A bound of the suite that lies
within that distance leaves the check undecided.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from prefect_gatehouse.validation.pushdown.arguments import EXACT, Arguments, Bounds
from prefect_gatehouse.validation.pushdown.interface import Bind, Check, OnePass, Table, Undecided
from prefect_gatehouse.validation.pushdown.view import Batch, Numbers, View, kind_of

_UNIT = 2.0**-53
_SLACK = 8.0
"""Both sums err, and the bounds are of first order: a factor that covers that, and costs only digits nobody sets a bound at."""
_HALF = 26


class Moments:
    """Count, extremes, sum and squared deviations of a column of numbers, over the batches so far."""

    def __init__(self) -> None:
        self.count = 0
        self.low: float = math.inf
        self.high: float = -math.inf
        self.total: float | int = 0
        self.magnitude: float | int = 0
        self.mean = 0.0
        self.squares = 0.0
        self.whole = True

    def update(self, view: View, *, spread: bool) -> None:
        """Takes one batch into account; with ``spread`` also its deviations."""
        if view.count == 0:
            return
        if not view.exact:
            raise Undecided
        low, high = view.extremes
        if not (math.isfinite(low) and math.isfinite(high)):
            raise Undecided
        self.low, self.high = min(self.low, low), max(self.high, high)
        numbers = view.numbers
        total: float | int
        magnitude: float | int
        if numbers.dtype == np.int64:
            total = _exact_sum(numbers)
            magnitude = total if low >= 0 else _exact_sum(np.abs(numbers))
        else:
            self.whole = False
            total = float(numbers.sum())
            magnitude = abs(total) if low >= 0 or high <= 0 else float(np.abs(numbers).sum())
        self.total += total
        self.magnitude += magnitude
        if spread:
            self._spread(numbers.astype(np.float64, copy=False), float(total) / view.count)
        self.count += view.count

    def _spread(self, numbers: Numbers, mean: float) -> None:
        deviations = numbers - mean
        drift = float(deviations.sum())
        # Not by a dot product: its library would take all the cores for it.
        squares = float(np.square(deviations, out=deviations).sum()) - drift**2 / len(numbers)
        delta, count = mean - self.mean, self.count + len(numbers)
        self.squares += max(squares, 0.0) + delta * delta * self.count * len(numbers) / count
        self.mean += delta * len(numbers) / count

    def error(self) -> float:
        """How far the total can be from the one that pandas has."""
        if self.whole and self.magnitude < EXACT:
            return 0.0
        error = _SLACK * (self.count + 1) * _UNIT * float(self.magnitude)
        if not math.isfinite(error):
            raise Undecided
        return error

    def deviation(self) -> tuple[float, float]:
        """The sample deviation and how far it can be from the one that pandas has."""
        if self.count < 2:
            return math.nan, 0.0
        if not (self.squares > 0 and math.isfinite(self.squares) and math.isfinite(float(self.magnitude))):
            raise Undecided
        condition = math.sqrt(1 + self.count * max(abs(self.low), abs(self.high)) ** 2 / self.squares)
        relative = _SLACK * self.count * _UNIT * condition
        if relative > 0.1:
            raise Undecided
        value = math.sqrt(self.squares / (self.count - 1))
        return value, value * relative


def _exact_sum(numbers: Numbers) -> int:
    numbers = numbers.astype(np.int64, copy=False)
    # In halves, so that a batch of 2^31 numbers below 2^53 stays within 64 bits.
    return (int((numbers >> _HALF).sum()) << _HALF) + int((numbers & ((1 << _HALF) - 1)).sum())


Read = Callable[[Moments], tuple[float, float]]
"""A figure and how far it can be off."""


class _Figure(OnePass):
    def __init__(self, column: str, bounds: Bounds, read: Read, *, spread: bool) -> None:
        self.columns: tuple[str, ...] = (column,)
        self._bounds = bounds
        self._read = read
        self._spread = spread
        self._moments = Moments()

    def update(self, batch: Batch) -> None:
        self._moments.update(batch.view(self.columns[0]), spread=self._spread)

    def success(self) -> bool:
        value, error = self._read(self._moments)
        if error and self._bounds.near(value, error):
            raise Undecided
        return self._bounds.hold(value)


def _mean(moments: Moments) -> tuple[float, float]:
    if moments.count == 0:
        return math.nan, 0.0
    value = moments.total / moments.count
    if not math.isfinite(value):
        raise Undecided
    error = moments.error() / moments.count
    return value, error + abs(value) * _UNIT * 2 if error else 0.0


def _sum(moments: Moments) -> tuple[float, float]:
    return moments.total, moments.error()


def _low(moments: Moments) -> tuple[float, float]:
    return (moments.low if moments.count else math.nan), 0.0


def _high(moments: Moments) -> tuple[float, float]:
    return (moments.high if moments.count else math.nan), 0.0


def _figure(read: Read, *, spread: bool = False) -> Callable[[Arguments], Bind]:
    def parse(arguments: Arguments) -> Bind:
        column, bounds = arguments.name(), Bounds(arguments)

        def bind(table: Table) -> Check | None:
            type_ = table.types.get(column)
            return _Figure(column, bounds, read, spread=spread) if type_ is not None and kind_of(type_) in {"int", "float"} else None

        return bind

    return parse


minimum = _figure(_low)
maximum = _figure(_high)
mean = _figure(_mean)
total = _figure(_sum)
deviation = _figure(Moments.deviation, spread=True)
