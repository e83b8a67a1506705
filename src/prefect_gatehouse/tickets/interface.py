"""The seam to ticket systems: one key, one ticket, or none, or no answer; never a guess.

Another system is a file like ``jira.py``: a model of its part of the installation's file of tickets, with a ``kind`` of its own, that looks a key
up, and its name in ``config.py``. It gives a ticket's key, state, approval, pipelines and window; a summary or a description, which may hold data, is
not even asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from prefect_gatehouse.errors import InputError

_KEY = re.compile(r"[A-Z][A-Z0-9]{1,15}-?[0-9]{1,9}")


@dataclass(frozen=True)
class Ticket:
    """A ticket, as its system has it now.

    Attributes:
        key: Its name there.
        state: In the system's word.
        open: Whether work may go on under it.
        approved: Whether it is approved.
        names: What it is about, as ``TENANT/PIPELINE`` each; compared and then forgotten.
        start: When its change window begins; None where it has none.
        end: When that ends.
    """

    key: str
    state: str
    open: bool
    approved: bool
    names: tuple[str, ...]
    start: datetime | None
    end: datetime | None


class TicketSystem(Protocol):
    """Where tickets are."""

    @property
    def source(self) -> str:
        """What people call it: its kind, and the host that is asked."""

    @property
    def block(self) -> str | None:
        """The block of its credential, None where it needs none."""

    def look_up(self, key: str, credential: str) -> Ticket | None:
        """A ticket; None where the system says that there is none of this key.

        Args:
            key: Of the form that a manifest's ticket has.
            credential: The secret's text; empty where ``block`` is None.

        Raises:
            Unavailable: It gives no answer that can be used. Its text is in no message.
            InputError: The key is none.
        """


def require_key(key: str) -> str:
    """The key, where it is one: it becomes part of a path or a query.

    Raises:
        InputError: It is none.
    """
    if _KEY.fullmatch(key) is None:
        raise InputError("this is no ticket's key", where="ticket", advice="write it like CHG-1042 or CHG0031042")
    return key
