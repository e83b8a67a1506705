"""What was found of a ticket, as the policy is told it and people read it: nothing of the ticket's text, only its key, state and window."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import AwareDatetime, Field

from prefect_gatehouse.ledger.events import TicketChecked
from prefect_gatehouse.tickets.interface import Ticket
from prefect_gatehouse.value import Value


class TicketCheck(Value):
    """What was found of a run's ticket at a moment."""

    ticket: str
    source: str = Field("", description="The system that was asked; empty where none is set up.")
    at: AwareDatetime
    unchecked: str = Field("", description="Why it could not be checked; empty where it was.")
    state: str = ""
    open: bool = False
    approved: bool = False
    names_pipeline: bool = Field(False, description="Whether it names this pipeline of this tenant.")
    in_window: bool = False
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None
    block: str | None = Field(None, description="The block of the credential, None where none was read.")
    credential_version: str = ""

    def fact(self, gate: str, round_number: int | None) -> TicketChecked:
        """The finding as an event of the ledger."""
        return TicketChecked(gate=gate, round=round_number, **self.model_dump())

    def in_words(self) -> str:
        """Such as ``QC-1, approved, window until 2026-12-01 12:00 UTC, checked at 2026-11-29 09:30 UTC in jira at example.org``."""
        at = f"{_utc(self.at)} in {self.source}" if self.source else _utc(self.at)
        if self.unchecked:
            return f"{self.ticket}, not checked at {at}: {self.unchecked}"
        approved = "approved" if self.approved else "not approved"
        window = f"window until {_utc(self.end)}" if self.end is not None else "no window"
        return f"{self.ticket} ({self.state}), {approved}, {window}, checked at {at}"


def judged(ticket: Ticket | None, key: str, source: str, tenant: str, pipeline: str, now: datetime) -> TicketCheck:
    """What a ticket says about a run of this pipeline now; a window that has no begin or no end is never open."""
    if ticket is None:
        return TicketCheck(ticket=key, source=source, at=now, state="not found")
    start, end = ticket.start, ticket.end
    return TicketCheck(
        ticket=key,
        source=source,
        at=now,
        state=ticket.state,
        open=ticket.open,
        approved=ticket.approved,
        names_pipeline=f"{tenant}/{pipeline}" in ticket.names,
        in_window=start is not None and end is not None and start <= now < end,
        start=start,
        end=end,
    )


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
