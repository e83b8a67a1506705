"""Whether a backend's provider is what people approved of it, before circuits are planned for it and before they are sent."""

from __future__ import annotations

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.errors import Unavailable
from prefect_gatehouse.ledger.acts import ProviderApproved
from prefect_gatehouse.ledger.jobs import ProviderDrifted
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.providers.description import compare, describe, may_change
from prefect_gatehouse.providers.interface import Backend
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.secrets.lease import CredentialLease


def refuse_drift(attempt: Attempt, tier: TierRules, name: str, backend: Backend, lease: CredentialLease) -> None:
    """Stops where the tier says so, and records what is another one; the run can be resumed once somebody has looked and approved.

    Raises:
        Unavailable: Nobody approved the provider, or it is not what was approved; says what is another one.
    """
    if tier.drift != "stop" or not may_change(name):
        return
    advice = f"look at: gatehouse provider check {name}; once it is approved, resume the run"
    newest = next((each.fact for each in reversed(attempt.history.facts(ProviderApproved)) if each.fact.backend == name), None)
    if newest is None:
        raise Unavailable(f"the tier {tier.name} wants its providers approved, and nobody approved this one", where=name, advice=advice)
    drifts = compare(newest.items, describe(backend, attempt.settings.prices, lease))
    if drifts:
        fact = ProviderDrifted(backend=name, act=newest.act, items=drifts)
        attempt.record(f"provider-drifted:{name}:{digest(fact.data())[:16]}", fact)
        what = ", ".join(each.item for each in drifts)
        raise Unavailable(f"the provider is not what was approved: {what}", where=name, advice=advice)
