"""Until when what is kept stays: as it was entered, unless somebody's word keeps it longer."""

from __future__ import annotations

from collections.abc import Callable

Until = Callable[[str, float], float]
"""Until when something stays, of its URI and the end that was entered for it; both in seconds since the epoch."""


def as_entered(_uri: str, entered: float) -> float:
    """Nobody keeps anything longer."""
    return entered
