"""Keeping what there is of a run longer, by a data owner's signed word, and a look at what is kept."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.evidence.questions import find_run
from prefect_gatehouse.ledger.acts import RetentionExtended
from prefect_gatehouse.ledger.kept_uri import kind_of
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.operate.budgets import end_of_day, line_of
from prefect_gatehouse.operate.signing import record
from prefect_gatehouse.policy.class_rules import load_class_rules
from prefect_gatehouse.policy.rules import ClassRules
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.extended import Extended, Extension, latest, said_of
from prefect_gatehouse.run.refused_acts import recorded_if_refused, tried_by_caller
from prefect_gatehouse.run.retained import Retained, deleted, in_words, retained
from prefect_gatehouse.run.values import AdmittedRun
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import KeptKind


@dataclass(frozen=True)
class Kept:
    """Something that is kept, as long as it is.

    Attributes:
        item: It, as it was entered.
        until: Its end, seconds since the epoch; None where it goes with a run that is under way.
        by: Who has it kept longer; None where it is as it was entered.
    """

    item: Retained
    until: float | None
    by: Extension | None


@dataclass(frozen=True)
class Extending:
    """An extension that was signed.

    Attributes:
        event: The act.
        left: What of the run it is not about, and why, a sentence each.
    """

    event: Event[RetentionExtended]
    left: tuple[str, ...]


def kept(settings: Settings, ledger: Ledger, run: str = "", now: float | None = None) -> list[Kept]:
    """What is kept of a run, or of every run, the nearest end first.

    Args:
        settings: The installation.
        ledger: The open ledger.
        run: The beginning of its identifier; every run where empty.
        now: Seconds since the epoch; the clock's unless given.

    Raises:
        InputError: There is no such run.
        Tampered: The ledger's values do not go on from one another.
    """
    now = time.time() if now is None else now
    extended, found = Extended(settings, ledger, now), []
    for item in retained(ledger, now, find_run(ledger, run) if run else None):
        until, by = extended.by(item.uri, item.until) if item.until is not None else (None, None)
        found.append(Kept(item, until, by))
    return sorted(found, key=lambda each: (each.until is None, each.until, each.item.uri))


def extend(settings: Settings, ledger: Ledger, run: str, until: str, reason: str, ticket: str, only: Collection[KeptKind] = ()) -> Extending:
    """Signs with the caller's own key that what is kept of a run stays longer; one event, and nothing else is touched.

    Args:
        settings: The installation; its identity is the caller's.
        ledger: The open ledger.
        run: The beginning of the run's identifier.
        until: The last day, in UTC, as YYYY-MM-DD.
        reason: Why.
        ticket: Where it was decided.
        only: Kinds; everything that is kept of the run unless given.

    Raises:
        InputError: A value is malformed, there is no such run, nothing of it is left, or all of it stays that long already.
        Denied: It is longer than the class of the data allows, the caller is no data owner, or in quarantine.
        Tampered: The registry or the ledger's values were changed.
    """
    run_id, now = find_run(ledger, run), datetime.now(UTC)
    end = end_of_day(until)
    admitted = Chain(ledger, run_id).read(AdmittedRun.gate, AdmittedRun)
    if admitted is None:
        raise InputError("the run was never admitted, and nothing is kept of it", where=run_id, advice="see what is: gatehouse retention list")
    found = [each for each in kept(settings, ledger, run_id, now.timestamp()) if not only or each.item.kind in only]
    here = [each for each in found if each.until is not None and each.until > now.timestamp()]
    left = _left(ledger, run_id, found, now.timestamp(), only)
    if not here:
        raise InputError(f"nothing is there that could be kept: {'; '.join(left) or 'nothing was'}", where=run_id, advice=_SEE)
    shorter = [each for each in here if each.until is not None and each.until < end.timestamp()]
    if not shorter:
        nearest = min(each.until for each in here if each.until is not None)
        advice = "an extension only lengthens; name a later day"
        raise InputError(f"it stays until {_day(nearest)} UTC already", where="--until", advice=advice)
    named = {"run": run_id, "pipeline": admitted.manifest.name, "tenant": admitted.manifest.tenant}
    tried = tried_by_caller(settings, "extend_retention", "extend-retention", named, admitted.manifest.tier)
    with recorded_if_refused(ledger, tried, run_id):
        _refuse_beyond(load_class_rules(settings.classes)[admitted.classes.output_class], shorter, now, end)
    if len(shorter) < len(here):
        left.append(f"already kept that long: {in_words(each.item.uri for each in here if each not in shorter)}")
    statement: dict[str, Json] = {
        "action": "extend-retention",
        "extension": str(uuid.uuid4()),
        **cast(dict[str, Json], said_of(admitted) | {"data_class": admitted.classes.output_class.value}),
        "kept": sorted(each.item.uri for each in shorter),
        "until": f"{end:%Y-%m-%dT%H:%M:%SZ}",
        "ticket": line_of(ticket, "--ticket"),
        "reason": line_of(reason, "--reason"),
        "environment": settings.environment,
    }
    event = record(settings, ledger, RetentionExtended, statement, str(statement["extension"]), "a retention is extended")
    return Extending(event, tuple(left))


_SEE = "see what is kept: gatehouse retention list"


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def _refuse_beyond(rules: ClassRules, found: Sequence[Kept], now: datetime, end: datetime) -> None:
    for kind in dict.fromkeys(each.item.kind for each in found):
        most = latest(rules, kind, now)
        if end > most:
            last = most - timedelta(days=1)
            others = sorted({each.item.kind for each in found if end <= latest(rules, each.item.kind, now)})
            advice = f"the last day is {last:%Y-%m-%d}" if last.date() >= now.date() else "the class allows no whole day more"
            if others:
                advice += f"; for the rest alone: {' '.join(f'--only {each}' for each in others)}"
            stays = f"{kind} of class {rules.data_class} stay until {most:%Y-%m-%d %H:%M} UTC at most, counted from now"
            raise Denied(stays, where="--until", advice=advice, rules=("beyond-the-class",))


def _left(ledger: Ledger, run_id: str, found: Sequence[Kept], now: float, only: Collection[KeptKind]) -> list[str]:
    """What of the run can't be kept, and why."""
    left, row = [], ledger.run(run_id)
    gone = [uri for uri in deleted(ledger, run_id) if not only or kind_of(uri) in only]
    if row is not None and row.ending is not None and any(kind_of(uri) == "artifacts" for uri in gone):
        left.append("its encrypted artifacts can't be kept: their key was destroyed when the run ended")
    if others := [uri for uri in gone if kind_of(uri) != "artifacts"]:
        left.append(f"deleted already: {in_words(others)}")
    if any(each.until is None for each in found):
        left.append("its encrypted artifacts go with the run, which is under way: they can be kept once it has failed or was suspended by hand")
    if over := [each.item.uri for each in found if each.until is not None and each.until <= now]:
        left.append(f"its time is over, and the sweeper deletes it: {in_words(over)}")
    return left
