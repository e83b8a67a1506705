"""The service's own spending limits: the second wall behind our budgets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class SpendingLimit:
    """A cap that the service checks on every task of a device.

    Attributes:
        arn: The limit's name.
        amount: USD.
        queued: USD that waiting and running tasks may cost.
        spent: USD.
        start: Of its period.
        end: Of its period.
    """

    arn: str
    amount: Decimal
    queued: Decimal
    spent: Decimal
    start: datetime
    end: datetime

    @property
    def left(self) -> Decimal:
        """USD that the service still lets pass."""
        return max(Decimal(0), self.amount - self.queued - self.spent)


def read_limits(braket: Any, device_arn: str) -> tuple[SpendingLimit, ...]:
    """A device's limits, whoever set them."""
    filters = [{"name": "deviceArn", "operator": "EQUAL", "values": [device_arn]}]
    pages = braket.get_paginator("search_spending_limits").paginate(filters=filters)
    return tuple(
        SpendingLimit(
            arn=found["spendingLimitArn"],
            amount=Decimal(found["spendingLimit"]),
            queued=Decimal(found["queuedSpend"]),
            spent=Decimal(found["totalSpend"]),
            start=found["timePeriod"]["startAt"],
            end=found["timePeriod"]["endAt"],
        )
        for page in pages
        for found in page["spendingLimits"]
    )
