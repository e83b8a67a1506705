"""Quarantine by hand: signed and in the ledger first, which stops everything at once; then what is under way is put an end to, as far as it goes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.responses import DeploymentResponse
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select

from prefect_gatehouse.errors import Denied, GatehouseError, InputError
from prefect_gatehouse.identity.person import identifier
from prefect_gatehouse.ledger.acts import QuarantineImposed, QuarantineReleased
from prefect_gatehouse.ledger.answers import Consent
from prefect_gatehouse.ledger.projection import OPEN, RunRow
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.ledger.tables import submissions
from prefect_gatehouse.manifest.fields import BackendName, Name
from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.operate.budgets import line_of
from prefect_gatehouse.operate.known_names import SCOPES, known_names, nearest
from prefect_gatehouse.operate.runs import end_by_hand, server
from prefect_gatehouse.operate.signing import record
from prefect_gatehouse.policy.quarantine import Quarantine
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import QuarantineScope

_PAGE = 200  # deployments that Prefect gives at once
_UNDER_WAY = ("running", "queued", "scheduled")
"""Runs that hold a credential, or may take one up by themselves."""


def impose(settings: Settings, ledger: Ledger, what: str, reason: str) -> Event[QuarantineImposed]:
    """Signs a quarantine with the caller's own key and records it; from then on nothing of it is admitted, approved, submitted or written back.

    Args:
        settings: The installation.
        ledger: The open ledger.
        what: A name, or ``scope:name``.
        reason: Why.

    Raises:
        InputError: Nobody knows the name, several things have it, or the caller has no usable signing key.
        Denied: The caller's key belongs to nobody who may approve, or to somebody in quarantine.
    """
    scope, name = _meant(settings, ledger, what)
    statement = {
        "action": "quarantine",
        "scope": scope,
        "name": name,
        "reason": line_of(reason, "--reason"),
        "environment": settings.environment,
        "quarantine": str(uuid.uuid4()),
    }
    return record(settings, ledger, QuarantineImposed, statement, statement["quarantine"], "a quarantine is imposed")


def release(settings: Settings, ledger: Ledger, what: str, reason: str) -> list[Event[QuarantineReleased]]:
    """Signs that quarantines are over; each must have been imposed by somebody else.

    Args:
        settings: The installation.
        ledger: The open ledger.
        what: A name, ``scope:name``, or the number of the event that imposed it.
        reason: Why.

    Raises:
        InputError: There is none of it, or the caller has no usable signing key.
        Denied: The caller imposed one of them, may not approve, or is in quarantine.
    """
    found = [each for each in holding(settings, ledger).all() if what in {str(each.event.seq), each.event.fact.name, _spelt(each)}]
    if not found:
        raise InputError("this is not in quarantine", where="quarantine", advice="see what is: gatehouse quarantine list")
    reason = line_of(reason, "--reason")

    def refuse(fact: QuarantineReleased) -> None:
        for each in found:
            if each.event.fact.key == fact.key or each.event.fact.person == fact.person:
                advice = f"somebody else who may approve releases it: gatehouse quarantine release {each.event.seq}"
                by_you = f"{each.name} was put into quarantine by you [{each.event.seq}]"
                raise Denied(by_you, where="quarantine", advice=advice, rules=("own-quarantine",))

    return [_released(settings, ledger, each, reason, refuse) for each in found]


def _released(
    settings: Settings, ledger: Ledger, held: Quarantine, reason: str, refuse: Callable[[QuarantineReleased], None]
) -> Event[QuarantineReleased]:
    statement = {
        "action": "release-quarantine",
        "quarantine": held.event.fact.quarantine,
        "reason": reason,
        "environment": held.event.fact.environment,
        "act": str(uuid.uuid4()),
    }
    return record(settings, ledger, QuarantineReleased, statement, statement["act"], "a quarantine is released", refuse, about=held.event.fact)


def _spelt(held: Quarantine) -> str:
    return f"{held.event.fact.scope}:{held.event.fact.name}"


def _meant(settings: Settings, ledger: Ledger, what: str) -> tuple[QuarantineScope, str]:
    """Scope and name. A name alone must be one that is known, so that a slip of the finger stops nothing and says that nothing is stopped."""
    scope, colon, name = what.partition(":")
    if colon:
        if scope not in SCOPES:
            raise InputError("this is nothing that can be put into quarantine", where=scope, advice=f"write one of {', '.join(SCOPES)}, then :NAME")
        return scope, _checked(scope, name)
    names = known_names(settings, ledger)
    found = [each for each in SCOPES if what.casefold() in {name.casefold() for name in names.get(each, ())}]
    if len(found) == 1:
        return found[0], _checked(found[0], what)
    which = f"is a {' and a '.join(found)}" if found else "is nobody's and nothing's that this installation knows"
    near = "" if found else ", ".join(nearest(names, what))
    advice = f"say what is meant, as in {(found or SCOPES)[0]}:{what}" + (f"; like it are {near}" if near else "")
    raise InputError(f"{what} {which}", where="quarantine", advice=advice)


def _checked(scope: QuarantineScope, name: str) -> str:
    if scope == "principal":
        return identifier(name)
    adapter: TypeAdapter[str] = TypeAdapter(BackendName if scope == "backend" else Name)
    try:
        return adapter.validate_python(name)
    except ValidationError:
        raise InputError(f"no {scope} can have this name", where="quarantine", advice="as the manifests spell it") from None


@dataclass
class Done:
    """What became of what was under way.

    Attributes:
        ended: Runs that were ended, each with what is left of it: ``reconcile`` goes on with that.
        held: Open runs that wait or failed; they stay, and can't go on while the quarantine holds.
        paused: Deployments of Prefect that were paused.
        not_done: What could not be done, and why.
    """

    ended: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    paused: list[str] = field(default_factory=list)
    not_done: list[str] = field(default_factory=list)


def carry_out(settings: Settings, ledger: Ledger, event: Event[QuarantineImposed]) -> Done:
    """Ends the runs that are under way, which cancels their jobs and revokes their leases, and pauses deployments.

    What fails is told and keeps nothing else from being done.
    """
    done, fact = Done(), event.fact
    with_jobs = _with_jobs(ledger, fact)
    for row in _open_runs(ledger, fact, with_jobs):
        if row.run_id not in with_jobs and row.status not in _UNDER_WAY:
            done.held.append(row.run_id)
            continue
        try:
            receipt = end_by_hand(settings, ledger, row.run_id, "cancelled", f"{fact.scope} {fact.name} is in quarantine [{event.seq}]")
            done.ended.append((row.run_id, receipt.obligations))
        except Exception as error:  # noqa: BLE001 - whatever Prefect's client or a provider lets through: told, and the next one is ended
            done.not_done.append(f"run {row.run_id} was not ended, or Prefect was not told: {_told(error)}")
    try:
        with server() as client:
            _pause(client, fact, done)
    except Exception as error:  # noqa: BLE001 - the same
        done.not_done.append(f"{'not every' if done.paused else 'no'} deployment was paused: {_told(error)}")
    return done


def _told(error: Exception) -> str:
    """Ours in its own words; of a foreign one the type, its text may quote anything."""
    return str(error) if isinstance(error, GatehouseError) else type(error).__name__


def _open_runs(ledger: Ledger, fact: QuarantineImposed, with_jobs: set[str]) -> list[RunRow]:
    """Open runs of what is in quarantine; of a backend those with jobs there."""
    rows = [row for row in ledger.runs() if row.ending is None]
    if fact.scope == "backend":
        return [row for row in rows if row.run_id in with_jobs]
    if fact.scope == "principal":  # whoever asked, and whoever approved or released
        approved = {event.run_id for event in ledger.facts(Consent) if event.fact.person == fact.name}
        return [row for row in rows if row.requester == fact.name or row.run_id in approved]
    return [row for row in rows if {"tenant": row.tenant, "pipeline": row.pipeline}[fact.scope] == fact.name]


def _with_jobs(ledger: Ledger, fact: QuarantineImposed) -> set[str]:
    """Runs with jobs that are not done with; of a backend, with such jobs there."""
    query = select(submissions.c.run_id).where(submissions.c.state.in_(OPEN)).distinct()
    if fact.scope == "backend":
        query = query.where((submissions.c.backend == fact.name) | submissions.c.backend.startswith(f"{fact.name}/", autoescape=True))
    with ledger.reading() as connection:
        return set(connection.scalars(query))


def _pause(client: SyncPrefectClient, fact: QuarantineImposed, done: Done) -> None:
    """Pauses the deployments whose manifest is of what is in quarantine.

    A deployment without a manifest of its own serves everybody: what is started there is refused at admission.
    """
    for each in _deployments(client):
        path = (each.parameters or {}).get("manifest")
        if not isinstance(path, str):
            continue
        try:
            manifest = load_manifest(Path(path)).manifest
        except GatehouseError as error:
            done.not_done.append(f"deployment {each.name} was not looked into: {error}")
            continue
        if not _names(manifest, fact):
            continue
        try:
            client.pause_deployment(each.id)
        except Exception:  # noqa: BLE001 - whatever the client lets through: told, and the next one is tried
            done.not_done.append(f"deployment {each.name} was not paused: the server did not take it")
        else:
            done.paused.append(each.name)


def _deployments(client: SyncPrefectClient) -> Iterator[DeploymentResponse]:
    only = FlowFilter(name=FlowFilterName(any_=["governed-pipeline"]))
    offset = 0
    while page := client.read_deployments(flow_filter=only, limit=_PAGE, offset=offset):
        yield from page
        offset += len(page)


def _names(manifest: Manifest, fact: QuarantineImposed) -> bool:
    if fact.scope == "backend":
        return all(name == fact.name or name.startswith(f"{fact.name}/") for name in manifest.execution.backends)
    return fact.scope != "principal" and fact.name == (manifest.tenant if fact.scope == "tenant" else manifest.name)
