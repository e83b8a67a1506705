"""The caps of tenants and billing codes: over all providers, refusals given back, bills counted, nothing without a budget above prototype."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest
from sqlalchemy import update

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.evidence.examine import examine
from prefect_gatehouse.evidence.signed import of_nobody, problems
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.acts import BudgetSet, ProviderApproved
from prefect_gatehouse.ledger.charges import month_of
from prefect_gatehouse.ledger.note import VerifierKey
from prefect_gatehouse.ledger.seal import seal_home
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.ledger.tables import charges
from prefect_gatehouse.ledger.verify import verify
from prefect_gatehouse.operate.budgets import explain, overview, this_month
from prefect_gatehouse.operate.registry import Registrar
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.drift import last_approval
from tests.money.tills import CODE, TENANT, admit, set_budget, treasurer
from tests.run.desk import RUN, Desk, intend
from tests.support.acts import append_signed


def left(desk: Desk) -> list[tuple[str, Decimal, Decimal, Decimal]]:
    """Name, used, reserved and left of each budget."""
    return [(each.name, each.settled, each.reserved, each.left) for each in overview(desk.settings, desk.ledger, this_month())[0]]


def found_problems(desk: Desk) -> list[str]:
    seal_home(desk.settings.home, desk.ledger)
    found = verify(desk.ledger, VerifierKey.parse((desk.settings.home / "ledger.vkey").read_text()))
    return [problem for problem in found.problems if "permitted" not in problem]  # no policy was asked here


def test_a_job_s_whole_way_in_the_budget(desk: Desk) -> None:
    """Reserved with the intent, given back by a refusal, the bill instead of the worst case; what is derived verifies."""
    admit(desk.attempt)
    set_budget(desk.settings, desk.ledger, "2")
    set_budget(desk.settings, desk.ledger, "1.5", billing_code=CODE)
    first, second = intend(desk.attempt, "0.5", "0.7")
    code, tenant = f"billing code {CODE} of tenant {TENANT}", f"tenant {TENANT}"
    nothing = Decimal(0)
    assert left(desk) == [(tenant, nothing, Decimal("1.2"), Decimal("0.8")), (code, nothing, Decimal("1.2"), Decimal("0.3"))]
    journal.refused(desk.attempt, [first], "no")
    # The fallback on another provider counts into the same caps.
    intend(desk.attempt, "0.6", number=1)
    journal.submitted(desk.attempt, second, "h", "")
    (second,) = [entry for entry in journal.entries(desk.attempt) if entry.key == second.key]
    journal.settled(desk.attempt, second, b"r", Decimal("0.30005"))
    bill, open_ = Decimal("0.3001"), Decimal("0.6")
    assert left(desk) == [(tenant, bill, open_, 2 - bill - open_), (code, bill, open_, Decimal("1.5") - bill - open_)]
    assert found_problems(desk) == []


def test_an_ambiguous_job_keeps_its_room(desk: Desk) -> None:
    """Nobody knows whether it is billed, so it counts until somebody does."""
    admit(desk.attempt)
    set_budget(desk.settings, desk.ledger, "1")
    (entry,) = intend(desk.attempt, "0.8")
    journal.ambiguous(desk.attempt, entry)
    with pytest.raises(Denied, match=r"0\.2000 USD are left"):
        intend(desk.attempt, "0.3", round_number=1)


@pytest.mark.parametrize("bill", ["NaN", "-1", "Infinity"])
def test_a_bill_that_is_no_amount(desk: Desk, bill: str) -> None:
    """It makes no room: what was reserved counts, and the result is kept all the same."""
    admit(desk.attempt)
    set_budget(desk.settings, desk.ledger, "1")
    (entry,) = intend(desk.attempt, "0.8")
    journal.submitted(desk.attempt, entry, "h", "")
    journal.settled(desk.attempt, journal.entries(desk.attempt)[0], b"r", Decimal(bill))
    assert [row[1:] for row in left(desk)] == [(Decimal("0.8"), Decimal(0), Decimal("0.2"))]
    assert journal.results_of(desk.attempt, 0) == [b"r"]


def test_two_runs_of_a_tenant_share_its_budget(desk: Desk) -> None:
    """Whichever run it is; another tenant's and another code's room is theirs."""
    admit(desk.attempt)
    other, foreign = desk.next_attempt("other"), desk.next_attempt("foreign")
    admit(other, billing_code="B-2")
    admit(foreign, tenant="bank")
    for tenant in (TENANT, "bank"):
        set_budget(desk.settings, desk.ledger, "1", tenant=tenant)
    intend(desk.attempt, "0.6")
    with pytest.raises(Denied) as caught:
        intend(other, "0.5")
    denied = caught.value
    assert denied.where == f"budget of tenant {TENANT}"
    assert denied.message == f"the jobs may cost 0.5000 USD, and 0.4000 USD are left of 1.0000 USD for {this_month()}"
    assert f"gatehouse budget set --tenant {TENANT} --month-usd N --reason WHY" in denied.advice
    assert journal.entries(other) == []
    intend(foreign, "1")
    intend(other, "0.4")


def test_the_newest_budget_counts(desk: Desk) -> None:
    """Raised, there is room at once; lowered below what was used, nothing is left, and what costs nothing goes on."""
    admit(desk.attempt)
    set_budget(desk.settings, desk.ledger, "1")
    intend(desk.attempt, "1")
    set_budget(desk.settings, desk.ledger, "2")
    intend(desk.attempt, "0.5", round_number=1)
    set_budget(desk.settings, desk.ledger, "1")
    assert [row[3] for row in left(desk)] == [Decimal(0)]
    with pytest.raises(Denied):
        intend(desk.attempt, "0.0001", round_number=2)
    intend(desk.attempt, "0", round_number=2)


@pytest.mark.parametrize("tier", ["integration", "business"])
def test_nothing_is_spent_without_a_budget(desk: Desk, tier: Literal["integration", "business"]) -> None:
    """Above the prototype tier; a job that costs nothing needs none, and a billing code's own budget is one."""
    admit(desk.attempt, tier=tier)
    intend(desk.attempt, "0")
    with pytest.raises(Denied, match=f"no budget covers these jobs of at most 0.1000 USD, and the {tier} tier spends nothing without one"):
        intend(desk.attempt, "0.1", round_number=1)
    set_budget(desk.settings, desk.ledger, "1", billing_code="another")
    with pytest.raises(Denied, match="no budget covers"):
        intend(desk.attempt, "0.1", round_number=1)
    set_budget(desk.settings, desk.ledger, "1", billing_code=CODE)
    intend(desk.attempt, "0.1", round_number=1)


