"""What Amazon Braket charges, in USD: a dated table, and the price of a task.

A table says when it was read and where; a price that is not in it is an error, never zero. This one is the page as a public archive had it, of an
age that the archive does not tell: compare it before money depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from prefect_gatehouse.errors import Denied

SOURCE = "https://aws.amazon.com/braket/pricing/"
READ = date(2026, 11, 29)
LEAST_MINUTES = Decimal(3) / 60
"""A managed simulator bills three seconds at least."""


@dataclass(frozen=True)
class Price:
    """One device's, USD."""

    task: Decimal = Decimal(0)
    shot: Decimal = Decimal(0)
    minute: Decimal = Decimal(0)

    def worst(self, tasks: int, shots: int, minutes: Decimal) -> Decimal:
        """Of so many tasks with so many shots in all, each of which takes no longer than so many minutes."""
        return tasks * self.task + shots * self.shot + tasks * max(minutes, LEAST_MINUTES) * self.minute

    def billed(self, shots: int, minutes: Decimal) -> Decimal:
        """Of a task that has ended."""
        return self.worst(1, shots, minutes)


def _machine(shot: str) -> Price:
    return Price(task=Decimal("0.30"), shot=Decimal(shot))


_TABLE = {
    "qpu/ionq/Forte-1": _machine("0.08"),
    "qpu/ionq/Aria-1": _machine("0.03"),
    "qpu/iqm/Garnet": _machine("0.00145"),
    "qpu/rigetti/Ankaa-3": _machine("0.0009"),
    "quantum-simulator/amazon/sv1": Price(minute=Decimal("0.075")),
    "quantum-simulator/amazon/dm1": Price(minute=Decimal("0.075")),
    "quantum-simulator/amazon/tn1": Price(minute=Decimal("0.275")),
}


def price_of(device_arn: str) -> Price:
    """A device's price.

    Raises:
        Denied: The table does not have it.
    """
    found = _TABLE.get(device_arn.partition("device/")[2])
    if found is None:
        raise Denied("the price table does not have the device", where=device_arn, advice="add the device's price with its source and date")
    return found
