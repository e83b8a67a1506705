"""Amounts of money: US dollars, exact, in units of a ten-thousandth, and rounded up wherever something is promised or reserved.

Plan, journal, caps and the ledger's sums round here, so that no two of them disagree about the same price.
"""

from __future__ import annotations

from decimal import ROUND_UP, Decimal
from math import ceil, floor

UNIT = Decimal("0.0001")
"""The smallest amount that is kept: a shot costs less than a cent, and the journal's columns have four digits."""

MOST = Decimal("99999999.9999")
"""The largest amount that the journal's columns hold, ``numeric(12, 4)``."""


def is_amount(value: Decimal) -> bool:
    """Whether a number is money that can be kept: no infinity, not below zero, not beyond the columns."""
    return value.is_finite() and 0 <= value <= MOST


def up(value: Decimal) -> Decimal:
    """An amount in whole units, never less than it was."""
    return value.quantize(UNIT, ROUND_UP)


def in_units(value: Decimal) -> int:
    """An amount as a whole number of units, rounded up: sums of these are exact on every database."""
    return int(up(value) / UNIT)


def micro(value: Decimal) -> int:
    """In millionths of a dollar, as the policy is told what something may cost: never less than it was."""
    return ceil(value * 1_000_000)


def micro_at_most(value: Decimal) -> int:
    """In millionths of a dollar, as the policy is told what is allowed: never more than it was."""
    return floor(value * 1_000_000)


def in_usd(units: int) -> Decimal:
    """A whole number of units as dollars."""
    return units * UNIT