def test_the_prototype_tier_spends_within_its_envelope(desk: Desk) -> None:
    """Without a budget it may; with one it is held to it like any other."""
    admit(desk.attempt, tier="prototype")
    intend(desk.attempt, "5")
    (uncapped,) = overview(desk.settings, desk.ledger, this_month())[1]
    assert (uncapped.name, uncapped.used) == (f"billing code {CODE} of tenant {TENANT}", Decimal(5))
    set_budget(desk.settings, desk.ledger, "5")
    with pytest.raises(Denied, match=r"0\.0000 USD are left"):
        intend(desk.attempt, "0.1", round_number=1)


@pytest.mark.parametrize("role", ["requester", "auditor", None])
def test_who_may_not_set_a_budget(desk: Desk, role: Literal["requester", "auditor"] | None) -> None:
    """Nobody but an approver: no event is written, and no cap holds."""
    treasurer(desk.settings, role=role or "approver")
    if role is None:
        (desk.settings.people_folder() / "allowed_signers").write_text("")
    with pytest.raises(Denied, match="somebody who may approve"):
        set_budget(desk.settings, desk.ledger, "5")
    assert desk.ledger.facts(BudgetSet) == []


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity", "1e9", "0.00001", "many", ""])
def test_what_is_no_budget(desk: Desk, amount: str) -> None:
    """Refused with the switch that it came by."""
    treasurer(desk.settings)
    with pytest.raises(InputError) as caught:
        set_budget(desk.settings, desk.ledger, amount)
    assert caught.value.where == "--month-usd"


def test_a_budget_is_an_event_that_was_signed(desk: Desk) -> None:
    """Who, what and why, under a signed head; and what somebody else wrote in its place does not verify."""
    event = set_budget(desk.settings, desk.ledger, "12.5", billing_code=CODE)
    fact = event.fact
    assert (fact.tenant, fact.billing_code, fact.month_usd, fact.person, fact.reason) == (TENANT, CODE, Decimal("12.5"), "tess", "A test")
    assert found_problems(desk) == [] and list(problems(desk.ledger)) == []
    forged = fact.model_copy(update={"month_usd": Decimal("9999.0000"), "budget": "another"})
    with desk.ledger.transaction() as tx:
        tx.append("budget-set:another", "ledger", forged)
    assert list(problems(desk.ledger)) == [f"event {event.seq + 1}: the budget is not signed, or not what was signed"]


