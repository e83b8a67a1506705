"""Reads the arguments of an expectation as strictly as Great Expectations does, or says that it has to read them itself.

Whatever is accepted here is accepted there (``tests/validation/test_arguments.py`` proves it against the installed version), so that
a suite of such expectations loads without importing it.
"""

from __future__ import annotations

from collections.abc import Mapping

from prefect_gatehouse.canonical import Json

EXACT = 1 << 53
"""Up to here every whole number is a float, so that comparing in either type gives the same answer."""

Scalar = str | int | float


class NotPlain(Exception):
    """An argument that only Great Expectations can judge."""


class Arguments:
    """The arguments of one expectation; each is taken once, and none may be left.

    Args:
        kwargs: As the suite has them.
    """

    def __init__(self, kwargs: Mapping[str, Json]) -> None:
        self._left = dict(kwargs)

    def name(self, key: str = "column") -> str:
        """The name of a column."""
        value = self._left.pop(key, None)
        if not isinstance(value, str) or not value:
            raise NotPlain
        return value

    def names(self, key: str) -> tuple[str, ...]:
        """Names of several columns, each once."""
        value = self._left.pop(key, None)
        if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
            raise NotPlain
        if len(set(map(str, value))) != len(value):
            raise NotPlain
        return tuple(str(each) for each in value)

    def number(self, key: str, *, whole: bool = False) -> float | int | None:
        """A finite number up to 2^53, None where it is not given."""
        value = self._left.pop(key, None)
        if value is None:
            return None
        if not _number(value) or (whole and not isinstance(value, int)):
            raise NotPlain
        assert isinstance(value, int | float)  # _number
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._left.pop(key, default)
        if not isinstance(value, bool):
            raise NotPlain
        return value

    def word(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        """One of a few words."""
        value = self._left.pop(key, default)
        if not isinstance(value, str) or value not in choices:
            raise NotPlain
        return value

    def text(self, key: str) -> str:
        """A text."""
        value = self._left.pop(key, None)
        if not isinstance(value, str):
            raise NotPlain
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts with at least one in it."""
        value = self._left.pop(key, None)
        if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
            raise NotPlain
        return tuple(str(each) for each in value)

    def scalars(self, key: str) -> tuple[Scalar, ...]:
        """A set of texts or of numbers, never of both: what a mixed one means depends on the column."""
        value = self._left.pop(key, None)
        if not isinstance(value, list) or not value:
            raise NotPlain
        if not (all(isinstance(each, str) for each in value) or all(_number(each) for each in value)):
            raise NotPlain
        return tuple(each for each in value if isinstance(each, str | int | float))

    def ranges(self, key: str) -> tuple[tuple[float, float | None, float | None], ...]:
        """Quantiles with their bounds."""
        value = self._left.pop(key, None)
        if not isinstance(value, dict) or set(value) != {"quantiles", "value_ranges"}:
            raise NotPlain
        quantiles, bounds = value["quantiles"], value["value_ranges"]
        if not isinstance(quantiles, list) or not isinstance(bounds, list) or len(quantiles) != len(bounds) or not quantiles:
            raise NotPlain
        return tuple(_range(quantile, bound) for quantile, bound in zip(quantiles, bounds, strict=True))

    def mostly(self) -> float:
        """The share of rows that must pass."""
        value = self.number("mostly")
        if value is None:
            return 1.0
        if not 0 < value <= 1:
            raise NotPlain
        return float(value)

    def done(self) -> None:
        """Nothing may be left."""
        if self._left:
            raise NotPlain


class Bounds:
    """A lower and an upper bound, either of which may be missing.

    Args:
        arguments: ``min_value``, ``max_value`` and, where the expectation has them, ``strict_min`` and ``strict_max``.
        whole: Only whole numbers.
        strict: Whether the expectation has the strict flags.
    """

    def __init__(self, arguments: Arguments, *, whole: bool = False, strict: bool = True) -> None:
        self.low = arguments.number("min_value", whole=whole)
        self.high = arguments.number("max_value", whole=whole)
        self.strict_low = strict and arguments.flag("strict_min", default=False)
        self.strict_high = strict and arguments.flag("strict_max", default=False)
        if self.low is None and self.high is None:
            raise NotPlain
        # What the wrong way round means differs from one expectation to the next.
        if self.low is not None and self.high is not None and self.low > self.high:
            raise NotPlain

    def hold(self, value: float) -> bool:
        """Whether a number lies within; NaN never does."""
        above = self.low is None or (value > self.low if self.strict_low else value >= self.low)
        below = self.high is None or (value < self.high if self.strict_high else value <= self.high)
        return above and below

    def near(self, value: float, error: float) -> bool:
        """Whether a number that is known up to an error may lie on either side of a bound."""
        return any(bound is not None and abs(value - bound) <= error for bound in (self.low, self.high))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < EXACT  # nor NaN nor infinity


def _range(quantile: object, bounds: object) -> tuple[float, float | None, float | None]:
    if not _number(quantile) or not isinstance(bounds, list) or len(bounds) != 2 or not all(each is None or _number(each) for each in bounds):
        raise NotPlain
    assert isinstance(quantile, int | float)  # _number
    low, high = bounds
    if not 0 <= quantile <= 1 or (low is not None and high is not None and low > high):
        raise NotPlain
    return float(quantile), low, high
