"""Tickets in the installation's own file: for a desk, a demo, and a house whose tickets are on paper.

It is worth as much as the permission to write it. A tier that wants a ticket system does not take it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from prefect_gatehouse.manifest.fields import Name, Strict, TicketKey
from prefect_gatehouse.tickets.interface import Ticket, require_key


class _Entry(Strict):
    tenant: Name
    pipelines: Annotated[tuple[Name, ...], Field(min_length=1)]
    state: Literal["open", "closed"]
    approved: bool
    start: AwareDatetime
    end: AwareDatetime


class TicketFile(Strict):
    """Tickets that stand here."""

    kind: Literal["file"]
    tickets: Mapping[TicketKey, _Entry]

    @property
    def source(self) -> str:
        """That it is a file."""
        return "the installation's file"

    @property
    def block(self) -> str | None:
        """None is needed."""
        return None

    def look_up(self, key: str, credential: str = "") -> Ticket | None:
        """The entry of a key; see ``interface.py``."""
        found = self.tickets.get(require_key(key))
        if found is None:
            return None
        names = tuple(f"{found.tenant}/{each}" for each in found.pipelines)
        return Ticket(key, found.state, found.state == "open", found.approved, names, found.start, found.end)
