"""The service's own spending limits: a cap for a device and a period, compared with every task's price before the task is made."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from prefect_gatehouse.emulators.braket.devices import ACCOUNT
from prefect_gatehouse.emulators.braket.tasks import ENDED, Task
from prefect_gatehouse.emulators.faults import Fault


@dataclass
class Limit:
    """One limit."""

    arn: str
    device: str
    amount: Decimal
    start: float
    end: float
    tags: dict[str, str]
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)

    def described(self, tasks: list[Task]) -> dict[str, Any]:
        """As SearchSpendingLimits tells it."""
        queued, total = self._spent(tasks)
        return {
            "spendingLimitArn": self.arn,
            "deviceArn": self.device,
            "timePeriod": {"startAt": self.start, "endAt": self.end},
            "spendingLimit": str(self.amount),
            "queuedSpend": str(queued),
            "totalSpend": str(total),
            "createdAt": self.created,
            "updatedAt": self.updated,
            "tags": self.tags,
        }

    def has_room(self, tasks: list[Task], price: Decimal) -> bool:
        """Whether a task may still cost so much."""
        return not self.start <= time.time() < self.end or sum(self._spent(tasks)) + price <= self.amount

    def _spent(self, tasks: list[Task]) -> tuple[Decimal, Decimal]:
        """What waits or runs may cost, and what has ended has cost."""
        mine = [task for task in tasks if task.device.arn == self.device and self.start <= task.created < self.end]
        queued = sum((task.worst() for task in mine if task.status not in ENDED), Decimal(0))
        return queued, sum((task.billed() for task in mine if task.status in ENDED), Decimal(0))


class Limits:
    """All limits."""

    def __init__(self) -> None:
        self.all: dict[str, Limit] = {}

    def create(self, region: str, parameters: dict[str, Any]) -> Limit:
        """A new limit; without a period it holds for ever."""
        start, end = _period(parameters.get("timePeriod"))
        arn = f"arn:aws:braket:{region}:{ACCOUNT}:spending-limit/{uuid.uuid4()}"
        limit = Limit(arn, parameters["deviceArn"], Decimal(parameters["spendingLimit"]), start, end, parameters.get("tags", {}))
        self.all[arn] = limit
        return limit

    def update(self, parameters: dict[str, Any]) -> None:
        """Changes a limit's amount or period."""
        limit = self.find(parameters["spendingLimitArn"])
        if "spendingLimit" in parameters:
            limit.amount = Decimal(parameters["spendingLimit"])
        if "timePeriod" in parameters:
            limit.start, limit.end = _period(parameters["timePeriod"])
        limit.updated = time.time()

    def find(self, arn: str) -> Limit:
        """A limit by its ARN.

        Raises:
            Fault: There is none.
        """
        if arn not in self.all:
            raise Fault("ResourceNotFoundException", "there is no such spending limit", 404)
        return self.all[arn]

    def require_room(self, tasks: list[Task], device: str, price: Decimal) -> None:
        """Stops a task that would cost more than a limit of its device leaves.

        Raises:
            Fault: It would.
        """
        for limit in self.all.values():
            if limit.device == device and not limit.has_room(tasks, price):
                raise Fault("ServiceQuotaExceededException", "the task would exceed a spending limit", 402)


def _period(given: dict[str, Any] | None) -> tuple[float, float]:
    start, end = (0.0, float(2**33)) if given is None else (float(given["startAt"]), float(given["endAt"]))
    if start >= end:
        raise Fault("ValidationException", "the period ends before it starts")
    return start, end
