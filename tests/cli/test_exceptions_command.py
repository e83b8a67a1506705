"""`gatehouse exceptions`: granted, listed, reviewed and revoked as people and programs type it."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.money.tills import treasurer

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.acts import ExceptionReviewed, ExceptionRevoked
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation whose caller is the approver Tess; Uma is another one, Olga owns exceptions."""
    monkeypatch.setenv("GATEHOUSE_HOME", str(tmp_path / "home"))
    made = Settings(home=tmp_path / "home")
    made.folder("")
    treasurer(made)
    people = People(made.people_folder())
    people.add("uma", key=generate_key(tmp_path / "uma", ""), roles=frozenset({"approver"}))
    people.add("olga", roles=frozenset({"auditor"}))
    return made


def exceptions(*words: str) -> Result:
    return CliRunner().invoke(main, ["exceptions", *words], prog_name="gatehouse")


WORDS = ("--tenant", "clinic", "--owner", "olga", "--ticket", "CHG-9", "--risk", "slower", "--control", "watched", "--reason", "Pilot")


def test_granted_listed_reviewed_and_revoked(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The whole way; what is over is shown with --all, and why."""
    assert exceptions("list").output == "no exception holds\n"
    day = f"{datetime.now(UTC) + timedelta(days=7):%Y-%m-%d}"
    told = exceptions("grant", "backend-not-in-tier", *WORDS, "--until", day)
    assert told.exit_code == 0 and "to backend-not-in-tier until" in told.output and "signed by tess" in told.output, told.output
    (held,) = json.loads(exceptions("list", "--json").output)
    assert (held["holds"], held["owner"], held["person"], held["runs"], held["reviews"]) == (True, "olga", "tess", 0, [])
    number = str(held["event"])
    mine = exceptions("review", number, "--reason", "x")
    assert mine.exit_code == 3 and "another person" in mine.output
    monkeypatch.setenv("GATEHOUSE_IDENTITY", str(tmp_path / "uma"))
    assert exceptions("review", number, "--reason", "Still needed").exit_code == 0
    shown = exceptions("list").output
    for word in ("clinic", "olga", "tess", "CHG-9", "uma", "risk: slower; instead: watched; why: Pilot"):
        assert word in shown
    assert exceptions("revoke", number, "--reason", "Done").exit_code == 0
    assert exceptions("list").output == "no exception holds\n"
    assert "revoked" in exceptions("list", "--all").output
    for words in (("revoke", number, "--reason", "Done"), ("review", number, "--reason", "It stays")):
        again = exceptions(*words)
        assert again.exit_code == 2 and f"exception {number} was ended already, by uma on" in again.output, again.output
    with closing(Ledger(settings.ledger())) as ledger:
        assert [len(ledger.facts(kind)) for kind in (ExceptionRevoked, ExceptionReviewed)] == [1, 1]
    assert CliRunner().invoke(main, ["verify"]).exit_code == 0


def test_what_is_refused(settings: Settings) -> None:
    """What an exception must have is asked for; a rule without exceptions has none."""
    assert exceptions("grant", "backend-not-in-tier", *WORDS).exit_code == 2
    refused = exceptions("grant", "environment-mismatch", *WORDS, "--until", f"{datetime.now(UTC):%Y-%m-%d}", "--json")
    assert refused.exit_code == 3 and json.loads(refused.output)["error"] == "denied"
