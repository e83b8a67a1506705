"""Hours in which jobs are submitted: whether it is the hour, and when it is next, in any zone and through the change of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from prefect_gatehouse.manifest.window import Window

NIGHT = Window(opens="22:00", closes="06:00", zone="Europe/Berlin")
DAY = Window(opens="09:00", closes="17:00")
HOURS = st.times().map(lambda each: each.strftime("%H:%M"))
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe"])


@pytest.mark.parametrize(
    ("window", "now", "is_open", "opens"),
    [
        (DAY, "2026-11-29T09:00", True, "2026-11-30T09:00"),
        (DAY, "2026-11-29T17:00", False, "2026-11-30T09:00"),
        (NIGHT, "2026-11-29T20:59", False, "2026-11-29T21:00"),
        (NIGHT, "2026-11-29T23:30", True, "2026-11-30T21:00"),
        (NIGHT, "2026-06-29T04:00", False, "2026-06-29T20:00"),
        # The hour does not exist that night: it opens when the clocks have gone forward.
        (Window(opens="02:30", closes="04:00", zone="Europe/Berlin"), "2026-03-28T23:00", False, "2026-03-29T01:30"),
    ],
)
def test_hours(window: Window, now: str, is_open: bool, opens: str) -> None:
    """By the clock of the zone, to the minute."""
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert window.is_open(moment) is is_open
    assert window.next_opening(moment).replace(tzinfo=None).isoformat(timespec="minutes") == opens


@given(opens=HOURS, closes=HOURS, zone=ZONES, now=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))
def test_it_opens_within_two_days(opens: str, closes: str, zone: str, now: datetime) -> None:
    """Whatever the hours and the zone: the next opening lies ahead, soon, and within the zone's own day."""
    if opens == closes:
        return
    window = Window(opens=opens, closes=closes, zone=zone)
    assert timedelta(0) < window.next_opening(now) - now <= timedelta(days=2, hours=2)


@pytest.mark.parametrize(
    "fields",
    [
        {"opens": "9:00", "closes": "17:00"},
        {"opens": "24:00", "closes": "17:00"},
        {"opens": "09:00", "closes": "09:00"},
        {"opens": "09:00", "closes": "17:00", "zone": "Europe"},
        {"opens": "09:00", "closes": "17:00", "zone": "../../etc/passwd"},
    ],
)
def test_what_is_no_window(fields: dict[str, str]) -> None:
    """Refused when the manifest is read."""
    with pytest.raises(ValidationError):
        Window(**fields)
