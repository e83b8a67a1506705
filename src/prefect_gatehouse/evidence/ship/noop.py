"""The receiver that is told nothing."""

from __future__ import annotations

from prefect_gatehouse.ledger.fact import Fact
from prefect_gatehouse.ledger.store import Event


class Noop:
    """Takes every event and forgets it."""

    topic = "none"

    def ship(self, event: Event[Fact]) -> None:
        """Nothing."""
