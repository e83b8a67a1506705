"""The caps by the month: what a tenant, or one of its billing codes, may spend over all providers, and whether there is room for more.

A cap is the newest ``budget-set`` event of its scope that somebody of the registry signed. What was used is summed from the charges that the ledger
derives from the same events, and the question is asked in the transaction that writes the intents: appends are ordered, so no two runs get the same
room. Where no cap covers a job that costs something, only the prototype tier lets it pass.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.ledger.acts import BudgetSet
from prefect_gatehouse.ledger.charges import Account, month_of
from prefect_gatehouse.ledger.spending import Used, used
from prefect_gatehouse.ledger.store import Event
from prefect_gatehouse.policy.acts import Signatories
from prefect_gatehouse.usd import in_units, in_usd

Scope = tuple[str, str]
"""A tenant, and a billing code of it or an empty text for all of them."""


@dataclass(frozen=True)
class Standing:
    """One cap in one month.

    Attributes:
        event: Who set it, and why.
        month: Such as ``2026-11``, in UTC.
        used: What jobs have taken of it.
        counts: Whether it verifies, or one before it does; what does not is no budget, and holds back all the same.
    """

    event: Event[BudgetSet]
    month: str
    used: Used
    counts: bool = True

    @property
    def cap(self) -> Decimal:
        """USD for the month."""
        return self.event.fact.month_usd

    @property
    def reserved(self) -> Decimal:
        """USD, worst case, of jobs that are not billed."""
        return in_usd(self.used.reserved)

    @property
    def settled(self) -> Decimal:
        """USD as billed."""
        return in_usd(self.used.settled)

    @property
    def left(self) -> Decimal:
        """USD that can still be reserved; none where a bill was higher than what was reserved for it."""
        return in_usd(max(0, in_units(self.cap) - self.used.in_all))

    @property
    def name(self) -> str:
        """Whose it is, in words."""
        return scope_name(self.event.fact.tenant, self.event.fact.billing_code)


def scope_name(tenant: str, billing_code: str) -> str:
    """A cap's scope in words."""
    return f"billing code {billing_code} of tenant {tenant}" if billing_code else f"tenant {tenant}"


class Caps:
    """The cap of each scope.

    An event that does not verify raises nothing, whoever could write it into the database. What it lowers is lowered all the same: a cap may come not
    to verify any more, and were it passed over then, an older and higher one, or none at all, would take its place.

    Args:
        sets: Every budget event, in order.
        known: Who may have signed them.
    """

    def __init__(self, sets: Iterable[Event[BudgetSet]], known: Signatories) -> None:
        self._known = known
        self._sets: dict[Scope, list[Event[BudgetSet]]] = {}
        for event in sets:
            if not isinstance(event.fact, BudgetSet):
                raise Denied(
                    "a budget is of a newer release, which this one can't judge", where=f"event {event.seq}", advice="upgrade this installation"
                )
            self._sets.setdefault((event.fact.tenant, event.fact.billing_code), []).append(event)

    @property
    def scopes(self) -> list[Scope]:
        """Those of which anything was ever said."""
        return sorted(self._sets)

    def of(self, scope: Scope) -> tuple[Event[BudgetSet], bool] | None:
        """The event that says the most that a scope may spend, and whether it, or one before it, verifies; None where none says anything.

        Raises:
            Tampered: The registry can't be read.
        """
        later: list[Event[BudgetSet]] = []
        for event in reversed(self._sets.get(scope, [])):
            later.append(event)
            if self._known.counts(event):
                return _lowest(later), True
        return (_lowest(later), False) if later else None


def _lowest(events: Sequence[Event[BudgetSet]]) -> Event[BudgetSet]:
    return min(reversed(events), key=lambda each: each.fact.month_usd)


def standings(connection: Connection, caps: Caps, month: str, account: Account | None = None) -> list[Standing]:
    """How each cap stands in a month: all of them, or those that a run of an account counts into.

    Raises:
        Tampered: The registry can't be read.
    """
    scopes = caps.scopes if account is None else list(dict.fromkeys([(account.tenant, ""), (account.tenant, account.billing_code)]))
    found = ((scope, caps.of(scope)) for scope in scopes)
    return [Standing(cap[0], month, used(connection, month, *scope), cap[1]) for scope, cap in found if cap is not None]


def require_room(connection: Connection, caps: Caps, account: Account, at: float, price: Decimal) -> None:
    """Stops jobs that a cap has no room for; what costs nothing always passes.

    Args:
        connection: Of the transaction that reserves, or of a look ahead.
        caps: Of tenants and billing codes.
        account: Who pays.
        at: When the jobs are intended, seconds since the epoch.
        price: Worst case of all of them, USD.

    Raises:
        Denied: Names the cap, what is left of it, and what to do.
        Tampered: The registry can't be read.
    """
    if price <= 0:
        return
    if not account.billing_code and account.tier != "prototype":
        raise Denied("an earlier release admitted the run, and did not note who pays", where="budget", advice="start a new run")
    month = month_of(at)
    found = standings(connection, caps, month, account)
    if not any(each.counts for each in found) and account.tier != "prototype":
        raise Denied(
            f"no budget covers these jobs of at most {price} USD, and the {account.tier} tier spends nothing without one",
            where=f"budget of tenant {account.tenant}",
            advice=f"have one set: {_command(account.tenant)}",
        )
    for standing in sorted(found, key=lambda each: each.left):
        if price > standing.left:
            fact = standing.event.fact
            raise Denied(
                f"the jobs may cost {price} USD, and {standing.left} USD are left of {standing.cap} USD for {month}",
                where=f"budget of {standing.name}",
                advice=f"see what used it with: gatehouse budget; wait for jobs to settle or for the next month, or have it raised: "
                f"{_command(fact.tenant, fact.billing_code)}",
            )


def _command(tenant: str, billing_code: str = "") -> str:
    code = f" --billing-code {shlex.quote(billing_code)}" if billing_code else ""
    return f"gatehouse budget set --tenant {tenant}{code} --month-usd N --reason WHY"
