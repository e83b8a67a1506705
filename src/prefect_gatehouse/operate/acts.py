"""Acts that give something until they are ended, at the command line: each is named by its event's number, and ended by another act."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TypeVar

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.ledger.acts import SignedAct
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.operate.budgets import line_of
from prefect_gatehouse.operate.signing import anybody, record
from prefect_gatehouse.policy.given import endings
from prefect_gatehouse.settings import Settings

G = TypeVar("G", bound=SignedAct)
A = TypeVar("A", bound=SignedAct)


def numbered(ledger: Ledger, kind: type[G], number: str, see: str) -> Event[G]:
    """The act that gave something, by its event's number or its own name.

    Args:
        ledger: The open ledger.
        kind: Of the act.
        number: What somebody typed.
        see: The command that lists them.

    Raises:
        InputError: There is none.
    """
    found = next((event for event in ledger.facts(kind) if number in {str(event.seq), getattr(event.fact, kind.named_by)}), None)
    if found is None:
        raise InputError(f"there is no such {kind.named_by}", where=kind.named_by, advice=f"see them with: {see}")
    return found


def refuse_ended(ledger: Ledger, given: Event[G], ends: type[A], see: str) -> None:
    """Stops an act about one that was ended: it would say nothing, and look as if it did.

    Args:
        ledger: The open ledger.
        given: What it would be about.
        ends: The kind of act that ends such.
        see: The command that lists them.

    Raises:
        InputError: It was; says by whom and when.
    """
    name = given.fact.named_by
    over = endings(ledger.facts(ends), type(given.fact), ends).get(getattr(given.fact, name))
    if over is not None:
        by = f"by {over.data.get('person')} on {over.when:%Y-%m-%d %H:%M} UTC [{over.seq}]"
        raise InputError(f"{name} {given.seq} was ended already, {by}", where=name, advice=f"nothing to do; see it with: {see} --all")


def record_end(settings: Settings, ledger: Ledger, given: Event[G], kind: type[A], action: str, reason: str, what: str, see: str) -> Event[A]:
    """Signs the end of an act that gave something; as ``record_about``.

    Raises:
        InputError: As there; or it was ended already, and nothing is recorded.
        Denied: As there.
    """
    refuse_ended(ledger, given, kind, see)
    return record_about(settings, ledger, given, kind, action, reason, what)


def record_about(
    settings: Settings,
    ledger: Ledger,
    given: Event[G],
    kind: type[A],
    action: str,
    reason: str,
    what: str,
    refuse: Callable[[A], None] = anybody,
) -> Event[A]:
    """Signs another act about one that gave something, such as its end.

    Args:
        settings: The installation; its identity is the caller's.
        ledger: The open ledger.
        given: What it is about.
        kind: Of the act that is signed.
        action: Its action.
        reason: Why.
        what: What it is, in words.
        refuse: As of ``record``.

    Raises:
        InputError: The reason is malformed, or the caller has no usable signing key.
        Denied: It is not for the caller to sign, or they are in quarantine.
    """
    act = str(uuid.uuid4())
    statement = {
        "action": action,
        given.fact.named_by: getattr(given.fact, given.fact.named_by),
        "reason": line_of(reason, "--reason"),
        "environment": settings.environment,
        "act": act,
    }
    return record(settings, ledger, kind, statement, act, what, refuse, about=given.fact)
