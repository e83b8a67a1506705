"""The seam to what is told outside: one protocol, one file per receiver.

What is told is made from the ledger's events alone, after they were committed. To add a receiver, write a class with these two members and give
it to ``outbox.drain`` under a topic of its own; ``noop.py`` is the whole pattern.
"""

from __future__ import annotations

from typing import Protocol

from prefect_gatehouse.ledger.fact import Fact
from prefect_gatehouse.ledger.store import Event


class Shipper(Protocol):
    """Tells a receiver of the ledger's events, one after the other."""

    @property
    def topic(self) -> str:
        """Names its place in the outbox; stable, at most 40 characters."""

    def ship(self, event: Event[Fact]) -> None:
        """Tells of one event, or of nothing where it is not the receiver's business; the same event may come twice.

        Raises:
            Exception: It was not taken. It comes again, before any later one.
        """
