"""`gatehouse quarantine`: imposed, listed and released as people and programs type it; runs, show and inbox say so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner, Result
from tests.money.tills import TENANT, admit, treasurer
from tests.run.desk import RUN

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.errors import Unavailable
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.acts import QuarantineReleased
from prefect_gatehouse.ledger.events import RunSuspended
from prefect_gatehouse.ledger.opening import open_ledger
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.settings import Settings


def no_server() -> NoReturn:
    raise Unavailable("no Prefect server is set", where="PREFECT_API_URL")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation with a run that waits; the caller is an approver, and Uma is another one. No Prefect server answers."""
    monkeypatch.setenv("GATEHOUSE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("prefect_gatehouse.operate.quarantine.server", no_server)
    made = Settings(home=tmp_path / "home")
    made.folder("")
    treasurer(made)
    People(made.people_folder()).add("uma", key=generate_key(tmp_path / "uma", ""), roles=frozenset({"approver"}))
    with open_ledger(made) as ledger:
        attempt = Attempt(made, ledger, RUN, lambda block: SecretText(""))
        admit(attempt)
        attempt.record("suspended", RunSuspended(until=4e9))
    return made


def gatehouse(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), prog_name="gatehouse")


def test_imposed_listed_and_released(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The whole way: without a verb, told what was done and what not, shown wherever the run is, kept from who imposed it, released by another."""
    assert gatehouse("quarantine", "list").output == "nothing is in quarantine\n"
    told = gatehouse("quarantine", TENANT, "--reason", "Leaked key, INC-7")
    assert told.exit_code == 0, told.output
    assert f"tenant {TENANT} is in quarantine; signed by tess [" in told.output
    assert f"run {RUN}: stays as it is, and can't go on" in told.output and "not done: no deployment was paused" in told.output
    listed = gatehouse("quarantine", "list").output
    for word in ("tenant", TENANT, "tess", "Leaked key, INC-7"):
        assert word in listed
    for words in (("runs",), ("show", RUN[:8])):
        shown = gatehouse(*words)
        assert f"can't go on: tenant {TENANT} is in quarantine [" in shown.output, shown.output
    assert json.loads(gatehouse("runs", "--json").output)[0]["in_quarantine"] != []
    (held,) = json.loads(gatehouse("quarantine", "list", "--json").output)
    assert (held["scope"], held["name"], held["authentic"], held["releases_that_do_not_count"]) == ("tenant", TENANT, True, [])
    mine = gatehouse("quarantine", "release", TENANT, "--reason", "x")
    assert mine.exit_code == 3 and "was put into quarantine by you" in mine.output
    monkeypatch.setenv("GATEHOUSE_IDENTITY", str(tmp_path / "uma"))
    done = gatehouse("quarantine", "release", TENANT, "--reason", "Rotated")
    assert done.exit_code == 0 and f"{TENANT} is out of quarantine; signed by uma" in done.output, done.output
    again = gatehouse("quarantine", "release", TENANT, "--reason", "Rotated")
    assert again.exit_code == 2 and "this is not in quarantine" in again.output
    with open_ledger(settings) as ledger:
        assert len(ledger.facts(QuarantineReleased)) == 1
    assert gatehouse("quarantine", "list").output == "nothing is in quarantine\n"
    assert json.loads(gatehouse("show", RUN, "--json").output)["in_quarantine"] == []
    assert gatehouse("verify").exit_code == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("nobody-knows", "--reason", "x"), 2, "say what is meant, as in tenant:nobody-knows"),
        (("team:a", "--reason", "x"), 2, "write one of tenant, principal, pipeline, backend"),
        ((TENANT,), 2, "--reason"),
        ((TENANT, "--reason", "a\nb"), 2, "say why in one line"),
        (("release", TENANT, "--reason", "x"), 2, "this is not in quarantine"),
        (("--reason", "x"), 2, "NAME"),
    ],
)
def test_what_is_refused(settings: Settings, words: tuple[str, ...], code: int, told: str) -> None:
    """One error that says what to do, and nothing is in quarantine."""
    result = gatehouse("quarantine", *words)
    assert result.exit_code == code and told in result.output.replace("\n  ", " "), result.output
    assert "Traceback" not in result.output
    assert gatehouse("quarantine", "list", "--json").output.strip() == "[]"


def test_the_option_may_come_first(settings: Settings) -> None:
    """As programs write it, with JSON back."""
    result = gatehouse("quarantine", "--reason", "x", "backend:braket/nine", "--json")
    data = json.loads(result.output)
    assert (data["scope"], data["name"], data["person"], data["ended"], data["held"]) == ("backend", "braket/nine", "tess", [], [])
