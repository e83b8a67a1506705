"""What a round may cost on a backend, by the provider's own figure and by the price table: the plan shows and the journal reserves the same.

The higher of the two is the worst case. A provider whose device bills and of which neither knows a price is refused above the prototype tier.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.ledger.acts import BudgetSet
from prefect_gatehouse.ledger.charges import Account
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.money.caps import Caps, require_room
from prefect_gatehouse.money.prices import Estimate, Prices, whole_round
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.providers.interface import Backend, BackendFacts, LimitsSpending
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.holding import signing
from prefect_gatehouse.run.planned import ProviderLimit
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.usd import is_amount, up
from prefect_gatehouse.vocabulary import TierName


@dataclass(frozen=True)
class Pricing:
    """How jobs on one backend are priced.

    Attributes:
        backend: The backend's name in the manifest.
        provider: The backend.
        facts: What it is.
        tier: The run's tier.
        table: The file of prices; read where the backend names a device of it.
    """

    backend: str
    provider: Backend
    facts: BackendFacts
    tier: TierName
    table: Path

    def job(self, circuits: int, shots: int, lease: CredentialLease) -> Estimate:
        """One job's worst case.

        Raises:
            Denied: The provider's figure is no amount of money, or nothing says what a device that bills costs.
            InputError: The price table is malformed.
        """
        own = self.provider.price(circuits, shots, lease)
        if not is_amount(own):
            raise Denied("the provider's price is no amount of money", where=self.backend, advice="mend the provider's price")
        figure = Estimate(up(own), "the provider's own figure" if own else "")
        listed = Prices(self.table).get(self.facts.priced_as) if self.facts.priced_as else None
        if listed is not None:
            by_table = listed.estimate(1, circuits * shots, self.facts.job_minutes)
            return by_table if by_table.upper >= figure.upper else figure
        if not own and not self.facts.simulator and self.tier != "prototype":
            raise Denied(
                "nothing says what this backend costs",
                where=self.backend,
                advice=f"add {self.facts.priced_as or 'its device'} to the price table (GATEHOUSE_PRICES), with source and date",
            )
        return figure

    def round(self, circuits: int, shots: int, lease: CredentialLease) -> Estimate:
        """A round's worst case: its jobs one by one, as they will be reserved."""
        full, rest = divmod(circuits, self.facts.circuits_per_job)
        jobs = [self.job(self.facts.circuits_per_job, shots, lease)] * full if full else []
        return whole_round([*jobs, self.job(rest, shots, lease)] if rest else jobs)

    def apart(self, circuits: int, shots: int, lease: CredentialLease) -> Estimate:
        """What the same round would cost with a job for each circuit."""
        return replace(self, facts=replace(self.facts, circuits_per_job=1)).round(circuits, shots, lease)

    def basis(self, estimate: Estimate, today: date | None = None) -> str:
        """How an estimate was reckoned, with what people should know before they approve."""
        warning = estimate.warning(self.tier, today or datetime.now(UTC).date())
        return f"{estimate.basis}; {warning}: look it up" if warning else estimate.basis


def provider_limits(pricing: Pricing, tier: TierRules, price: Decimal, lease: CredentialLease) -> tuple[ProviderLimit, ...]:
    """The provider's own caps that hold a device now: the second wall.

    Args:
        pricing: Of the device.
        tier: The run's; it may want one to be there.
        price: Worst case of what is to be sent first, USD.
        lease: Of a credential that may ask.

    Raises:
        Denied: One has no room for it, or there is none and the tier wants one.
        Unavailable: The provider does not answer.
    """
    if not pricing.facts.priced_as or price <= 0:
        return ()
    provider, now = pricing.provider, datetime.now(UTC)
    if not isinstance(provider, LimitsSpending):
        if tier.provider_limit == "required":
            raise Denied(
                f"the provider has no spending limits of its own, and the tier {tier.name} wants one behind the budgets",
                where=pricing.backend,
                advice="use another backend, or have whoever keeps the tiers say provider_limit: optional",
            )
        return ()
    found = [each for each in provider.spending_limits(lease) if each.holds(now)]
    if not found and tier.provider_limit == "required":
        raise Denied(
            f"the provider has no spending limit for this device, and the tier {tier.name} wants one behind the budgets",
            where=pricing.backend,
            advice=f"have one set: gatehouse budget wall {pricing.backend} --credential BLOCK --month-usd N --reason WHY",
        )
    for each in found:
        if price > each.left:
            raise Denied(
                f"the first round may cost {price} USD, and the provider's own limit has {each.left} of {each.amount} USD left"
                f" until {each.end:%Y-%m-%d}",
                where=pricing.backend,
                advice=f"look at: gatehouse budget wall {pricing.backend} --credential BLOCK; or drop this backend",
            )
    return tuple(ProviderLimit(amount=each.amount, left=each.left, until=each.end) for each in found)


def require_budget(attempt: Attempt, manifest: Manifest, price: Decimal) -> None:
    """Looks before anybody is asked whether the budgets have room for a first round; what counts is asked again with each intent.

    Raises:
        Denied: They have not.
        Tampered: The registry can't be read.
    """
    if price <= 0:
        return
    account = Account(manifest.tenant, manifest.billing_code, manifest.tier)
    caps = Caps(attempt.history.facts(BudgetSet), signing(attempt.settings, attempt.history))
    with attempt.history.reading() as connection:
        require_room(connection, caps, account, time.time(), price)
