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
from prefect_gatehouse.ledger.charges import Account
from prefect_gatehouse.ledger.events import BudgetSet
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.money.caps import require_room
from prefect_gatehouse.money.prices import Estimate, Prices, whole_round
from prefect_gatehouse.providers.interface import Backend, BackendFacts
from prefect_gatehouse.run.attempt import Attempt
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
            by_table = listed.estimate(1, circuits * shots)
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


def require_budget(attempt: Attempt, manifest: Manifest, price: Decimal) -> None:
    """Looks before anybody is asked whether the budgets have room for a first round; what counts is asked again with each intent.

    Raises:
        Denied: They have not.
    """
    account = Account(manifest.tenant, manifest.billing_code, manifest.tier)
    sets = attempt.history.facts(BudgetSet)
    with attempt.history.reading() as connection:
        require_room(connection, sets, account, time.time(), price)
