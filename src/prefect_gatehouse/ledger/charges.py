"""Who pays for which job in which month: one small row a job, derived from the run's admission and the journal's events.

Beside the journal, whose rows hold payloads and results: what a month has used is summed at every submission, and must not read those. Amounts
are whole ten-thousandths of a dollar, so that the sums are exact on both databases. A job counts into the month, in UTC, of its intent: what was
reserved and what was billed then stand in one place, whenever the provider settles.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prefect_gatehouse.ledger.events import RunAdmitted
from prefect_gatehouse.ledger.jobs import SubmissionIntended
from prefect_gatehouse.usd import in_units


@dataclass(frozen=True)
class Account:
    """Who pays for a run.

    Attributes:
        tenant: The tenant.
        billing_code: The tenant's billing code; empty where an earlier release admitted the run, which did not note it. Such a run's jobs are
            charged to nobody, and it may cost nothing above the prototype tier.
        tier: The run's tier.
    """

    tenant: str
    billing_code: str
    tier: str


def account_of(admitted: RunAdmitted) -> Account:
    """Who pays for an admitted run."""
    return Account(admitted.tenant, admitted.billing_code, admitted.tier)


def month_of(at: float) -> str:
    """The month of a time, such as ``2026-11``, in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m}"


def charge(run_id: str, account: Account, fact: SubmissionIntended) -> dict[str, Any]:
    """The row of a job that was intended."""
    return {
        "run_id": run_id,
        "tenant": account.tenant,
        "billing_code": account.billing_code,
        "month": month_of(fact.intended),
        "reserved": in_units(fact.reserved_usd),
        "settled": None,
    }
