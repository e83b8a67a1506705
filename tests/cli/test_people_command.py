"""`gatehouse people`: add, list, revoke - and what the registry refuses."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.identity.attestations import Vendor

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.identity.keys import fingerprint, generate_key


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATEHOUSE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def people(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["people", *map(str, words)], prog_name="gatehouse")


def listed() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(people("list", "--json").output)
    return found


def key(folder: Path, name: str) -> tuple[Path, str]:
    """A new key's public file and fingerprint."""
    return folder / f"{name}.pub", fingerprint(generate_key(folder / name, name))


def test_add_list_revoke(tmp_path: Path) -> None:
    """A person with a key and two roles is listed until revoked."""
    public, mark = key(tmp_path, "one")
    added = people("add", "Ada@Example.org", "--role", "requester", "--role", "approver", "--key", public)
    assert added.exit_code == 0
    whole = {"person": "ada@example.org", "roles": ["approver", "requester"], "clearance": "public", "keys": [mark], "totp": False}
    assert listed() == [whole]
    assert "ada@example.org" in people("list").output
    assert people("revoke", "ada@example.org").exit_code == 0
    assert listed() == []
    again = people("revoke", "ada@example.org")
    assert again.exit_code == 2 and "there is no such person or key" in again.stderr
    assert [each["action"] for each in json.loads(people("history", "--json").output)["changes"]] == ["add-person", "revoke-person"]


def test_add_grows_what_is_there(tmp_path: Path) -> None:
    """Adding again adds a key and a role and takes nothing away."""
    (first, one), (second, two) = key(tmp_path, "one"), key(tmp_path, "two")
    people("add", "ada", "--role", "requester", "--key", first)
    people("add", "ada", "--role", "auditor", "--key", second)
    (ada,) = listed()
    assert (ada["roles"], set(ada["keys"])) == (["auditor", "requester"], {one, two})


def test_clearance(tmp_path: Path) -> None:
    """Public unless given; raised and lowered by giving it again, and kept where it is not given."""
    public, _ = key(tmp_path, "one")
    steps = [((), "public"), (("--clearance", "restricted"), "restricted"), ((), "restricted"), (("--clearance", "internal"), "internal")]
    for words, wanted in steps:
        added = people("add", "Ada", "--role", "requester", "--key", public, *words, "--json")
        assert json.loads(added.output)["clearance"] == wanted == listed()[0]["clearance"]
    assert "cleared for internal" in people("add", "ada", "--role", "requester").output
    assert people("add", "ada", "--role", "requester", "--clearance", "secret").exit_code == 2
    people("revoke", "ada")
    people("add", "ada", "--role", "requester")
    assert listed()[0]["clearance"] == "public"  # a revoked person's clearance does not come back with the name


def test_revoke_one_key(tmp_path: Path) -> None:
    """One key goes, the person and the other key stay."""
    (first, one), (second, two) = key(tmp_path, "one"), key(tmp_path, "two")
    for public in (first, second):
        people("add", "ada", "--role", "approver", "--key", public)
    assert people("revoke", "ada", "--fingerprint", one).exit_code == 0
    assert [item["keys"] for item in listed()] == [[two]]
    again = people("revoke", "ada", "--fingerprint", one, "--json")
    assert (again.exit_code, json.loads(again.output)["error"]) == (2, "input")


def test_one_time_codes_are_shown_once(home: Path) -> None:
    """The shared secret is printed when it is made, kept for its owner alone, and never listed."""
    added = people("add", "ada", "--role", "approver", "--totp", "--json")
    uri = json.loads(added.output)["totp_uri"]
    assert uri.startswith("otpauth://totp/")
    secret = uri.partition("secret=")[2].partition("&")[0]
    assert len(secret) >= 32
    assert json.loads(people("add", "ada", "--role", "approver", "--totp", "--json").output)["totp_uri"] is None
    assert secret not in people("list").output + people("list", "--json").output
    for path in (home / "people").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 or path.name == ".lock", path


def test_a_key_belongs_to_one_person(tmp_path: Path) -> None:
    """The same key under a second name is refused: approvals are compared by person."""
    public, _ = key(tmp_path, "one")
    people("add", "ada", "--role", "requester", "--key", public)
    told = people("add", "bob", "--role", "approver", "--key", public)
    assert told.exit_code == 2
    assert "another person's" in told.stderr
    assert [item["person"] for item in listed()] == ["ada"]


def test_a_private_key_is_not_taken(tmp_path: Path, home: Path) -> None:
    """Whoever gives the private half by mistake is told so, and nothing of it is kept or shown."""
    key(tmp_path, "one")
    told = people("add", "ada", "--role", "approver", "--key", tmp_path / "one")
    assert told.exit_code == 2
    assert "PRIVATE" not in told.output
    assert not home.exists() or all("PRIVATE" not in path.read_text() for path in home.rglob("*") if path.is_file())


