"""Gate 10: rows go to the system that people approved or nowhere, and no key is turned back before that is certain."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pandas as pd
import pytest
from tests.support.gates import Collected, Desk, Fetching
from tests.support.plans import RUN

from prefect_gatehouse.errors import DataRefused, Denied
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.run.values import RawOutcome, ReleasedOutcome, ValidatedOutcome
from prefect_gatehouse.tasks.await_release import await_release
from prefect_gatehouse.tasks.validate_output import validate_output
from prefect_gatehouse.tasks.write_back import write_back


def validated(raw: RawOutcome) -> ReleasedOutcome:
    """As if the gates before had been passed."""
    report = raw.approved.plan.validated.report
    return ReleasedOutcome(outcome=ValidatedOutcome(raw=raw, checks=(), report=report))


def rows(desk: Desk) -> list[tuple[Any, ...]]:
    """What stands in the target's table."""
    with closing(sqlite3.connect(desk.folder / "target.sqlite")) as connection:
        return connection.execute("SELECT subject FROM results ORDER BY subject").fetchall()


def test_rows_are_published_with_their_keys_turned_back(desk: Desk) -> None:
    """The address first, then the key of the tokens, each fetched when it is needed; the act is in the ledger, and a repeat changes nothing."""
    outcome, fetch = await_release(desk.attempt, validate_output(desk.attempt, run_rounds(desk.attempt, desk.approved()))), Fetching()
    receipt = write_back(desk.attempt, outcome, fetch)
    assert (receipt.rows, receipt.table, receipt.repeated, fetch.purposes) == (3, "results", False, [Purpose.WRITE_BACK, Purpose.RE_IDENTIFY])
    assert rows(desk) == [("ann",), ("bob",), ("cid",)]
    (act,) = desk.ledger.events(RUN, "re-identified")
    assert (act.data["tokens"], act.data["table"]) == (3, "results")
    assert [event.data["action"] for event in desk.ledger.events(RUN, "policy-decided")][-2:] == ["write_back", "re_identify"]
    assert write_back.body(desk.next_attempt(), outcome, Fetching()).repeated and len(rows(desk)) == 3


def test_an_address_that_nobody_approved(collected: Collected, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block holds another database: denied before the key of the tokens is fetched, and neither database is touched."""
    desk, fetch = collected.desk, Fetching()
    monkeypatch.setitem(desk.secrets, "secret/url", f"sqlite:///{desk.folder / 'elsewhere.sqlite'}")
    with pytest.raises(Denied):
        write_back.body(desk.attempt, validated(collected.outcome), fetch)
    assert fetch.purposes == [Purpose.WRITE_BACK] and desk.ledger.events(RUN, "re-identified") == []
    assert not (desk.folder / "elsewhere.sqlite").exists() and not (desk.folder / "target.sqlite").exists()


def test_a_no_to_a_gate_within_a_gate_is_told_once(collected: Collected) -> None:
    """Both fail with it, and one event has its rule and what would satisfy it."""
    desk = collected.desk
    desk.attempt = desk.next_attempt()
    desk.attempt.settings = desk.settings.model_copy(update={"environment": "elsewhere"})
    with pytest.raises(Denied, match="environment-mismatch"):
        write_back(desk.attempt, validated(collected.outcome), Fetching())
    assert desk.gates("gate-failed")[-2:] == ["fetch_credential", "write_back"]
    (denial,) = desk.ledger.events(RUN, "policy-denied")
    assert (denial.data["action"], denial.data["reasons"]) == ("read_secret", ["environment-mismatch"])
    assert "GATEHOUSE_ENVIRONMENT" in denial.data["advice"]


def test_a_key_that_the_workload_was_not_given(collected: Collected) -> None:
    """A token of somebody else's is never turned back, not even one that would open."""
    desk, fetch = collected.desk, Fetching()
    desk.attempt = desk.next_attempt()
    raw = collected.returning("strange", pd.DataFrame({"subject": ["s1_" + "0" * 26], "score": [1]}))
    with pytest.raises(DataRefused):
        write_back.body(desk.attempt, validated(raw), fetch)
    assert fetch.purposes == [Purpose.WRITE_BACK] and desk.ledger.events(RUN, "re-identified") == []
