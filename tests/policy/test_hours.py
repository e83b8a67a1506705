"""When a tier lets jobs be submitted: boundaries, nights, days, and the two nights on which clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_gatehouse.policy.hours import SubmitHours

OFFICE = {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00", "zone": "Europe/Berlin"}
NIGHT = {"days": ["fri"], "from": "22:00", "to": "06:00", "zone": "Europe/Berlin"}
LEAP = {"from": "02:15", "to": "02:45", "zone": "Europe/Berlin"}
WHOLE = {"days": ["sun"], "from": "00:00", "to": "24:00", "zone": "Europe/Berlin"}


def at(text: str) -> datetime:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# 2026-11-30 is a Monday, and Berlin an hour before UTC; in summer two.
OPEN = [
    (OFFICE, "2026-11-30T06:59:59", False),
    (OFFICE, "2026-11-30T07:00:00", True),
    (OFFICE, "2026-11-30T16:59:59", True),
    (OFFICE, "2026-11-30T17:00:00", False),
    (OFFICE, "2026-12-04T16:59:00", True),
    (OFFICE, "2026-12-05T10:00:00", False),
    (OFFICE, "2026-12-06T10:00:00", False),
    (OFFICE, "2026-07-06T06:00:00", True),
    (OFFICE, "2026-07-06T05:59:59", False),
    (OFFICE, "2026-07-06T16:00:00", False),
    # From Friday's evening to Saturday's morning; Friday's own morning belongs to Thursday's night.
    (NIGHT, "2026-12-04T20:59:59", False),
    (NIGHT, "2026-12-04T21:00:00", True),
    (NIGHT, "2026-12-04T23:30:00", True),
    (NIGHT, "2026-12-05T04:59:59", True),
    (NIGHT, "2026-12-05T05:00:00", False),
    (NIGHT, "2026-12-04T04:00:00", False),
    (NIGHT, "2026-12-05T22:00:00", False),
    # The night of 25 October 2026 has its hour from two to three twice, the one of 29 March 2026 has none.
    (LEAP, "2026-10-25T00:20:00", True),
    (LEAP, "2026-10-25T01:20:00", True),
    (LEAP, "2026-10-25T00:50:00", False),
    (LEAP, "2026-03-29T00:59:59", False),
    (LEAP, "2026-03-29T01:20:00", False),
    (LEAP, "2026-03-30T00:20:00", True),
    (WHOLE, "2026-12-05T23:00:00", True),
    (WHOLE, "2026-12-06T22:59:59", True),
    (WHOLE, "2026-12-06T23:00:00", False),
]


@pytest.mark.parametrize(("hours", "when", "is_open"), OPEN)
def test_is_open(hours: dict[str, Any], when: str, is_open: bool) -> None:
    assert SubmitHours.model_validate(hours).is_open(at(when)) is is_open


NEXT = [
    (OFFICE, "2026-11-30T06:00:00", "2026-11-30T07:00:00"),
    (OFFICE, "2026-11-30T17:00:00", "2026-12-01T07:00:00"),
    (OFFICE, "2026-12-04T17:00:00", "2026-12-07T07:00:00"),
    (NIGHT, "2026-12-05T05:00:00", "2026-12-11T21:00:00"),
    (NIGHT, "2026-12-11T20:59:59", "2026-12-11T21:00:00"),
    # Clocks went forward between: eight o'clock comes an hour earlier.
    (OFFICE, "2026-03-27T17:00:00", "2026-03-30T06:00:00"),
    (WHOLE, "2026-12-06T23:00:00", "2026-12-12T23:00:00"),
]


@pytest.mark.parametrize(("hours", "when", "opens"), NEXT)
def test_next_opening(hours: dict[str, Any], when: str, opens: str) -> None:
    assert SubmitHours.model_validate(hours).next_opening(at(when)) == at(opens)


def test_hours_that_a_night_leaps_over() -> None:
    """They do not come that night: whoever waits is woken once for nothing, and then the night after."""
    hours = SubmitHours.model_validate(LEAP)
    woken = hours.next_opening(at("2026-03-28T12:00:00"))
    assert (woken, hours.is_open(woken)) == (at("2026-03-29T01:15:00"), False)
    assert hours.is_open(hours.next_opening(woken))


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.sets(st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]), min_size=1),
)
def test_the_next_opening_is_one(now: datetime, first: int, last: int, days: set[str]) -> None:
    """In UTC, where no clock changes: it is ahead, within a week, they are open then, and were not in the minute before unless they never close."""
    if first == last:
        return
    opens, closes = (f"{each // 60:02}:{each % 60:02}" for each in (first, last))
    hours = SubmitHours.model_validate({"days": sorted(days), "from": opens, "to": closes})
    found = hours.next_opening(now)
    assert now < found <= now + timedelta(days=7) and hours.is_open(found)
    assert not hours.is_open(found - timedelta(minutes=1)) or closes < opens


def test_in_words() -> None:
    """Days in the week's order."""
    hours = SubmitHours.model_validate({**NIGHT, "days": ["sun", "fri"]})
    assert hours.in_words() == "on fri, sun from 22:00 to 06:00 (Europe/Berlin)"
