"""`gatehouse classes`: which classifications count, which were replaced and by which, and that none is withdrawn twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.support.plans import write_project

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.settings import Settings

Gatehouse = Callable[..., Result]


@pytest.fixture
def gatehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gatehouse:
    """The command, as somebody: Olga and Otto own data."""
    settings = Settings(home=tmp_path / "home")
    settings.folder("")
    monkeypatch.setenv("GATEHOUSE_HOME", str(settings.home))
    people = People(settings.people_folder())
    for person in ("olga", "otto"):
        people.add(person, key=generate_key(tmp_path / person, ""), roles=frozenset({"data-owner"}))
    write_project(tmp_path / "project")

    def run(*words: str, who: str = "olga") -> Result:
        monkeypatch.setenv("GATEHOUSE_IDENTITY", str(tmp_path / who))
        return CliRunner().invoke(main, ["classes", *words], prog_name="gatehouse")

    return run


def signed(gatehouse: Gatehouse, folder: Path, who: str) -> int:
    done = gatehouse("sign", str(folder / "project" / "gatehouse.yaml"), "--reason", "Looked at", "--json", who=who)
    assert done.exit_code == 0, done.output
    event: int = json.loads(done.output)["event"]
    return event


def listed(gatehouse: Gatehouse, *words: str) -> dict[int, Any]:
    return {each["event"]: each["why_not"] for each in json.loads(gatehouse("list", "--json", *words).output)}


def test_what_was_replaced_is_not_listed_as_if_it_counted(gatehouse: Gatehouse, tmp_path: Path) -> None:
    """Only the newest of a source is listed; with --all the others say which has replaced them, and for whose runs it has not."""
    first, second, third = (signed(gatehouse, tmp_path, who) for who in ("olga", "otto", "otto"))
    assert listed(gatehouse) == {third: ""}
    assert listed(gatehouse, "--all") == {
        third: "",
        second: f"replaced by {third}",
        first: f"replaced by {third}, but for the runs of otto",
    }
    assert f"replaced by {third}" in " ".join(gatehouse("list", "--all").output.split())
    fourth = signed(gatehouse, tmp_path, "olga")
    assert listed(gatehouse, "--all")[first] == f"replaced by {fourth}"


def test_one_that_was_withdrawn_has_replaced_the_one_before_it(gatehouse: Gatehouse, tmp_path: Path) -> None:
    """As the gate has it: no older one takes its place, so nothing is listed."""
    first, second = signed(gatehouse, tmp_path, "olga"), signed(gatehouse, tmp_path, "olga")
    assert gatehouse("withdraw", str(second), "--reason", "x").exit_code == 0
    assert gatehouse("list").output == "no classification counts\n"
    assert listed(gatehouse, "--all") == {second: "withdrawn", first: f"replaced by {second}"}


def test_a_second_withdrawal_is_refused(gatehouse: Gatehouse, tmp_path: Path) -> None:
    """One clear error that says who withdrew it, and nothing is recorded."""
    number = signed(gatehouse, tmp_path, "olga")
    first = json.loads(gatehouse("withdraw", str(number), "--reason", "x", "--json").output)["event"]
    again = gatehouse("withdraw", str(number), "--reason", "x", who="otto")
    assert again.exit_code == 2 and f"classification {number} was ended already, by olga on" in again.output, again.output
    assert f"[{first}]" in again.output and "Traceback" not in again.output
    assert signed(gatehouse, tmp_path, "olga") == first + 1
