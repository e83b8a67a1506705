"""When a provider's figure is none that ours can become, and what stands beside it where two blocks name one device."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from prefect_gatehouse.providers.interface import SpendingLimit
from prefect_gatehouse.run.walls import Wall, joined

START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


def wall(theirs: str, settled: str = "0", reserved: str = "0", jobs: int = 0, *, limit: str = "one", backend: str = "braket/a") -> Wall:
    found = SpendingLimit(limit, Decimal(100), Decimal(0), Decimal(theirs), START, END)
    return Wall(backend, found, Decimal(settled), Decimal(reserved), jobs)


@pytest.mark.parametrize(
    ("seen", "differs"),
    [
        (wall("0"), False),
        (wall("0.0001"), True),
        (wall("1.5", "1.5", jobs=3), False),
        (wall("1.49975", "1.5", jobs=3), False),  # each of three jobs was rounded up to the next unit
        (wall("1.4996", "1.5", jobs=3), True),
        (wall("1.5001", "1.5", jobs=3), True),
        (wall("1.5", "1.5", "2", jobs=4), False),  # the fourth was cancelled a moment ago
        (wall("3.5", "1.5", "2", jobs=4), False),
        (wall("3.5001", "1.5", "2", jobs=4), True),
    ],
)
def test_a_difference(seen: Wall, differs: bool) -> None:
    """Rounding is none, and neither is a bill that is still to come."""
    assert seen.differs is differs


def test_two_blocks_of_one_device() -> None:
    """Our figures of both are one beside the provider's; another device's stays by itself."""
    one, two = joined([wall("3", "1", "0.5", 2), wall("3", "1", "0.5", 3, backend="braket/b"), wall("0", limit="two", backend="braket/c")])
    assert (one.backend, one.settled, one.reserved, one.jobs, one.differs) == ("braket/a, braket/b", 2, 1, 5, False)
    assert (two.backend, two.ours) == ("braket/c", 0)
