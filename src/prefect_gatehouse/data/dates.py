"""Days of dates, timestamps and ISO 8601 text, and their coarser forms: decade, year, quarter, month, ISO week, day.

Text is ``YYYY-MM-DD``, or that followed by ``T`` or a space and ``hh:mm[:ss[.fraction]]`` and, if any, ``Z`` or an offset. The day
that counts is the one on the wall clock: as written in the text, and in the zone of the column for a timestamp with a zone.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.data.counting import Counting, Faults
from prefect_gatehouse.data.matching import matches
from prefect_gatehouse.tokens.columns import is_text

ISO = r"^\d{4}-\d{2}-\d{2}([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-]([01]\d|2[0-3]):?[0-5]\d)?)?$"
"""The text forms that are read."""

NOT_ISO = "are not dates written YYYY-MM-DD"
OUTSIDE = "are before the year 1 or after 9999"
_FIRST = int(np.datetime64("0001-01-01", "D").astype(np.int64))
_LAST = int(np.datetime64("9999-12-31", "D").astype(np.int64))
_DAY_LENGTH = 10
SECONDS = 86_400
"""Of a day."""
TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""Of a second, by unit."""
TICK_LIMIT = 2**63 - 1
"""What a time may count at most."""


def iso_text(rule: Counting, faults: Faults, array: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Text without spaces around it, and its days (date32); what is no date of the stated forms is counted."""
    text = pc.utf8_trim_whitespace(array.cast(pa.string()))
    text = faults.without(text, pc.invert(matches(text, ISO)), NOT_ISO)
    days = rule.parsed(faults, pc.utf8_slice_codeunits(text, 0, _DAY_LENGTH), pa.date32(), NOT_ISO)
    return text, within(faults, days)


def days_of(rule: Counting, faults: Faults, array: pa.Array) -> pa.Array:
    """The day (date32) of each value.

    Raises:
        DataRefused: The column's type is neither text, date nor timestamp.
    """
    kind = array.type
    if is_text(kind):
        return iso_text(rule, faults, array)[1]
    if pa.types.is_timestamp(kind):
        array = within_years(faults, array)
        local = pc.local_timestamp(array) if kind.tz is not None else array
        return within(faults, pc.floor_temporal(local, unit="day").cast(pa.date32()))
    if pa.types.is_date(kind) or pa.types.is_null(kind):
        return within(faults, array.cast(pa.date32()))
    raise rule.refusal(f"values of type {kind} are not dates")


def within(faults: Faults, days: pa.Array) -> pa.Array:
    """Days that four digits of a year can write; the others are counted."""
    number = days.cast(pa.int32())
    return faults.without(days, pc.or_(pc.less(number, _FIRST), pc.greater(number, _LAST)), OUTSIDE)


def within_years(faults: Faults, times: pa.Array) -> pa.Array:
    """Timestamps of the years that Python's and pandas' calendars have in common; the others are counted.

    pandas reads the smallest number of 64 bits as a missing value: it is never within.
    """
    day = SECONDS * TICKS[times.type.unit]
    low, high = max(_FIRST * day, -TICK_LIMIT), min((_LAST + 1) * day - 1, TICK_LIMIT)
    ticks = times.cast(pa.int64())
    return faults.without(times, pc.or_(pc.less(ticks, low), pc.greater(ticks, high)), OUTSIDE)


class Dates(Counting):
    """The year as a number (of a decade its first), or the text of a shorter time.

    That is the quarter (2026-Q1), the month (2026-01), the ISO week (2026-W05) or the day (2026-01-28).
    """

    def __init__(self, name: str, to: str, *, nulls: str = "keep") -> None:
        super().__init__(name, to, nulls=nulls)
        self._to = to

    def treat(self, faults: Faults, *arrays: pa.Array) -> pa.Array:
        """One batch, generalised."""
        days = days_of(self, faults, arrays[0]).dictionary_encode()  # a century has 36,525 days: each is written once
        return _coarse(days.dictionary, self._to).take(days.indices)


def _coarse(days: pa.Array, to: str) -> pa.Array:
    year = pc.year(days).cast(pa.int32())
    if to == "year":
        return year
    if to == "decade":
        return pc.multiply(pc.divide(year, pa.scalar(10, pa.int32())), pa.scalar(10, pa.int32()))
    if to == "day":
        return days.cast(pa.string())
    if to == "month":
        return pc.utf8_slice_codeunits(days.cast(pa.string()), 0, 7)
    if to == "quarter":
        return pc.binary_join_element_wise(_digits(year, 4), pc.quarter(days).cast(pa.string()), "-Q")
    # The first days of January may belong to the last week of the year before (ISO 8601, 4.2.2).
    week = pc.iso_calendar(days)
    return pc.binary_join_element_wise(_digits(week.field("iso_year"), 4), _digits(week.field("iso_week"), 2), "-W")


def _digits(values: pa.Array, width: int) -> pa.Array:
    return pc.utf8_lpad(values.cast(pa.string()), width, "0")
