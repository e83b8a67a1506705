"""`gatehouse inbox`: what waits, in whose order, for whom, and why not."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.support.gates import Desk
from tests.support.plans import RUN

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.identity.keys import fingerprint, generate_key, public_line
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.events import RunEnded, RunSuspended
from prefect_gatehouse.ledger.opening import open_ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate import quarantine


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
        ("gone", {"approver"}, DataClass.RESTRICTED),
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
        ("aud", "this person has not the role approver"),
        ("gone", "principal gone is in quarantine, by ann since"),
    ],
)
def test_what_does_not_wait_for_me(desk: Desk, who: str, why: str) -> None:
    """It is not listed, said to be there, and with ``--all`` listed with what the gate would say to their answer."""
    with open_ledger(desk.settings) as ledger:
        quarantine.impose(desk.settings.model_copy(update={"identity": desk.folder.parent / "ann"}), ledger, "gone", "Lost a laptop")
    assert inbox(desk, who, "--json") == []
    assert inbox(desk, who) == f"nothing waits for {who}; 1 wait for others: gatehouse inbox --all\n"
    (item,) = inbox(desk, who, "--all", "--json")
    assert item["mine"] is False and item["not_mine"].startswith(why)


def test_what_the_policy_does_not_let_me_answer(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The inbox asks what the gate asks, an administrator's own rule too: what is not to be approved by Ann does not wait for her."""
    shutil.copytree(desk.settings.policies, tmp_path / "policies")
    rule = 'forbid (principal == Gatehouse::Signer::"ann", action == Gatehouse::Action::"approve", resource);'
    (tmp_path / "policies" / "own.cedar").write_text(f'@id("own")\n@reason("{{what}} by somebody else")\n{rule}\n')
    monkeypatch.setenv("GATEHOUSE_POLICIES", str(tmp_path / "policies"))
    assert inbox(desk, "ann", "--json") == [] and len(inbox(desk, "bob", "--json")) == 1
    (item,) = inbox(desk, "ann", "--all", "--json")
    assert item["not_mine"].endswith("by somebody else [own]")


def test_nobody_is_told_so(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a key that the registry does not have, or without any: what the key is, where it is looked for and what to do, beside the list."""
    line = generate_key(tmp_path / "new", "")
    told = CliRunner().invoke(main, ["inbox"], env={"GATEHOUSE_IDENTITY": str(tmp_path / "new")})
    assert told.exit_code == 0 and told.stdout == "nothing waits for nobody in the registry; 1 wait for others: gatehouse inbox --all\n"
    for words in (fingerprint(line), str(tmp_path / "new"), "GATEHOUSE_IDENTITY", f"people add YOU --role approver --key {tmp_path / 'new'}.pub"):
        assert words in told.stderr
    listed = CliRunner().invoke(main, ["inbox", "--all", "--json"], env={"GATEHOUSE_IDENTITY": str(tmp_path / "new")})
    assert json.loads(listed.stdout)[0]["not_mine"] == "your key is nobody's in the registry" and "nobody is known by your key" in listed.stderr
    assert not desk.settings.identity_key().exists()
    none = CliRunner().invoke(main, ["inbox"])
    assert f"there is no key at {desk.settings.identity_key()}" in none.stderr and "gatehouse init" in none.stderr


def test_a_key_that_is_named_and_not_there(desk: Desk, tmp_path: Path) -> None:
    """One error that names setting and file, in place of an empty list."""
    told = CliRunner().invoke(main, ["inbox"], env={"GATEHOUSE_IDENTITY": str(tmp_path / "absent")})
    assert told.exit_code == 2 and f"GATEHOUSE_IDENTITY={tmp_path / 'absent'}" in told.stderr.replace("\n", "") and told.stdout == ""


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