@pytest.mark.parametrize("person", ["", " ", "a b", "../../x", "a\nb", "unverified", "UNVERIFIED", "*", "a,b", "ä@example.org", "x" * 200, "-rf"])
def test_what_is_no_person(person: str, home: Path) -> None:
    """Identifiers that could be read as a path, a pattern, several people or nobody are refused."""
    told = people("add", "--role", "approver", "--totp", "--json", "--", person)
    assert told.exit_code == 2
    assert json.loads(told.output)["error"] == "input"
    assert listed() == []


def test_a_spoilt_registry_is_said(home: Path) -> None:
    """A registry that can't be understood stops everybody, loudly."""
    people("add", "ada", "--role", "approver")
    (home / "people" / "people.json").write_text("{")
    told = people("list", "--json")
    assert (told.exit_code, json.loads(told.output)["error"]) == (7, "tampered")


def test_names_are_not_markup(home: Path, tmp_path: Path) -> None:
    """A role is needed, and a name with brackets is text, not colour."""
    assert people("add", "ada").exit_code == 2
    told = people("add", "[bold]x[/]", "--role", "approver")
    assert told.exit_code == 2


def test_every_change_is_told(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who, what and why; the exit code says whether the files are as the last change left them."""
    monkeypatch.setenv("COLUMNS", "240")
    public, _ = key(tmp_path, "one")
    assert (
        people("add", "ada@example.org", "--role", "approver", "--key", public, "--valid-before", "20991231Z", "--reason", "new here").exit_code == 0
    )
    assert people("revoke", "ada@example.org", "--reason", "left the house").exit_code == 0
    told = people("history", "--json")
    assert told.exit_code == 0
    data = json.loads(told.output)
    assert [(each["action"], each["whom"], each["reason"]) for each in data["changes"]] == [
        ("add-person", "ada@example.org", "new here"),
        ("revoke-person", "ada@example.org", "left the house"),
    ]
    assert data["as_recorded"] is True and "left the house" in people("history").output
    (home / "people" / "people.json").write_text('{"people": {"eve@example.org": {"roles": ["approver"]}}}')
    assert people("history").exit_code == 1 and "NOT what" in people("history").output
    refused = people("add", "bob@example.org", "--role", "requester")
    assert refused.exit_code != 0 and "not what its recorded changes" in refused.output
    assert people("accept").exit_code == 2
    assert people("accept", "--reason", "Eve is one of us").exit_code == 0
    assert people("history").exit_code == 0
    for option in ("--valid-after", "--valid-before"):
        wrong = people("add", "ada@example.org", "--role", "approver", "--key", public, option, "tomorrow")
        assert wrong.exit_code == 2 and option in wrong.output


def test_a_key_that_is_named_and_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One error that names setting and file; nobody is added, and no event is left."""
    monkeypatch.setenv("GATEHOUSE_IDENTITY", str(tmp_path / "absent"))
    told = people("add", "ada", "--role", "requester")
    assert told.exit_code == 2 and told.stderr.startswith(f"error: GATEHOUSE_IDENTITY={tmp_path / 'absent'}: "), told.stderr
    assert listed() == [] and json.loads(people("history", "--json").output)["changes"] == []


def test_the_history_names_what_was_added_and_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has each key's, authority's and root's fingerprint, a provider's name and a certificate's number; nothing changed is no error."""
    monkeypatch.setenv("COLUMNS", "240")
    nothing = people("history")
    assert (nothing.exit_code, nothing.output) == (0, "the registry is without a recorded change\n")
    (public, mine), (ca, authority), (_, lost) = key(tmp_path, "one"), key(tmp_path, "ca"), key(tmp_path, "lost")
    vendor = Vendor()
    (tmp_path / "root.pem").write_bytes(vendor.pem)
    root = json.loads(people("root", "add", tmp_path / "root.pem", "--json").output)["roots"][0]
    steps: list[tuple[tuple[str | Path, ...], tuple[str, ...]]] = [
        (("add", "ada", "--role", "requester", "--key", public), ("add-person", "ada", mine)),
        (("revoke", "ada", "--fingerprint", mine), ("revoke-key", "ada", mine)),
        (("authority", "add", ca), ("add-authority", authority)),
        (("authority", "revoke", authority, "--serial", "17"), ("revoke-certificate", authority, "certificate 17")),
        (("authority", "revoke", authority, "--fingerprint", lost), ("revoke-certificate", authority, f"certificates of {lost}")),
        (("authority", "remove", authority), ("remove-authority", authority)),
        (("provider", "add", "https://id.example", "--audience", "a"), ("add-provider", "https://id.example")),
        (("root", "remove", root), ("remove-root", root)),
    ]
    for words, _ in steps:
        assert people(*words).exit_code == 0, words
    rows = people("history").output.splitlines()[2:]
    assert "add-root" in rows[0] and root in rows[0]
    for row, (_, told) in zip(rows[1:], steps, strict=False):
        assert all(word in row for word in told), (row, told)
