"""Tenants that pay: a run's admission and a budget, as the gates and `gatehouse budget set` write them."""

from __future__ import annotations

from typing import Literal

from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.acts import BudgetSet
from prefect_gatehouse.ledger.events import RunAdmitted
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.operate.budgets import set_budget as set_signed
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.settings import Settings

TENANT = "clinic"
CODE = "COST-7"


def admit(
    attempt: Attempt, *, tier: Literal["prototype", "integration", "business"] = "business", tenant: str = TENANT, billing_code: str = CODE
) -> None:
    """The event that gate 1 writes."""
    admitted = RunAdmitted(
        pipeline="p", tenant=tenant, environment="local", tier=tier, ticket="CHG-1", requester="unverified", billing_code=billing_code
    )
    attempt.record("admitted", admitted)


def treasurer(settings: Settings, person: str = "tess", role: Literal["requester", "approver", "auditor"] = "approver") -> None:
    """Makes the caller's own key, and registers it."""
    settings.identity_key().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = generate_key(settings.identity_key(), person)
    People(settings.people_folder()).add(person, key=key, roles=frozenset({role}))


def set_budget(settings: Settings, ledger: Ledger, month_usd: str, *, tenant: str = TENANT, billing_code: str = "") -> Event[BudgetSet]:
    """What `gatehouse budget set` does, by somebody who may."""
    if not settings.identity_key().exists():
        treasurer(settings)
    return set_signed(settings, ledger, tenant=tenant, billing_code=billing_code, month_usd=month_usd, reason="A test")
