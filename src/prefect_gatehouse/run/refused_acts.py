"""The one place where a refused act gets into the ledger: around whatever says no to somebody at the command line.

The refusal stands whatever becomes of its record. Whoever is refused again and again does not fill the ledger: an event's name is made of who, what,
why and the hour, so the same refusal is found there already; and of one person so many different ones are kept in an hour, and then one that says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import cast

from prefect_gatehouse.canonical import Json, digest
from prefect_gatehouse.errors import Denied, GatehouseError
from prefect_gatehouse.identity.caller import caller_of
from prefect_gatehouse.identity.requester import NOBODY
from prefect_gatehouse.ledger.acts import PolicySigned
from prefect_gatehouse.ledger.by_hand import ActRefused
from prefect_gatehouse.ledger.fact import Fact
from prefect_gatehouse.ledger.store import LEDGER, Ledger
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import RefusedAction

_NAMES = ("run", "pipeline", "tenant", "backend", "block", "rule", "scope", "name", "whom", "commit", "source")
"""What an act's own event may say that it is about, and is no sentence of whoever signs."""
_NAME = re.compile(r"[A-Za-z0-9._@:/+-]{1,160}")
"""A name; what a refused caller has typed may be anything, and nothing has looked at all of it yet."""
_MOST = 40
"""Different refusals of one person in an hour: more than anybody's slips, and too few to fill a ledger with."""


@contextmanager
def recorded_if_refused(ledger: Ledger, act: ActRefused, run_id: str = LEDGER) -> Iterator[None]:
    """Records an act that is refused in it; to be entered outside of any transaction.

    Args:
        ledger: The open ledger.
        act: Who tries what; the reasons come from the refusal.
        run_id: The run that it is about; none unless given.

    Raises:
        Denied: As raised in it; its message says so where it could not be recorded.
    """
    try:
        yield
    except Denied as refused:
        told = act.model_copy(update={"reasons": refused.rules or (refused.code,), "policy_digest": refused.policy_digest})
        try:
            _record(ledger, told, run_id)
        except Exception as error:  # noqa: BLE001 - the refusal stands, whatever the ledger's database lets through
            why = error.message if isinstance(error, GatehouseError) else type(error).__name__
            refused.message = f"{refused.message}; that this was refused could not be recorded: {why}"
            refused.args = (refused.message,)
        raise refused from None


def tried(fact: Fact, action: RefusedAction, about: Fact | None = None) -> ActRefused:
    """An act that may be refused, by what would be recorded of it.

    Args:
        fact: What somebody has signed: its act, environment, person and key.
        action: What is asked.
        about: The act that it ends; itself unless given.
    """
    said, what = fact.data(), (about or fact).data()
    named = {name: str(what.get(name, "")) for name in _NAMES}
    if isinstance(fact, PolicySigned):
        named["version"] = str(fact.bundle.version)
    who = {"person": str(said.get("person", NOBODY)), "fingerprint": str(said.get("key", ""))}
    return _of(action, str(said["action"]), named, str(said["environment"]), str(what.get("tier", "")), who)


def tried_by_caller(settings: Settings, action: RefusedAction, act: str, named: Mapping[str, str], tier: str = "") -> ActRefused:
    """An act that may be refused before anything is signed, or that nobody signs; by whoever's key or certificate lies in the installation."""
    return _of(action, act, named, settings.environment, tier, caller(settings))


def caller(settings: Settings) -> dict[str, str]:
    """Person and fingerprint of whoever is at the command line; nobody where that can't be told."""
    try:
        found = caller_of(settings)
    except GatehouseError:
        return {"person": NOBODY, "fingerprint": ""}
    return {"person": found.person.person if found.person is not None else NOBODY, "fingerprint": found.fingerprint}


def _of(action: RefusedAction, act: str, named: Mapping[str, str], environment: str, tier: str, who: Mapping[str, str]) -> ActRefused:
    about = {name: value for name, value in named.items() if _NAME.fullmatch(value)}
    return ActRefused.model_validate({"action": action, "act": act, "about": about, "environment": environment, "tier": tier, "reasons": (), **who})


def _record(ledger: Ledger, act: ActRefused, run_id: str) -> None:
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    with ledger.transaction() as tx:
        # Not by the key: whoever is nobody can have as many as they like.
        if sum(event.fact.person == act.person for event in tx.recent(ActRefused, hour)) >= _MOST:
            act = act.model_copy(update={"about": {}, "tier": "", "fingerprint": "", "more": True})
            what: dict[str, Json] = {"person": act.person, "more": True}
            run_id = LEDGER
        else:
            said = act.model_dump(mode="json", include={"person", "action", "act", "about", "tier", "environment", "reasons"})
            what = {**cast(dict[str, Json], said), "run": run_id}
        name = f"act-refused:{digest(what)[:32]}:{hour:%Y-%m-%dT%H}"
        tx.append(name if run_id == LEDGER else f"{run_id}:{name}", run_id, act)
