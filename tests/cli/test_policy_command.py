"""``gatehouse policy sign``, ``accept`` and ``status`` as people and programs type them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.bundles import ROLES, key_of, own_files, write_bundle

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty installation."""
    monkeypatch.setenv("GATEHOUSE_HOME", str(tmp_path / "home"))
    made = Settings(home=tmp_path / "home")
    made.folder("")
    return made


@pytest.fixture
def gatehouse(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command, as somebody."""

    def run(*words: str, who: str = "") -> Result:
        if who:
            monkeypatch.setenv("GATEHOUSE_IDENTITY", str(key_of(settings, who)))
        else:
            monkeypatch.delenv("GATEHOUSE_IDENTITY", raising=False)
        return CliRunner().invoke(main, list(words), prog_name="gatehouse")

    return run


def test_from_nothing_to_the_second_version(settings: Settings, gatehouse: Callable[..., Result]) -> None:
    """Unsigned, signed by one role after the other, accepted, changed, signed again; every step says what comes next, and the ledger verifies."""
    told = gatehouse("policy", "status")
    assert told.exit_code == 1 and "there is no bundle of policies" in told.output
    for person in ROLES.values():
        generate_key(key_of(settings, person), "")
        assert gatehouse("people", "add", person, "--role", "auditor", "--key", f"{key_of(settings, person)}.pub").exit_code == 0
    write_bundle(settings)
    nobody = gatehouse("policy", "sign", "--reason", "x")
    assert nobody.exit_code == 2 and "Traceback" not in nobody.output
    assert "missing: engineering (eve); security (sam)" in gatehouse("policy", "sign", "--reason", "x", who="lea").output
    early = gatehouse("policy", "accept", "--reason", "x")
    assert early.exit_code == 3 and "missing: engineering (eve); security (sam)" in early.output
    assert gatehouse("policy", "sign", "--reason", "x", who="sam").exit_code == 0
    assert "no first bundle was accepted yet" in gatehouse("policy", "sign", "--reason", "x", who="eve").output
    assert "version 1 stands" in gatehouse("policy", "accept", "--reason", "we begin").output
    again = gatehouse("policy", "accept", "--reason", "x")
    assert again.exit_code == 3 and "only the first bundle is accepted" in again.output
    shown = gatehouse("policy", "status")
    assert shown.exit_code == 0 and "version 1 stands, and the files are as it was signed" in shown.output
    write_bundle(settings, 2)
    data = json.loads(gatehouse("policy", "status", "--json").output)
    assert (data["as_signed"], data["file_version"], data["changed"], sorted(data["missing"])) == (False, 2, ["manifest"], sorted(ROLES))
    for person in ROLES.values():
        assert gatehouse("policy", "sign", "--reason", "the next one", who=person).exit_code == 0
    data = json.loads(gatehouse("policy", "status", "--json").output)
    assert data["as_signed"] and [(each["version"], each["signed"]) for each in data["history"]] == [(1, ROLES), (2, ROLES)]
    assert gatehouse("verify").exit_code == 0


def test_who_has_no_key_is_named(settings: Settings, gatehouse: Callable[..., Result]) -> None:
    """With the file, the role and the command."""
    generate_key(key_of(settings, "lea"), "")
    gatehouse("people", "add", "lea", "--role", "auditor", "--key", f"{key_of(settings, 'lea')}.pub")
    write_bundle(settings)
    told = gatehouse("policy", "sign", "--reason", "x", who="lea")
    assert told.exit_code == 2
    assert "change_policy.engineering: eve has no key in the registry" in told.output and "gatehouse people add eve" in told.output
    assert gatehouse("policy", "sign", "--reason", "", who="lea").exit_code == 2


def test_a_new_colleague_makes_a_key_and_somebody_else_adds_it(settings: Settings, gatehouse: Callable[..., Result], tmp_path: Path) -> None:
    """Where a bundle stands, `init` does not enter its caller, which would stop every run; it says who has to be asked."""
    for person in ROLES.values():
        generate_key(key_of(settings, person), "")
        gatehouse("people", "add", person, "--role", "auditor", "--key", f"{key_of(settings, person)}.pub")
    write_bundle(settings)
    for person in ROLES.values():
        gatehouse("policy", "sign", "--reason", "x", who=person)
    gatehouse("policy", "accept", "--reason", "x")
    made = gatehouse("init", str(tmp_path / "pumps"), "--person", "new", who="new")
    assert made.exit_code == 0 and "whoever keeps the registry runs: gatehouse people add new" in made.output, made.output
    assert gatehouse("policy", "status").exit_code == 0
    added = gatehouse("people", "add", "new", "--role", "requester", "--key", f"{key_of(settings, 'new')}.pub", who="sam")
    assert added.exit_code == 0 and gatehouse("policy", "status").exit_code == 0


MALFORMED = {
    "tiers": ("tiers.yaml", lambda text: text.replace("approvers: 1", "approvers: many", 1), ".approvers"),
    "tiers-no-yaml": ("tiers.yaml", lambda text: text + "\n  : [", "tiers.yaml:"),
    "classes": ("classes.yaml", lambda text: text.replace("write_back: true", "write_back: perhaps", 1), ".write_back"),
    "policies": ("policies/gatehouse.cedar", lambda text: text + '\n@id("own")\nforbid (principal, action, resource) when { principal.x };', ": own"),
    "cases": ("policies/cases.yaml", lambda text: text.replace("in_order:", "in_ordre:", 1), "in_order"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_check_names_the_file_that_is_malformed(
    settings: Settings, gatehouse: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """With its line, and the field where it is known."""
    name, spoil, place = MALFORMED[case]
    made = own_files(settings, settings.home)
    for setting in ("policies", "tiers", "classes"):
        monkeypatch.setenv(f"GATEHOUSE_{setting.upper()}", str(getattr(made, setting)))
    assert gatehouse("policy", "check").exit_code == 0
    path = settings.home / name
    path.write_text(spoil(path.read_text()))
    told = gatehouse("policy", "check", "--json")
    assert told.exit_code == 2, told.output
    assert re.match(rf"{re.escape(str(path))}:\d+", (where := json.loads(told.output)["where"])) and place in where, where


def test_status_names_the_file_that_is_malformed(settings: Settings, gatehouse: Callable[..., Result]) -> None:
    """What keeps all but the prototype tier closed is told with its file, line and field, not as if nobody had signed."""
    write_bundle(settings)
    settings.bundle_file().write_text(settings.bundle_file().read_text().replace("version: 1", "version: first"))
    place = f"{settings.bundle_file()}:1:1: version"
    told = gatehouse("policy", "status")
    assert told.exit_code == 1 and f"only the prototype tier is open: {place}: " in told.output, told.output
    assert json.loads(gatehouse("policy", "status", "--json").output)["refusal"]["where"] == place
