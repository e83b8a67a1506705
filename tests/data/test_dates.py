"""Dates made coarser."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_gatehouse.data.dates import Dates
from prefect_gatehouse.errors import DataRefused

DAYS = st.lists(st.none() | st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31)), min_size=1, max_size=20)


def coarse(to: str, array: pa.Array) -> list[object]:
    rule = Dates("col", to)
    treated, _ = rule.apply(array)
    rule.check()
    return treated.to_pylist()  # type: ignore[no-any-return]


def expected(to: str, day: dt.date | None) -> object:
    if day is None:
        return None
    week = day.isocalendar()
    return {
        "year": day.year,
        "quarter": f"{day.year:04d}-Q{(day.month + 2) // 3}",
        "month": day.isoformat()[:7],
        "week": f"{week.year:04d}-W{week.week:02d}",
        "day": day.isoformat(),
    }[to]


@pytest.mark.parametrize("to", ["year", "quarter", "month", "week", "day"])
@settings(deadline=None)
@given(DAYS)
def test_as_the_calendar_of_python(to: str, days: list[dt.date | None]) -> None:
    """Every form, over the whole calendar, from dates, from text and from timestamps alike; missing days stay missing."""
    if to == "week":  # the week before the first Monday of year 1 is in the year 0, which Python has not
        days = [day if day is None or day.year > 1 else None for day in days]
    answer = [expected(to, day) for day in days]
    assert coarse(to, pa.array(days, pa.date32())) == answer
    assert coarse(to, pa.array([day and day.isoformat() for day in days], pa.string())) == answer
    assert coarse(to, pa.array([day and f" {day.isoformat()}T23:59:59.5-08:00 " for day in days], pa.string())) == answer
    stamps = [day and dt.datetime(day.year, day.month, day.day, 23, 59, 59) for day in days]
    assert coarse(to, pa.array(stamps, pa.timestamp("us"))) == answer


def test_the_day_of_a_zone_is_the_one_on_its_clocks() -> None:
    """A timestamp with a zone counts in that zone; text counts as it is written; before 1970 as well."""
    moment = dt.datetime(2026, 1, 1, 3, 0, tzinfo=dt.UTC)
    for zone, day in (("UTC", "2026-01-01"), ("America/New_York", "2025-12-31"), ("Asia/Tokyo", "2026-01-01")):
        assert coarse("day", pa.array([moment], pa.timestamp("ms", zone))) == [day]
    assert coarse("day", pa.array(["2026-01-01T03:00:00-05:00"])) == ["2026-01-01"]
    assert coarse("day", pa.array([dt.datetime(1969, 12, 31, 23)], pa.timestamp("s"))) == ["1969-12-31"]


@pytest.mark.parametrize(
    "text", ["2026-02-30", "2026-1-2", "26-01-02", "2026-01-02T25:00", "2026-01-02T10:61", "2026-01-02Z", "01.02.2026", "CANARY"]
)
def test_other_forms_are_bad_values(text: str) -> None:
    """What is not of the stated forms is counted, masked and not shown."""
    rule = Dates("col", "year")
    treated, bad = rule.apply(pa.array([text, "2026-01-02"]))
    assert (treated.to_pylist(), bad.to_pylist()) == ([None, 2026], [True, False])
    with pytest.raises(DataRefused, match="1 value is not dates written YYYY-MM-DD") as caught:
        rule.check()
    assert "CANARY" not in str(caught.value)


def test_days_that_no_calendar_writes() -> None:
    """Days beyond the year 9999, which Arrow can hold, are bad values."""
    rule = Dates("col", "day")
    treated, bad = rule.apply(pa.array([10**8, 0], pa.int32()).cast(pa.date32()))
    assert (treated.to_pylist(), bad.to_pylist()) == ([None, "1970-01-01"], [True, False])
