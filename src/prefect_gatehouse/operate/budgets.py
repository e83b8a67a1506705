"""Budgets: set by somebody who may approve, signed and in the ledger before they hold; shown, and explained for a run."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.ledger.acts import BudgetSet
from prefect_gatehouse.ledger.charges import Account, month_of
from prefect_gatehouse.ledger.store import Event, Ledger, Transaction
from prefect_gatehouse.ledger.tables import charges, runs, submissions
from prefect_gatehouse.manifest.fields import Line, Name
from prefect_gatehouse.money.caps import Caps, Standing, scope_name, standings
from prefect_gatehouse.operate.signing import record, refuse_nobody
from prefect_gatehouse.run.holding import signing
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.usd import in_usd, is_amount, up


def set_budget(settings: Settings, ledger: Ledger, *, tenant: str, billing_code: str = "", month_usd: str, reason: str) -> Event[BudgetSet]:
    """Signs a cap with the caller's own key and records it; from then on every intent is held to it.

    Args:
        settings: The installation.
        ledger: The open ledger.
        tenant: Whose.
        billing_code: Of which billing code of the tenant; of the whole tenant where empty.
        month_usd: USD for every month, until the next cap is set; 0 lets nothing through that costs anything.
        reason: Why.

    Raises:
        InputError: A value is malformed, or the caller has no usable signing key.
        Denied: The caller's key belongs to nobody who may approve.
    """
    statement = {
        "action": "set-budget",
        "tenant": _checked(TypeAdapter(Name), tenant, "--tenant", "as the manifests spell it: lower case, digits, hyphens"),
        "billing_code": _checked(TypeAdapter(Line), billing_code, "--billing-code", "as the manifests spell it, one line") if billing_code else "",
        "month_usd": str(amount_of(month_usd)),
        "reason": line_of(reason, "--reason"),
        "environment": settings.environment,
        "budget": str(uuid.uuid4()),
    }
    return record(settings, ledger, BudgetSet, statement, statement["budget"], "a budget is set", refuse_nobody)


def end_of_day(day: str) -> datetime:
    """The first moment behind a day of ``--until``, in UTC.

    Raises:
        InputError: It is none.
    """
    try:
        return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise InputError("this is no day", where="--until", advice="write the last day, such as 2026-12-31") from None


def line_of(text: str, where: str) -> str:
    """A reason as somebody gave it.

    Raises:
        InputError: It is no line of text, or nothing but blanks.
    """
    if not text.strip():
        raise InputError("nothing is written there", where=where, advice="say it in one line")
    return _checked(TypeAdapter(Line), text, where, "say why in one line")


def _checked(adapter: TypeAdapter[str], value: str, where: str, advice: str) -> str:
    try:
        return adapter.validate_python(value)
    except ValidationError:
        raise InputError("the value is none that a manifest could have", where=where, advice=advice) from None


def amount_of(text: str, where: str = "--month-usd") -> Decimal:
    """An amount of money as somebody gave it, by the option ``where``.

    Raises:
        InputError: It is none.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not is_amount(value) or value != up(value):
        raise InputError("this is no amount of money", where=where, advice="give dollars with at most four decimals, such as 250")
    return up(value)


@dataclass(frozen=True)
class Uncapped:
    """What was used of a month without a cap of its own.

    Attributes:
        tenant: The tenant.
        billing_code: Its billing code.
        used: USD, reserved and settled.
    """

    tenant: str
    billing_code: str
    used: Decimal

    @property
    def name(self) -> str:
        """Whose it is, in words."""
        return scope_name(self.tenant, self.billing_code)


def this_month() -> str:
    """The month that intents count into now, in UTC."""
    return month_of(datetime.now(UTC).timestamp())


def overview(settings: Settings, ledger: Ledger, month: str) -> tuple[list[Standing], list[Uncapped]]:
    """How every cap stands in a month, and what was used where neither tenant nor billing code has one."""
    caps = Caps(ledger.facts(BudgetSet), signing(settings, ledger))
    with ledger.reading() as connection:
        found = [each for each in standings(connection, caps, month) if each.counts]
        capped = {(each.event.fact.tenant, each.event.fact.billing_code) for each in found}
        sums: dict[tuple[str, str], int] = {}
        for row in connection.execute(select(charges).where(charges.c.month == month)):
            if not {(row.tenant, ""), (row.tenant, row.billing_code)} & capped:
                amount = row.reserved if row.settled is None else row.settled
                sums[row.tenant, row.billing_code] = sums.get((row.tenant, row.billing_code), 0) + amount
    return found, [Uncapped(*scope, in_usd(amount)) for scope, amount in sorted(sums.items())]


@dataclass(frozen=True)
class Counted:
    """A job that counts into a cap.

    Attributes:
        run_id: Its run.
        key: Its key in the journal, whose last number tells a fallback.
        pipeline: The run's.
        billing_code: Who pays.
        backend: Where it ran.
        state: Of the journal's row.
        reserved: USD, worst case.
        settled: USD as billed; None while nobody knows.
    """

    run_id: str
    key: str
    pipeline: str
    billing_code: str
    backend: str
    state: str
    reserved: Decimal
    settled: Decimal | None

    @property
    def counts(self) -> Decimal:
        """USD that it takes of the cap."""
        return self.reserved if self.settled is None else self.settled


@dataclass(frozen=True)
class Explained:
    """What a run counts into.

    Attributes:
        account: Who pays for it.
        months: Months that its jobs were intended in; this one where it has none yet.
        caps: The caps that hold it, by month.
        jobs: Every job of any run that counts into one of them, in order of their keys.
    """

    account: Account
    months: tuple[str, ...]
    caps: tuple[Standing, ...]
    jobs: Mapping[str, tuple[Counted, ...]]


def explain(settings: Settings, ledger: Ledger, run_id: str) -> Explained:
    """Which caps a run counts into, and which runs and jobs use them.

    Raises:
        InputError: The run was not admitted yet, or by an earlier release.
    """
    with ledger.reading() as connection:
        tx = Transaction(connection)  # one view of account, caps and charges; nothing is written
        account = tx.account(run_id)
        if account is None or not account.billing_code:
            raise InputError("nobody pays for this run yet", where=run_id, advice="it has to be admitted first; look at: gatehouse show RUN")
        mine = tx.connection.execute(select(charges.c.month).where(charges.c.run_id == run_id).distinct().order_by(charges.c.month))
        months = tuple(row.month for row in mine) or (this_month(),)
        known = Caps(tx.facts(BudgetSet), signing(settings, tx))
        caps = tuple(standing for month in months for standing in standings(tx.connection, known, month, account))
        columns = (charges, submissions.c.backend, submissions.c.state, runs.c.pipeline)
        query = (
            select(*columns)
            .join(submissions, submissions.c.key == charges.c.key)
            .join(runs, runs.c.run_id == charges.c.run_id)
            .where(charges.c.tenant == account.tenant)
            .order_by(charges.c.run_id, submissions.c.round, submissions.c.job, submissions.c.fallback)
        )
        jobs = {month: tuple(_counted(row) for row in tx.connection.execute(query.where(charges.c.month == month))) for month in months}
    return Explained(account, months, caps, jobs)


def _counted(row: Any) -> Counted:
    settled = None if row.settled is None else in_usd(row.settled)
    return Counted(row.run_id, row.key, row.pipeline, row.billing_code, row.backend, row.state, in_usd(row.reserved), settled)
