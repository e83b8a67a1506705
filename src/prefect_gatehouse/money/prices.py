"""The price table: what providers ask per task, per shot and per minute, each price with its source and its date.

A file of the installation (``GATEHOUSE_PRICES``); the shipped one says where each price was read. Prices change without notice, so a table
that nobody has looked at for a quarter is told about above the prototype tier.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, model_validator

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.fields import Line, Strict
from prefect_gatehouse.policy.yaml_file import read_rules
from prefect_gatehouse.usd import is_amount, up
from prefect_gatehouse.vocabulary import TierName

OLD_DAYS = 92
"""A quarter: providers announce changes for the next one, and a table is looked at once in each."""

_Rate = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=10)]


class Price(Strict):
    """What a provider asks for jobs on one device."""

    per_task: _Rate = Field(Decimal(0), description="USD a job, whatever is in it.")
    per_shot: _Rate = Field(Decimal(0), description="USD a shot of any circuit in it.")
    per_minute: _Rate = Field(Decimal(0), description="USD a minute on the device.")
    longest_minutes: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="When the provider ends a job at the latest: the upper bound of what is billed by the minute."
    )
    least_minutes: _Rate = Field(Decimal(0), description="Shortest time that is billed, however soon a job ends.")
    source: Line = Field(description="Where the price was read.")
    dated: date = Field(description="When it was.")

    @model_validator(mode="after")
    def _bounded(self) -> Price:
        if self.per_minute and self.longest_minutes is None:
            raise ValueError("a price per minute needs longest_minutes, or there is no upper bound")
        if self.dated > datetime.now(UTC).date() + timedelta(days=1):  # it would never be old
            raise ValueError("dated lies in the future")
        return self

    def billed(self, shots: int, minutes: Decimal) -> Decimal:
        """What one job that has ended costs by this price, exact: for a provider that does not say it itself.

        Args:
            shots: Shots of all its circuits.
            minutes: Its time on the device.
        """
        return self.per_task + self.per_shot * shots + self.per_minute * max(minutes, self.least_minutes)

    def estimate(self, tasks: int, shots: int, minutes: Decimal | None = None) -> Estimate:
        """What so many jobs with so many shots in all cost at most.

        Args:
            tasks: Jobs.
            shots: Shots of all circuits of all jobs.
            minutes: Most that each job may take, where the caller has it end then; the provider's own limit unless given.
        """
        upper = self.per_task * tasks + self.per_shot * shots
        words = []
        if self.per_task:
            words.append(f"{tasks:,} x {self.per_task} a task")
        if self.per_shot:
            words.append(f"{shots:,} x {self.per_shot} a shot")
        if self.per_minute:
            longest = Decimal(self.longest_minutes or 0) if minutes is None else max(minutes, self.least_minutes)
            upper += self.per_minute * longest * tasks
            words.append(f"{tasks:,} x up to {longest} min x {self.per_minute} a minute")
        return Estimate(up(upper), f"{' + '.join(words) or 'nothing is billed'}; {self.source}, {self.dated}", self.dated)


@dataclass(frozen=True)
class Estimate:
    """What jobs may cost.

    Attributes:
        upper: USD, worst case, rounded up to what the journal keeps.
        basis: How it was reckoned, with source and date, in words.
        dated: Of the price; None where the figure is the provider's own, asked now.
    """

    upper: Decimal
    basis: str
    dated: date | None = None

    def warning(self, tier: TierName, today: date) -> str:
        """What people should know before they approve; empty if nothing."""
        if self.dated is None or tier == "prototype":
            return ""
        days = (today - self.dated).days
        return f"the price is {days} days old" if days > OLD_DAYS else ""


@cache
def _form() -> TypeAdapter[dict[Line, Price]]:
    return TypeAdapter(dict[Line, Price])


class Prices:
    """The prices of an installation, by the provider's own name of a device.

    Args:
        path: The file.

    Raises:
        InputError: It is missing or malformed; names file and field.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._prices: dict[str, Price] = read_rules(path, _form(), "the prices", "GATEHOUSE_PRICES")

    def get(self, device: str) -> Price | None:
        """A device's price, None where the table has none."""
        return self._prices.get(device)

    def __iter__(self) -> Iterator[str]:
        return iter(self._prices)

    def of(self, device: str) -> Price:
        """A device's price.

        Raises:
            InputError: The table has none.
        """
        found = self.get(device)
        if found is None:
            raise InputError(f"the price table has no price of {device}", where=f"{self.path}: {device}", advice="add it, with source and date")
        return found


def whole_round(jobs: list[Estimate]) -> Estimate:
    """Jobs of one round together: each is reserved on its own, and so each is rounded up on its own."""
    upper = sum((each.upper for each in jobs), Decimal(0))
    dated = min((each.dated for each in jobs if each.dated is not None), default=None)
    return Estimate(upper, jobs[0].basis if len(jobs) == 1 else f"{len(jobs):,} jobs, the largest: {max(jobs, key=_size).basis}", dated)


def _size(estimate: Estimate) -> Decimal:
    return estimate.upper if is_amount(estimate.upper) else Decimal(0)
