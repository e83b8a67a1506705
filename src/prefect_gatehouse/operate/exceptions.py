"""Exceptions by hand: granted, revoked and reviewed by people who may approve, each act signed and in the ledger before it holds."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import TypeAdapter, ValidationError

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.person import identifier
from prefect_gatehouse.ledger.acts import ExceptionAct, ExceptionGranted, ExceptionReviewed, ExceptionRevoked
from prefect_gatehouse.ledger.events import GatePassed, PolicyDecided
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.manifest.fields import Name
from prefect_gatehouse.operate.acts import numbered, record_about, record_end, refuse_ended
from prefect_gatehouse.operate.budgets import end_of_day, line_of
from prefect_gatehouse.operate.signing import record
from prefect_gatehouse.policy.exceptions import LONGEST, Granted, granted, require_exceptable, used
from prefect_gatehouse.run.bundle import policy_that_counts
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.refused_acts import recorded_if_refused, tried_by_caller
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.value import Value

_SEE = "gatehouse exceptions list"


class Wanted(Value):
    """An exception as somebody wants it.

    Attributes:
        rule: Identifier of the policy's rule.
        tenant: Whose runs.
        pipeline: Which of them; all where None.
        owner: Who answers for it; another person than who grants it.
        ticket: Where it was decided.
        risk: What is left to go wrong.
        control: What is done instead of the rule.
        until: The last day on which it holds, in UTC, as YYYY-MM-DD.
        reason: Why.
    """

    rule: str
    tenant: str
    pipeline: str | None = None
    owner: str
    ticket: str
    risk: str
    control: str
    until: str
    reason: str


def grant(settings: Settings, ledger: Ledger, wanted: Wanted) -> Event[ExceptionGranted]:
    """Signs an exception with the caller's own key and records it; it holds for plans that are made from then on.

    Raises:
        InputError: A value is malformed, the owner is not known, or the caller has no usable signing key.
        Denied: The rule has no exceptions; the caller owns it, may not approve, or is in quarantine; or the policies are not those that were signed.
    """
    named = {"rule": wanted.rule, "tenant": wanted.tenant, "pipeline": wanted.pipeline or ""}
    with recorded_if_refused(ledger, tried_by_caller(settings, "grant_exception", "grant-exception", named)):
        require_exceptable(policy_that_counts(settings, ledger)(), wanted.rule)
    owner = People(settings.people_folder()).get(identifier(wanted.owner))
    if owner is None:
        raise InputError("the owner is not in the registry of people", where="--owner", advice="run: gatehouse people list")
    if owner.service is not None:
        raise InputError("the owner is a service, and a person answers for an exception", where="--owner", advice="name a person")
    statement = {
        "action": "grant-exception",
        "exception": str(uuid.uuid4()),
        "rule": wanted.rule,
        "tenant": _name(wanted.tenant, "--tenant"),
        "pipeline": _name(wanted.pipeline, "--pipeline") if wanted.pipeline is not None else "",
        "owner": owner.person,
        "ticket": line_of(wanted.ticket, "--ticket"),
        "residual_risk": line_of(wanted.risk, "--risk"),
        "compensating_control": line_of(wanted.control, "--control"),
        "expires": f"{_end_of(wanted.until):%Y-%m-%dT%H:%M:%SZ}",
        "reason": line_of(wanted.reason, "--reason"),
        "environment": settings.environment,
    }

    def refuse(fact: ExceptionGranted) -> None:
        if fact.person == fact.owner:
            advice = "have another approver grant it"
            raise Denied("an exception is granted by another person than its owner", where="--owner", advice=advice, rules=("own-exception",))

    return record(settings, ledger, ExceptionGranted, statement, statement["exception"], "an exception is granted", refuse)


def _name(text: str, where: str) -> str:
    adapter: TypeAdapter[str] = TypeAdapter(Name)
    try:
        return adapter.validate_python(text)
    except ValidationError:
        raise InputError("the value is none that a manifest could have", where=where, advice="as the manifests spell it") from None


def _end_of(day: str) -> datetime:
    """The first moment behind a day that an exception may hold until."""
    end, now = end_of_day(day), datetime.now(UTC)
    if not now < end <= now + LONGEST:
        advice = f"an exception holds {LONGEST.days} days at most; what has to hold for longer is a rule"
        raise InputError("the day is over, or too far away", where="--until", advice=advice)
    return end


@dataclass(frozen=True)
class Known:
    """An exception with its history.

    Attributes:
        granted: The exception, and why it does not count where it does not.
        runs: Runs that have used it.
        reviews: Who has looked at it since, and when.
    """

    granted: Granted
    runs: int
    reviews: tuple[Event[ExceptionReviewed], ...]


def known(settings: Settings, ledger: Ledger) -> list[Known]:
    """Every exception, newest first."""
    acts = ledger.facts(ExceptionAct)
    found = granted(acts, holding(settings, ledger), datetime.now(UTC))
    uses = _uses(ledger) if found else Counter()
    reviews: dict[str, list[Event[ExceptionReviewed]]] = {}
    for event in ledger.facts(ExceptionReviewed):
        reviews.setdefault(event.fact.exception, []).append(event)
    return [Known(each, uses[each.event.fact.exception], tuple(reviews.get(each.event.fact.exception, ()))) for each in reversed(found)]


def _uses(ledger: Ledger) -> Counter[str]:
    """How many runs have used each exception, by the decisions in the ledger; that of the admission is in the gate's value."""
    pairs = {(each, event.run_id) for event in ledger.facts(PolicyDecided) for reason in event.fact.reasons if (each := used(reason))}
    for event in ledger.facts(GatePassed):
        if event.fact.gate == "admit":
            reasons = event.fact.value["decision"]["reasons"]
            pairs |= {(each, event.run_id) for reason in reasons if (each := used(reason))}
    return Counter(each for each, _ in pairs)


def revoke(settings: Settings, ledger: Ledger, number: str, reason: str) -> Event[ExceptionRevoked]:
    """Signs that an exception is over, at once; any approver may.

    Raises:
        InputError: There is none of this number, it was revoked already, or the caller has no usable signing key.
        Denied: The caller may not approve, or is in quarantine.
    """
    given = numbered(ledger, ExceptionGranted, number, _SEE)
    return record_end(settings, ledger, given, ExceptionRevoked, "revoke-exception", reason, "an exception is revoked", _SEE)


def review(settings: Settings, ledger: Ledger, number: str, reason: str) -> Event[ExceptionReviewed]:
    """Signs that somebody has looked at an exception and that it stays; neither its owner nor who granted it.

    Raises:
        InputError: There is none of this number, it was revoked already, or the caller has no usable signing key.
        Denied: The caller may not approve, owns or granted it, or is in quarantine.
    """
    given = numbered(ledger, ExceptionGranted, number, _SEE)
    refuse_ended(ledger, given, ExceptionRevoked, _SEE)

    def refuse(fact: ExceptionReviewed) -> None:
        if fact.person in {given.fact.owner, given.fact.person}:
            advice = "have another approver look at it"
            by = "an exception is reviewed by another person than its owner and who granted it"
            raise Denied(by, where="exception", advice=advice, rules=("own-exception",))

    return record_about(settings, ledger, given, ExceptionReviewed, "review-exception", reason, "an exception is reviewed", refuse)
