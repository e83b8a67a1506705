"""What a round costs, from the plan to the journal: the same figure in both, the higher of table and provider, and no job without room for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.money.tills import set_budget
from tests.support.gates import Desk, Fetching

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.evidence.signed import problems
from prefect_gatehouse.ledger.note import VerifierKey
from prefect_gatehouse.ledger.verify import verify
from prefect_gatehouse.operate.budgets import explain, overview, this_month
from prefect_gatehouse.providers.interface import BackendFacts
from prefect_gatehouse.providers.simulator.aer import AerBackend
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.run.pricing import Pricing
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.tasks.collect import collect
from prefect_gatehouse.tasks.submit import submit
from prefect_gatehouse.usd import up
from prefect_gatehouse.vocabulary import TierName

DEVICE = "vendor/device"


def table(folder: Path, price: str = 'per_task: "0.30", per_shot: "0.00145"', dated: str | None = None) -> Path:
    path = folder / "prices.yaml"
    path.write_text(f'{DEVICE}: {{{price}, source: "the vendor", dated: "{dated or datetime.now(UTC).date()}"}}\n')
    return path


@pytest.fixture
def bills(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the simulator one that bills: so much a circuit, so many circuits a job."""

    def make(each: str, circuits_per_job: int = 100) -> None:
        monkeypatch.setattr(AerBackend, "price", lambda self, circuits, shots, lease: Decimal(each) * circuits)
        facts = AerBackend.facts
        monkeypatch.setattr(AerBackend, "facts", lambda self, lease: replace(facts(self, lease), circuits_per_job=circuits_per_job))

    return make


@pytest.mark.parametrize(("each", "circuits_per_job", "reserved"), [("0.00005", 3, "0.0002"), ("0.00005", 1, "0.0003"), ("0.25", 2, "0.75")])
def test_the_plan_shows_what_the_journal_reserves(desk: Desk, bills: Any, each: str, circuits_per_job: int, reserved: str) -> None:
    """To the last unit, rounded up job by job; the plan used to round half to even, over the whole round, and showed less."""
    bills(each, circuits_per_job)
    approved = desk.approved()
    (snapshot, *_) = approved.plan.body.backends
    circuits, summary = desk.first_round(approved.plan)
    made = submit.in_round(0, desk.attempt, approved, circuits, summary, 0, Fetching())
    assert made.reserved == snapshot.cost_first_round == Decimal(reserved)
    assert snapshot.cost_worst_case == min(2 * made.reserved, approved.plan.body.cost)
    assert snapshot.cost_basis == "the provider's own figure" if circuits_per_job > 2 else "jobs, the largest" in snapshot.cost_basis
    (runs,) = [section for section in sections(approved.plan) if section.title == "Where it runs"]
    assert f"at most {snapshot.cost_first_round} USD: {snapshot.cost_basis}" in runs.rows[0]


def test_a_paid_round_in_the_ledger(desk: Desk, bills: Any) -> None:
    """Through the gates, with a budget: who pays is the manifest's, the bill takes the reservation's place, and `gatehouse verify` finds no fault."""
    bills("0.25")
    set_budget(desk.settings, desk.ledger, "2", tenant="test-tenant")
    approved, fetch = desk.approved(), Fetching()
    circuits, summary = desk.first_round(approved.plan)
    made = submit.in_round(0, desk.attempt, approved, circuits, summary, 0, fetch)
    (standing,), uncapped = overview(desk.settings, desk.ledger, this_month())
    assert (standing.reserved, standing.settled, uncapped) == (Decimal("0.75"), Decimal(0), [])
    assert collect.in_round(0, desk.attempt, made, fetch).cost == 0  # what the simulator bills
    found = explain(desk.settings, desk.ledger, desk.attempt.run_id)
    assert (found.account.tenant, found.account.billing_code, found.caps[0].left) == ("test-tenant", "T-1", Decimal(2))
    desk.attempt.seal()
    checked = verify(desk.ledger, VerifierKey.parse((desk.settings.home / "ledger.vkey").read_text()))
    assert (checked.problems, list(problems(desk.ledger))) == ([], [])


