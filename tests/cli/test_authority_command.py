"""`gatehouse people authority`: add, list, revoke, remove - each recorded before it takes effect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.identity.keys import fingerprint, generate_key


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_HOME", str(tmp_path / "home"))


def people(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["people", *map(str, words)], prog_name="gatehouse")


def listed() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(people("authority", "list", "--json").output)
    return found


def test_an_authority_from_end_to_end(tmp_path: Path) -> None:
    """Added with groups, changed, revoked from and removed; the registry is as recorded, and the history has each act with its reason."""
    mark = fingerprint(generate_key(tmp_path / "ca", ""))
    public = tmp_path / "ca.pub"
    people("add", "ada", "--role", "approver")
    added = people("authority", "add", public, "--names", "*@example.org,ada", "--group", "staff=approver", "--reason", "ours")
    assert added.exit_code == 0, added.output
    assert people("authority", "revoke", mark, "--serial", "17", "--reason", "lost").exit_code == 0
    again = people("authority", "revoke", mark, "--serial", "17", "--reason", "lost")
    assert again.exit_code == 2 and "this was revoked already" in again.output
    assert people("authority", "add", public, "--names", "*", "--group", "a=approver", "--group", "a=requester").exit_code == 0
    whole = {"authority": mark, "names": "*", "groups": {"a": ["approver", "requester"]}, "revoked_serials": [17], "revoked_keys": []}
    assert listed() == [whole]
    assert "17" in people("authority", "list").output
    assert people("authority", "remove", mark).exit_code == 0
    assert listed() == []
    history = json.loads(people("history", "--json").output)
    assert history["as_recorded"] is True
    acts = [(each["action"], each.get("reason", "")) for each in history["changes"]]
    added_twice = ("add-authority", "")
    assert acts[1:] == [("add-authority", "ours"), ("revoke-certificate", "lost"), added_twice, ("remove-authority", "")]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("add", "KEY", "--group", "staff=root"), "no group with a role"),
        (("add", "KEY", "--names", "two words"), "no patterns"),
        (("revoke", "SHA256:none", "--serial", "1"), "no such authority"),
        (("revoke", "SHA256:none"), "neither a serial number"),
        (("remove", "SHA256:none"), "no such authority"),
    ],
)
def test_what_is_refused_is_not_recorded(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    """One clear error, and no event of a change that was not made."""
    generate_key(tmp_path / "ca", "")
    people("add", "ada", "--role", "approver")
    refused = people("authority", *(str(tmp_path / "ca.pub") if word == "KEY" else word for word in words))
    assert refused.exit_code == 2
    assert says in refused.output
    assert [each["action"] for each in json.loads(people("history", "--json").output)["changes"]] == ["add-person"]


def test_a_person_s_key_is_no_authority(tmp_path: Path) -> None:
    """Nor is an authority's key a person's."""
    generate_key(tmp_path / "one", "")
    generate_key(tmp_path / "two", "")
    people("add", "ada", "--role", "approver", "--key", tmp_path / "one.pub")
    assert "is a person's" in people("authority", "add", tmp_path / "one.pub").output
    people("authority", "add", tmp_path / "two.pub")
    assert "another person's" in people("add", "ada", "--role", "approver", "--key", tmp_path / "two.pub").output
