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


@pytest.mark.parametrize(
    ("named", "near"),
    [
        ("principal:umma", ["principal:uma"]),
        ("tenant:clinics", ["tenant:clinic"]),
        ("pipeline:clinic", ["tenant:clinic"]),
        ("backend:nowhere/zzz", []),
    ],
)
def test_what_nothing_here_knows_is_stopped_all_the_same(settings: Settings, named: str, near: list[str]) -> None:
    """An emergency waits for no registry; but that nothing has the name is said at once, with what is like it and how a slip is undone."""
    data = json.loads(gatehouse("quarantine", named, "--reason", "x", "--json").output)
    assert (f"{data['scope']}:{data['name']}", data["known"], data["nearest"]) == (named, False, near)
    shown = gatehouse("quarantine", named, "--reason", "x").output
    assert f"nothing here knows a {data['scope']} of this name" in shown and "gatehouse quarantine release" in shown
    assert all(each in shown for each in near)
    assert len(json.loads(gatehouse("quarantine", "list", "--json").output)) == 2


def test_what_is_known_is_said_to_be(settings: Settings) -> None:
    """No doubt is cast on a name that is known, a provider's of a backend included; a bare name that is none is told what is like it."""
    for named in (f"tenant:{TENANT}", "backend:aer"):
        assert json.loads(gatehouse("quarantine", named, "--reason", "x", "--json").output)["known"] is True
    assert "nothing here knows" not in gatehouse("quarantine", f"tenant:{TENANT}", "--reason", "x").output
    refused = gatehouse("quarantine", "clinics", "--reason", "x")
    assert refused.exit_code == 2 and "like it are tenant:clinic" in " ".join(refused.output.split())


def test_with_tiers_that_can_t_be_read_it_is_stopped_all_the_same(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a backend has the name can't be told then, which is said."""
    (tmp_path / "tiers.yaml").write_text("- no tiers")
    monkeypatch.setenv("GATEHOUSE_TIERS", str(tmp_path / "tiers.yaml"))
    told = gatehouse("quarantine", "backend:aer", "--reason", "x")
    assert told.exit_code == 0 and "whether there is a backend of this name can't be told now" in told.output
    assert json.loads(gatehouse("quarantine", "list", "--json").output)[0]["name"] == "aer"
