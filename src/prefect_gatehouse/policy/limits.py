"""What a tier may limit beside what it demands, each unset as long as its file does not say it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from prefect_gatehouse.canonical import EXACT

Region = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)]
"""A provider's region as its own name has it, such as eu-north-1 or eu-de."""

Shots = Annotated[int, Field(ge=1, le=EXACT)]
"""Of all circuits in all rounds of a run."""

Usd = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=4)]
"""US dollars, as exact as a manifest's envelope."""
