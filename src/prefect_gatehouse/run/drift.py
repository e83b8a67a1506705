"""Whether a backend's provider is what people approved of it, before circuits are planned for it and before they are sent."""

from __future__ import annotations

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.errors import Unavailable
from prefect_gatehouse.ledger.acts import ProviderApproved
from prefect_gatehouse.ledger.jobs import ProviderDrifted
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.providers.description import compare, describe, may_change
from prefect_gatehouse.providers.interface import Backend
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.holding import signing
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.settings import Settings


def last_approval(settings: Settings, history: Ledger, name: str) -> Event[ProviderApproved] | None:
    """The newest approval of a backend's provider that somebody of the registry signed for this environment; None where there is none.

    Raises:
        Tampered: The registry can't be read.
    """
    known = signing(settings, history)
    for event in reversed(history.facts(ProviderApproved)):
        # One of a newer release is none that can be judged.
        about = (event.fact.backend, event.fact.environment) if isinstance(event.fact, ProviderApproved) else None
        if about == (name, settings.environment) and known.counts(event):
            return event
    return None


def refuse_drift(attempt: Attempt, tier: TierRules, name: str, backend: Backend, lease: CredentialLease) -> None:
    """Stops where the tier says so, and records what is another one; the run can be resumed once somebody has looked and approved.

    Raises:
        Unavailable: Nobody approved the provider, or it is not what was approved; says what is another one.
        Tampered: The registry can't be read.
    """
    if tier.drift != "stop" or not may_change(name):
        return
    advice = f"look at: gatehouse provider check {name}; once it is approved, resume the run"
    approved = last_approval(attempt.settings, attempt.history, name)
    if approved is None:
        raise Unavailable(f"the tier {tier.name} wants its providers approved, and nobody approved this one", where=name, advice=advice)
    drifts = compare(approved.fact.items, describe(backend, attempt.settings.prices, lease))
    if drifts:
        fact = ProviderDrifted(backend=name, act=approved.fact.act, items=drifts)
        attempt.record(f"provider-drifted:{name}:{digest(fact.data())[:16]}", fact)
        what = ", ".join(each.item for each in drifts)
        raise Unavailable(f"the provider is not what was approved: {what}", where=name, advice=advice)
