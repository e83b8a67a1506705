"""`gatehouse budget`: set, shown and explained as people and programs type it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.money.tills import CODE, TENANT, admit, treasurer
from tests.run.desk import RUN, intend

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.ledger.opening import open_ledger
from prefect_gatehouse.operate.budgets import this_month
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty installation whose caller is an approver."""
    monkeypatch.setenv("GATEHOUSE_HOME", str(tmp_path / "home"))
    made = Settings(home=tmp_path / "home")
    made.folder("")
    treasurer(made)
    return made


def budget(*words: str) -> Result:
    return CliRunner().invoke(main, ["budget", *words], prog_name="gatehouse")


def spend(settings: Settings, *prices: str) -> None:
    """One run with jobs of these prices; the first of them is billed at half."""
    with open_ledger(settings) as ledger:
        attempt = Attempt(settings, ledger, RUN, lambda block: SecretText(""))
        admit(attempt)
        entry, *_ = intend(attempt, *prices, cap="5000")
        journal.submitted(attempt, entry, "h", "")
        (entry, *_) = journal.entries(attempt)
        journal.settled(attempt, entry, b"r", entry.reserved / 2)


SET = ("set", "--tenant", TENANT, "--month-usd", "1500", "--reason", "Pilot, CHG-7")


def test_set_spend_show_explain(settings: Settings) -> None:
    """The whole way: the tables hold what was set, by whom and why, what was used and reserved, what is left, and by which jobs."""
    told = budget(*SET)
    assert (told.exit_code, told.output) == (
        0,
        f"tenant {TENANT}: 1,500.0000 USD a month, 1,500.0000 left of {this_month()}; signed by tess [1]\n",
    )
    assert budget(*SET[:3], "--billing-code", CODE, *SET[3:]).exit_code == 0
    spend(settings, "10", "1200.5")
    shown = budget()
    assert shown.exit_code == 0
    for word in (TENANT, CODE, "1,500.0000", "5.0000", "1,200.5000", "294.5000", "set by tess", "Pilot, CHG-7"):
        assert word in shown.output
    data = json.loads(budget("--json").output)
    assert data["month"] == this_month() and data["without"] == []
    assert [(each["billing_code"], each["settled_usd"], each["reserved_usd"], each["left_usd"]) for each in data["budgets"]] == [
        ("", "5.0000", "1200.5000", "294.5000"),
        (CODE, "5.0000", "1200.5000", "294.5000"),
    ]
    explained = budget("explain", RUN[:8])
    assert explained.exit_code == 0, explained.output
    assert f"run {RUN[:8]} is paid for by tenant {TENANT}, billing code {CODE}" in explained.output
    data = json.loads(budget("explain", RUN, "--json").output)
    assert [[(job["key"].partition(":")[2], job["state"], job["counts_usd"]) for job in each["jobs"]] for each in data["budgets"]] == [
        [("0:0:0", "settled", "5.0000"), ("0:1:0", "intended", "1200.5000")]
    ] * 2


def test_a_month_without_a_budget(settings: Settings) -> None:
    """Nothing is there, and the command says what to do; another month than this one is asked for by its name."""
    assert "no budget is set and nothing was used in 2020-02" in budget("--month", "2020-02").output
    assert json.loads(budget("--month", "2020-02", "--json").output) == {"month": "2020-02", "budgets": [], "without": []}
    for month in ("2020-2", "2020-13", "november", "2020-02-01"):
        told = budget("--month", month)
        assert (told.exit_code, "--month: this is no month" in told.output) == (2, True)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"--tenant": "No Tenant"}, "--tenant"),
        ({"--month-usd": "-5"}, "--month-usd"),
        ({"--month-usd": "plenty"}, "--month-usd"),
        ({"--reason": ""}, "--reason"),
        ({"--reason": "two\nlines"}, "--reason"),
        ({"--billing-code": "a|b"}, "--billing-code"),
    ],
)
def test_what_is_no_budget(settings: Settings, change: dict[str, str], where: str) -> None:
    """One error that names the switch; exit code 2, and no event."""
    words = dict(zip(SET[1::2], SET[2::2], strict=True)) | change
    told = budget("set", *(word for pair in words.items() for word in pair), "--json")
    assert told.exit_code == 2, told.output
    assert json.loads(told.output)["where"] == where
    with open_ledger(settings) as ledger:
        assert ledger.size() == 0


def test_who_may_not(settings: Settings) -> None:
    """A key that is no approver's is denied with what to do; without a key the caller is told how to make one."""
    (settings.people_folder() / "allowed_signers").write_text("")
    told = budget(*SET)
    assert (told.exit_code, "gatehouse people add NAME --role approver" in told.output) == (3, True)
    settings.identity_key().unlink()
    told = budget(*SET)
    assert (told.exit_code, "gatehouse init" in told.output) == (2, True)


def test_a_budget_that_was_forged_does_not_verify(settings: Settings) -> None:
    """`gatehouse verify` holds each budget's signature against what it says."""
    assert budget(*SET).exit_code == 0
    assert CliRunner().invoke(main, ["verify"]).exit_code == 0
    with open_ledger(settings) as ledger:
        from prefect_gatehouse.ledger.acts import BudgetSet

        (event,) = ledger.facts(BudgetSet)
        with ledger.transaction() as tx:
            tx.append("budget-set:forged", "ledger", event.fact.model_copy(update={"month_usd": Decimal(10**6)}))
    told = CliRunner().invoke(main, ["verify"])
    assert (told.exit_code, "problem: event 2: the budget is not signed, or not what was signed" in told.output) == (7, True)
