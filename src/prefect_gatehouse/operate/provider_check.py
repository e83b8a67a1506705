"""Whether providers still are what somebody approved: looked at, shown item by item, recorded, and approved anew."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prefect_gatehouse.canonical import Json, digest
from prefect_gatehouse.data.scratch import scratch_home
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.ledger.acts import ProviderApproved
from prefect_gatehouse.ledger.jobs import Drift, ProviderDrifted
from prefect_gatehouse.ledger.store import LEDGER, Event, Ledger
from prefect_gatehouse.operate.budgets import line_of
from prefect_gatehouse.operate.conformance import leases_of
from prefect_gatehouse.operate.signing import record, refuse_nobody
from prefect_gatehouse.providers.conformance.subject import subject_of
from prefect_gatehouse.providers.description import compare, describe, may_change
from prefect_gatehouse.providers.registry import block_of
from prefect_gatehouse.run.drift import last_approval
from prefect_gatehouse.settings import Settings


@dataclass(frozen=True)
class Looked:
    """A backend, as its provider is now, beside what was approved.

    Attributes:
        name: As a manifest names it.
        found: What it is like now, by item.
        approved: The newest approval; None where nobody approved it.
        drift: What is another one.
    """

    name: str
    found: Mapping[str, Json]
    approved: Event[ProviderApproved] | None
    drift: tuple[Drift, ...]

    @property
    def good(self) -> bool:
        """Whether it was approved, and is what was approved."""
        return self.approved is not None and not self.drift


def look(settings: Settings, ledger: Ledger, names: Sequence[str], credential: str | None) -> list[Looked]:
    """Asks providers, and records what is not as it was approved; the same drift is recorded once.

    Args:
        settings: The installation.
        ledger: The open ledger.
        names: Backends; all that were ever approved where none is named.
        credential: Block with the credential that asks, as ``credentials.submit`` of a manifest names it.

    Raises:
        InputError: There is no such backend, it is no provider's, or none is named and none was approved.
        Unavailable: A block is missing, or a provider does not answer.
    """
    asked = tuple(dict.fromkeys(names)) or tuple(sorted({each.fact.backend for each in ledger.facts(ProviderApproved)}))
    if not asked:
        raise InputError("no provider was approved yet", where="NAME", advice="name backends as manifests do: gatehouse provider check braket/NAME")
    with scratch_home() as folder, leases_of(credential, settings) as leases:
        looked = []
        for name in asked:
            found = describe(subject_of(name, folder, _settings_of(name), leases, settings.prices).connect(), settings.prices, leases())
            approved = last_approval(settings, ledger, name)
            drift = compare(approved.fact.items, found) if approved is not None else ()
            looked.append(Looked(name, found, approved, drift))
    for each in looked:
        _record(ledger, each)
    return looked


def _settings_of(name: str) -> Mapping[str, Json]:
    from prefect_gatehouse.blocks.devices import read_settings

    block = block_of(name)
    if not may_change(name):
        raise InputError("a simulator on this machine is no provider's; a plan covers what is installed", where=name, advice="name other backends")
    return read_settings(block[0]) if block is not None else {}


def _record(ledger: Ledger, looked: Looked) -> None:
    if looked.approved is None or not looked.drift:
        return
    fact = ProviderDrifted(backend=looked.name, act=looked.approved.fact.act, items=looked.drift)
    with ledger.transaction() as tx:
        tx.append(f"provider-drifted:{looked.name}:{digest(fact.data())[:16]}", LEDGER, fact)


def approve(settings: Settings, ledger: Ledger, looked: Looked, reason: str) -> Event[ProviderApproved]:
    """Signs what a provider is like with the caller's own key and records it; from then on it is compared with that.

    Raises:
        InputError: The reason is no line of text, or the caller has no usable signing key.
        Denied: The caller's key belongs to nobody who may approve.
    """
    act = str(uuid.uuid4())
    statement: dict[str, Json] = {
        "action": "approve-provider",
        "backend": looked.name,
        "items": dict(looked.found),
        "reason": line_of(reason, "--reason"),
        "environment": settings.environment,
        "act": act,
    }
    return record(settings, ledger, ProviderApproved, statement, act, "a provider is approved", refuse_nobody)
