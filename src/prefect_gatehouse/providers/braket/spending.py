"""The service's own spending limits: the second wall behind our budgets."""

from __future__ import annotations

import hashlib
from datetime import datetime
from decimal import ROUND_UP, Decimal
from typing import Any

from prefect_gatehouse.providers.interface import SpendingLimit

OURS = {"gatehouse-limit": "second-wall"}
"""The tag of the limits that we set; others are read and left alone."""


def read_limits(braket: Any, device_arn: str) -> tuple[SpendingLimit, ...]:
    """A device's limits, whoever set them."""
    return tuple(_limit(found) for found in _found(braket, device_arn))


def set_limit(braket: Any, device_arn: str, amount: Decimal, start: datetime, end: datetime) -> None:
    """Makes our limit of a period, or changes its amount; two at once make one, by the token. The service takes whole cents: rounded up."""
    amount = amount.quantize(Decimal("0.01"), ROUND_UP)
    mine = [found for found in _found(braket, device_arn) if OURS.items() <= found.get("tags", {}).items() and _limit(found).start == start]
    if not mine:
        token = hashlib.sha256(f"gatehouse/limit/1\0{device_arn}\0{start.isoformat()}\0{end.isoformat()}\0{amount}".encode()).hexdigest()
        period = {"startAt": start, "endAt": end}
        braket.create_spending_limit(clientToken=token, deviceArn=device_arn, spendingLimit=str(amount), timePeriod=period, tags=OURS)
    for found in mine:
        if Decimal(found["spendingLimit"]) != amount:
            braket.update_spending_limit(spendingLimitArn=found["spendingLimitArn"], spendingLimit=str(amount))


def _found(braket: Any, device_arn: str) -> list[dict[str, Any]]:
    filters = [{"name": "deviceArn", "operator": "EQUAL", "values": [device_arn]}]
    pages = braket.get_paginator("search_spending_limits").paginate(filters=filters)
    return [found for page in pages for found in page["spendingLimits"]]


def _limit(found: dict[str, Any]) -> SpendingLimit:
    return SpendingLimit(
        name=found["spendingLimitArn"],
        amount=Decimal(found["spendingLimit"]),
        queued=Decimal(found["queuedSpend"]),
        spent=Decimal(found["totalSpend"]),
        start=found["timePeriod"]["startAt"],
        end=found["timePeriod"]["endAt"],
    )
