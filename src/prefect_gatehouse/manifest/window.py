"""Hours of the day in which jobs are submitted, in a named time zone (the IANA database)."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from prefect_gatehouse.manifest.fields import Strict


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # OSError: the name of a folder of the database
        raise ValueError("there is no such time zone; name one as Europe/Berlin or UTC") from None
    return name


Hour = Annotated[str, Field(pattern=r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]$")]
Zone = Annotated[str, Field(max_length=64), AfterValidator(_zone)]


class Window(Strict):
    """Hours in which jobs are submitted; where it closes before it opens, the night is in between."""

    opens: Hour = Field(description='Such as "22:00", in quotes.')
    closes: Hour = Field(description="Nothing is submitted from then on.")
    zone: Zone = Field("UTC", description="Such as Europe/Berlin.")

    @model_validator(mode="after")
    def _some_time(self) -> Window:
        if self.opens == self.closes:
            raise ValueError("the window opens and closes at once; leave it out if any hour will do")
        return self

    def is_open(self, now: datetime) -> bool:
        """Whether jobs are submitted at a time."""
        here = now.astimezone(ZoneInfo(self.zone)).strftime("%H:%M")
        if self.opens < self.closes:
            return self.opens <= here < self.closes
        return here >= self.opens or here < self.closes

    def next_opening(self, now: datetime) -> datetime:
        """When it opens next, in UTC; in a night whose clocks go forward, as late as they go."""
        zone = ZoneInfo(self.zone)
        today = now.astimezone(zone).date()
        hour = time.fromisoformat(self.opens)
        openings = (datetime.combine(today + timedelta(days=days), hour, zone).astimezone(UTC) for days in range(3))
        return next(each for each in openings if each > now)

    def in_words(self) -> str:
        """For people."""
        return f"from {self.opens} to {self.closes} ({self.zone})"
