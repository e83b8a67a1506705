"""When a tier lets jobs be submitted: hours of days of the week, in a named time zone (the IANA database)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field, model_validator

from prefect_gatehouse.manifest.fields import Strict
from prefect_gatehouse.manifest.window import Hour, Zone

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_WEEK: tuple[Day, ...] = get_args(Day)
_SEARCHED = 9  # days from today: a week on, and one more where clocks go forward over the opening


class SubmitHours(Strict):
    """By the clocks of the zone; where the hours end before they begin, the night is in between and counts with the day on which it begins.

    An hour that clocks turn back to is in it both times, one that they leap over never.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    days: Annotated[tuple[Day, ...], Field(min_length=1)] = Field(_WEEK, description="On which they begin; every day unless set.")
    opens: Hour = Field(alias="from", description='Such as "08:00", in quotes.')
    closes: Hour | Literal["24:00"] = Field(alias="to", description='Nothing is submitted from then on; "24:00" is the end of the day.')
    zone: Zone = Field("UTC", description="Such as Europe/Berlin.")

    @model_validator(mode="after")
    def _some_time(self) -> SubmitHours:
        if self.opens == self.closes:
            raise ValueError('the hours begin and end at once; a whole day is from "00:00" to "24:00"')
        if len(set(self.days)) != len(self.days):
            raise ValueError("a day is named twice")
        return self

    def is_open(self, now: datetime) -> bool:
        """Whether jobs may be submitted at a time."""
        here = now.astimezone(ZoneInfo(self.zone))
        clock, today = here.strftime("%H:%M"), here.date()
        if self.opens < self.closes:
            return self._begins(today) and self.opens <= clock < self.closes
        return (self._begins(today) and clock >= self.opens) or (self._begins(today - timedelta(days=1)) and clock < self.closes)

    def next_opening(self, now: datetime) -> datetime:
        """When they begin next, in UTC; in a night whose clocks go forward, as late as they go."""
        zone = ZoneInfo(self.zone)
        today = now.astimezone(zone).date()
        days = (today + timedelta(days=ahead) for ahead in range(_SEARCHED))
        openings = (datetime.combine(day, time.fromisoformat(self.opens), zone).astimezone(UTC) for day in days if self._begins(day))
        return next(each for each in openings if each > now)

    def in_words(self) -> str:
        """For people."""
        return f"on {', '.join(each for each in _WEEK if each in self.days)} from {self.opens} to {self.closes} ({self.zone})"

    def _begins(self, day: date) -> bool:
        return _WEEK[day.weekday()] in self.days
