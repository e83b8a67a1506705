"""The registry of people against what the ledger has of its changes: whoever edits its files by hand is noticed."""

from __future__ import annotations

from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.events import PeopleChanged
from prefect_gatehouse.ledger.store import Ledger


def is_as_recorded(ledger: Ledger, people: People) -> bool | None:
    """Whether the registry is what its last recorded change left; None where none is recorded.

    What it was before that is not enough: whoever puts old files back undoes a revocation.

    Raises:
        Tampered: The registry can't be read.
    """
    newest = ledger.newest(PeopleChanged, limit=1)
    return people.digest() == newest[0].fact.after if newest else None


def require_as_recorded(ledger: Ledger, people: People) -> None:
    """Stops where the registry was changed beside `gatehouse people`, once that has recorded a change.

    Raises:
        Tampered: It was, or can't be read.
    """
    if is_as_recorded(ledger, people) is False:
        raise Tampered(
            "the registry of people was changed since its last recorded change, and nobody said so",
            where="people",
            advice="compare gatehouse people list with gatehouse people history; then restore the files, or: gatehouse people accept --reason WHY",
        )