def test_a_plan_that_the_budget_has_no_room_for(desk: Desk, bills: Any) -> None:
    """Is told before anybody is asked, and nothing is intended."""
    bills("0.5")
    set_budget(desk.settings, desk.ledger, "1.4999", tenant="test-tenant")
    with pytest.raises(Denied, match=r"the jobs may cost 1\.5000 USD, and 1\.4999 USD are left"):
        desk.approved()
    assert desk.entries() == []


def test_room_that_is_gone_when_the_job_is_made(desk: Desk, bills: Any) -> None:
    """What counts is asked with the intent: a budget that was lowered after the approval stops the round."""
    bills("0.5")
    approved = desk.approved()
    circuits, summary = desk.first_round(approved.plan)
    set_budget(desk.settings, desk.ledger, "1", tenant="test-tenant", billing_code="T-1")
    with pytest.raises(Denied) as caught:
        submit.in_round(0, desk.attempt, approved, circuits, summary, 0, Fetching())
    assert caught.value.where == "budget of billing code T-1 of tenant test-tenant"
    assert desk.entries() == []


class Vendor:
    """A backend that asks a price."""

    def __init__(self, own: str) -> None:
        self.own = Decimal(own)

    def price(self, circuits: int, shots: int, lease: CredentialLease) -> Decimal:
        return self.own * circuits


def pricing(table: Path, own: str = "0", tier: TierName = "business", priced_as: str = DEVICE, simulator: bool = False) -> Pricing:
    facts = BackendFacts("device", "vendor", "1", 20, simulator, 100, priced_as=priced_as)
    return Pricing("vendor/block", Vendor(own), facts, tier, table)  # type: ignore[arg-type]  # of a backend it needs the price alone


def test_the_higher_of_table_and_provider(tmp_path: Path) -> None:
    """Whichever says more is the worst case, and the basis says which it was."""
    lease: Any = None
    prices = table(tmp_path)
    by_table = pricing(prices).round(250, 10, lease)
    # Three tasks of 100, 100 and 50 circuits.
    assert by_table.upper == up(3 * Decimal("0.30") + 2500 * Decimal("0.00145"))
    assert by_table.basis.startswith("3 jobs, the largest: 1 x 0.30 a task + 1,000 x 0.00145 a shot; the vendor")
    assert pricing(prices, own="0.01").round(250, 10, lease).upper == by_table.upper
    dearer = pricing(prices, own="1").round(250, 10, lease)
    assert dearer.upper == 250 and "the provider's own figure" in dearer.basis


def test_an_old_price_is_in_the_plan(tmp_path: Path) -> None:
    """Beside its basis, above the prototype tier."""
    lease: Any = None
    made = datetime.now(UTC).date() - timedelta(days=100)
    told = {tier: (each := pricing(table(tmp_path, dated=str(made)), tier=tier)).basis(each.round(1, 1, lease)) for tier in ("prototype", "business")}
    assert told["business"] == f"{told['prototype']}; the price is 100 days old: look it up"


def test_a_device_that_nobody_knows_a_price_of(tmp_path: Path) -> None:
    """A device that bills is no gift: refused above the prototype tier, unless the table says that it costs nothing."""
    lease: Any = None
    with pytest.raises(Denied, match="nothing says what this backend costs"):
        pricing(table(tmp_path), priced_as="vendor/other").round(1, 1, lease)
    assert pricing(table(tmp_path), priced_as="vendor/other", tier="prototype").round(1, 1, lease).upper == 0
    assert pricing(table(tmp_path), priced_as="", simulator=True).round(1, 1, lease).upper == 0
    assert pricing(table(tmp_path, 'per_task: "0"')).round(1, 1, lease).upper == 0
    with pytest.raises(Denied, match="no amount of money"):
        pricing(table(tmp_path), own="NaN").round(1, 1, lease)


def test_a_job_that_the_provider_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """Its limit is the worst case, not the longest that the provider would let a job take."""
    lease: Any = None
    by_the_minute = pricing(table(tmp_path, 'per_minute: "96", longest_minutes: 180'))
    limited = replace(by_the_minute, facts=replace(by_the_minute.facts, job_minutes=Decimal(10)))
    assert (by_the_minute.round(1, 1, lease).upper, limited.round(150, 1, lease).upper) == (17280, 1920)
