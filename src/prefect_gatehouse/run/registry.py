"""The registry of people against what the ledger has of its changes: whoever edits its files by hand is noticed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.acts import PeopleChanged
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.policy.acts import is_original
from prefect_gatehouse.run.plan import registry_of
from prefect_gatehouse.settings import Settings

SETTLES = 2.0
"""Seconds after which files are as a change has recorded them, which is recorded first; longer only where whoever made it died."""


def changes(settings: Settings, ledger: Ledger) -> list[Event[PeopleChanged]]:
    """Every recorded change of this installation's registry, oldest first; other environments and registries may share the ledger."""
    here = (registry_of(settings), settings.environment)
    acts = (event for event in ledger.facts(PeopleChanged) if isinstance(event.fact, PeopleChanged) and is_original(event))
    return [event for event in acts if (event.fact.registry, event.fact.environment) == here]


def is_as_recorded(settings: Settings, ledger: Ledger, people: People) -> bool | None:
    """Whether the registry is what its recorded changes have made of it; None where none is recorded.

    Since it was last accepted each change has to begin where the one before it ended: a change that is recorded over an edit does not
    make the edit one. What it was before the newest change is not enough either: whoever puts old files back undoes a revocation.

    Raises:
        Tampered: The registry can't be read.
    """
    found = changes(settings, ledger)
    accepted = max((place for place, event in enumerate(found) if event.fact.action == "accept-registry"), default=0)
    return found[-1].fact.after == people.digest() and not any(edited(found)[accepted + 1 :]) if found else None


def digest_of(settings: Settings) -> str:
    """The digest of this installation's registry as it is now.

    Raises:
        Tampered: It can't be read.
    """
    return People(settings.people_folder()).digest()


def edited(found: Sequence[Event[PeopleChanged]]) -> list[bool]:
    """Of each change whether the files had been edited before it, which that did not make right."""
    return [False, *(after.fact.before != before.fact.after for before, after in pairwise(found))][: len(found)]


def require_as_recorded(settings: Settings, ledger: Ledger, people: People) -> None:
    """Stops where the registry was changed beside `gatehouse people`, once that has recorded a change.

    Raises:
        Tampered: It was, or can't be read.
    """
    until = time.monotonic() + SETTLES
    while is_as_recorded(settings, ledger, people) is False:  # a change is recorded a moment before it is made
        if time.monotonic() > until:
            raise Tampered(
                "the registry of people is not what its recorded changes have made of it",
                where="people",
                advice="compare gatehouse people list with gatehouse people history; then, where it is right: gatehouse people accept --reason WHY",
            )
        time.sleep(0.1)