def test_a_budget_by_a_key_that_is_nobodys(desk: Desk, tmp_path: Path) -> None:
    """`gatehouse verify` tells of it; whoever has left since may have signed theirs, and signs none from then on."""
    event = set_budget(desk.settings, desk.ledger, "5")
    People(desk.settings.people_folder()).add("uma", key=generate_key(tmp_path / "uma", ""), roles=frozenset({"approver"}))
    assert list(of_nobody(desk.settings, desk.ledger)) == []
    for person in ("unverified", "tess"):
        append_signed(desk.ledger, BudgetSet, {**event.fact.statement, "budget": person}, person, tmp_path / "own")
    told = [f"event {event.seq + 1 + number}: the budget is signed with a key that is nobody's in the registry" for number in range(2)]
    seal_home(desk.settings.home, desk.ledger)
    found = examine(desk.settings, desk.ledger, VerifierKey.parse((desk.settings.home / "ledger.vkey").read_text())).problems
    assert [problem.partition(",")[0] for problem in found if "nobody's" in problem] == told
    Registrar(desk.settings, desk.ledger, "left").revoke("tess", None)
    assert [problem.partition(",")[0] for problem in of_nobody(desk.settings, desk.ledger)] == told[:1]
    append_signed(desk.ledger, BudgetSet, {**event.fact.statement, "budget": "late"}, "tess", desk.settings.identity_key())
    assert [problem.partition(":")[0] for problem in of_nobody(desk.settings, desk.ledger)][1:] == [f"event {desk.ledger.size()}"]


def forge(desk: Desk, fact: BudgetSet, how: str, own: Path) -> None:
    """A cap as somebody with the database could write it, by a key of their own."""
    statement = {**fact.statement, "budget": how}
    if how == "copied":
        with desk.ledger.transaction() as tx:
            tx.append(f"budget-set:{how}", "ledger", fact)
    elif how == "edited":
        said = {**statement, "month_usd": "0.0001"}
        append_signed(desk.ledger, BudgetSet, said, "tess", desk.settings.identity_key(), month_usd=fact.month_usd)
    else:
        append_signed(desk.ledger, BudgetSet, statement, "unverified" if how == "nobody's" else "tess", own)


@pytest.mark.parametrize("how", ["another's key", "nobody's", "edited", "copied"])
def test_a_cap_that_does_not_verify_raises_nothing(desk: Desk, tmp_path: Path, how: str) -> None:
    """Whoever writes one into the database makes no room with it, and what is shown says so; a cap that somebody signs behind it does."""
    admit(desk.attempt)
    high = set_budget(desk.settings, desk.ledger, "50")
    set_budget(desk.settings, desk.ledger, "1")
    forge(desk, high.fact, how, tmp_path / "own")
    assert [row[3] for row in left(desk)] == [Decimal(1)]
    with pytest.raises(Denied, match=r"1\.0000 USD are left of 1\.0000"):
        intend(desk.attempt, "2")
    set_budget(desk.settings, desk.ledger, "3")
    intend(desk.attempt, "2")
    assert [each.cap for each in explain(desk.settings, desk.ledger, RUN).caps] == [Decimal(3)]


def test_a_cap_that_does_not_verify_is_no_budget(desk: Desk, tmp_path: Path) -> None:
    """Above the prototype tier nothing is spent on its word, and nobody is shown it as a budget."""
    admit(desk.attempt)
    fact = set_budget(desk.settings, desk.ledger, "50", tenant="bank").fact
    forge(desk, fact.model_copy(update={"tenant": TENANT}), "nobody's", tmp_path / "own")
    assert [row[0] for row in left(desk)] == ["tenant bank"]
    with pytest.raises(Denied, match="no budget covers"):
        intend(desk.attempt, "0.1")


@pytest.mark.parametrize("tier", ["prototype", "integration"])
def test_a_first_cap_that_verifies_no_more_still_holds(desk: Desk, tmp_path: Path, tier: Literal["prototype", "integration"]) -> None:
    """A billing code's smaller cap does not vanish beside the tenant's, and in the prototype tier, which needs none, it does not either."""
    admit(desk.attempt, tier=tier)
    if tier != "prototype":
        set_budget(desk.settings, desk.ledger, "50")
    fact = set_budget(desk.settings, desk.ledger, "50", tenant="bank").fact
    forged = {"tenant": TENANT, "billing_code": CODE, "month_usd": Decimal("0.5000")}
    forge(desk, fact.model_copy(update=forged), "nobody's", tmp_path / "own")
    with pytest.raises(Denied, match=r"0\.5000 USD are left of 0\.5000"):
        intend(desk.attempt, "1")
    intend(desk.attempt, "0.4")


