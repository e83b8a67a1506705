"""`gatehouse inbox`: what waits, in whose order, for whom, and why not."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.support.gates import Desk
from tests.support.plans import RUN

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.identity.keys import generate_key, public_line
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.events import RunEnded, RunSuspended
from prefect_gatehouse.manifest.fields import DataClass


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A run whose plan waits, and people with keys."""
    made = Desk(tmp_path, rehearsal="skip")
    made.planned()
    made.attempt.record("suspended:1:k", RunSuspended(until=time.time() + 3600))
    people = People(made.settings.people_folder())
    for person, roles, clearance in (
        ("ann", {"approver"}, DataClass.RESTRICTED),
        ("bob", {"approver"}, DataClass.RESTRICTED),
        ("eve", {"approver"}, DataClass.PUBLIC),
        ("aud", {"auditor"}, DataClass.RESTRICTED),
    ):
        key = tmp_path / person
        line = public_line(key) if key.exists() else generate_key(key, "")
        people.add(person, key=line, roles=frozenset(roles), totp=False, clearance=clearance)  # type: ignore[arg-type]
    monkeypatch.setenv("GATEHOUSE_HOME", str(made.settings.home))
    return made


def inbox(desk: Desk, who: str, *words: str) -> Any:
    environment = {"GATEHOUSE_IDENTITY": str(desk.folder.parent / who)}
    done = CliRunner().invoke(main, ["inbox", *words], prog_name="gatehouse", env=environment, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.output) if "--json" in words else done.output


def test_what_waits_for_me(desk: Desk) -> None:
    """Who asks for what at what cost, how many have approved, and when it closes."""
    (item,) = inbox(desk, "ann", "--json")
    assert (item["run"], item["pipeline"], item["ticket"], item["requester"], item["mine"]) == (RUN, "small", "CHG-7", "unverified", True)
    assert (item["approvals"], item["needed"]) == ([], 1)
    shown = inbox(desk, "ann")
    assert "Waiting for ann" in shown and RUN[:8] in shown and "0 of 1" in shown and "23 h" in shown


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ("eve", "this approver is not cleared for data of class restricted"),
        ("aud", "you have not the role approver"),
        ("nobody", "your key is nobody's in the registry"),
    ],
)
def test_what_does_not_wait_for_me(desk: Desk, who: str, why: str) -> None:
    """It is not listed, said to be there, and with ``--all`` listed with the reason."""
    assert inbox(desk, who, "--json") == []
    name = who if who != "nobody" else "nobody in the registry"
    assert inbox(desk, who) == f"nothing waits for {name}; 1 wait for others: gatehouse inbox --all\n"
    (item,) = inbox(desk, who, "--all", "--json")
    assert (item["mine"], item["not_mine"]) == (False, why)


def test_what_i_have_approved_is_not_mine_any_more(desk: Desk) -> None:
    plan = desk.planned()
    desk.answer(plan, "approve")
    desk.attempt.record("suspended:1:again", RunSuspended(until=time.time() + 3600))  # as where a tier wants two
    assert inbox(desk, "bob", "--json") == []
    (item,) = inbox(desk, "ann", "--json")
    assert item["approvals"] == ["bob"]


def test_what_has_ended_waits_for_nobody(desk: Desk) -> None:
    desk.attempt.record("ended", RunEnded(ending="expired"))
    assert inbox(desk, "ann", "--all", "--json") == []