def test_a_cap_that_verifies_no_more_lowers_what_it_lowered(desk: Desk, tmp_path: Path) -> None:
    """Its key may have been taken out of the registry by hand: the older and higher one before it does not come back."""
    admit(desk.attempt)
    high = set_budget(desk.settings, desk.ledger, "50")
    forge(desk, high.fact.model_copy(update={"month_usd": Decimal("0.5000")}), "nobody's", tmp_path / "own")
    with pytest.raises(Denied, match=r"0\.5000 USD are left of 0\.5000"):
        intend(desk.attempt, "1")


def test_a_provider_that_nobody_approved_in_truth(desk: Desk, tmp_path: Path) -> None:
    """The newest approval that somebody of the registry signed counts; what else is written there is passed over."""
    treasurer(desk.settings)
    statement = {"action": "approve-provider", "backend": "braket/x", "items": {}, "reason": "x", "environment": "local", "act": "one"}
    append_signed(desk.ledger, ProviderApproved, statement, "tess", tmp_path / "own")
    assert last_approval(desk.settings, desk.ledger, "braket/x") is None
    append_signed(desk.ledger, ProviderApproved, {**statement, "act": "two"}, "tess", desk.settings.identity_key())
    append_signed(desk.ledger, ProviderApproved, {**statement, "act": "three"}, "unverified", tmp_path / "own")
    found = last_approval(desk.settings, desk.ledger, "braket/x")
    assert found is not None and found.fact.act == "two"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settled": 0}, "its settled is not the one in the events"),
        ({"reserved": 1}, "its reserved is not the one in the events"),
        ({"tenant": "bank"}, "its tenant is not the one in the events"),
        ({"billing_code": "B"}, "its billing_code is not the one in the events"),
        ({"month": "2020-01"}, "its month is not the one in the events"),
        (None, "it is missing from its table"),
    ],
)
def test_a_charge_that_somebody_edited(desk: Desk, change: dict[str, object] | None, said: str) -> None:
    """Whoever makes room by editing the sums is found by `gatehouse verify`."""
    admit(desk.attempt)
    set_budget(desk.settings, desk.ledger, "1")
    (entry,) = intend(desk.attempt, "0.8")
    assert found_problems(desk) == []
    with desk.ledger.transaction() as tx:
        tx.connection.execute(charges.delete() if change is None else update(charges).values(**change))
    assert found_problems(desk) == [f"charge {entry.key}: {said}"]


def test_a_ledger_of_an_earlier_release(desk: Desk) -> None:
    """It gains the table, and its runs verify; one that goes on spends nothing above the prototype tier, because nobody noted who pays."""
    admit(desk.attempt, billing_code="")
    intend(desk.attempt, "0")
    with desk.ledger.transaction() as tx:
        charges.drop(tx.connection)
    with contextlib.closing(Ledger(desk.settings.ledger())) as ledger:
        assert ledger.size() == desk.ledger.size()
    assert found_problems(desk) == []
    set_budget(desk.settings, desk.ledger, "5")
    intend(desk.attempt, "0", round_number=1)
    with pytest.raises(Denied, match="did not note who pays"):
        intend(desk.attempt, "0.1", round_number=2)
    assert left(desk) == [(f"tenant {TENANT}", Decimal(0), Decimal(0), Decimal(5))]
    with pytest.raises(InputError, match="nobody pays"):
        explain(desk.settings, desk.ledger, RUN)


def test_a_run_explained(desk: Desk) -> None:
    """Its caps, and every job of any run that counts into them, with what it takes."""
    admit(desk.attempt)
    other = desk.next_attempt("other")
    admit(other, billing_code="B-2")
    set_budget(desk.settings, desk.ledger, "3")
    set_budget(desk.settings, desk.ledger, "1", billing_code=CODE)
    (entry,) = intend(desk.attempt, "0.5")
    intend(other, "0.25")
    journal.refused(desk.attempt, [entry], "no")
    intend(desk.attempt, "0.75", number=1)
    found = explain(desk.settings, desk.ledger, RUN)
    assert (found.account.tenant, found.account.billing_code, [each.name for each in found.caps]) == (
        TENANT,
        CODE,
        [f"tenant {TENANT}", f"billing code {CODE} of tenant {TENANT}"],
    )
    jobs = found.jobs[month_of(entry.intended)]
    assert [(job.run_id, job.key.partition(":")[2], job.state, job.counts) for job in jobs] == [
        (RUN, "0:0:0", "refused", Decimal(0)),
        (RUN, "0:0:1", "intended", Decimal("0.75")),
        ("other", "0:0:0", "intended", Decimal("0.25")),
    ]
    with pytest.raises(InputError, match="nobody pays"):
        explain(desk.settings, desk.ledger, "unknown")
