"""`gatehouse people service`: what a service is named for, what is refused, and how it is listed and revoked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity.duties import service_for
from prefect_gatehouse.identity.keys import fingerprint, generate_key
from prefect_gatehouse.identity.person import Person
from prefect_gatehouse.identity.services import Service

FETCHES = ("--duty", "archival", "--tenant", "acme", "--block", "vault-secret/acme-*")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATEHOUSE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def people(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["people", *map(str, words)], prog_name="gatehouse")


def test_add_list_revoke(tmp_path: Path) -> None:
    """A service is listed beside people as what it is, with what it may fetch; duties are added; it is revoked as people are."""
    mark = fingerprint(generate_key(tmp_path / "ci", ""))
    assert people("service", "add", "ci", "--role", "requester", "--tenant", "acme", "--key", tmp_path / "ci.pub").exit_code == 0
    assert people("service", "add", "acme-archive", *FETCHES).output == "acme-archive: a service, no role; archival\n"
    assert people("service", "add", "acme-archive", "--duty", "retrieval", "--tenant", "acme", "--block", "secret/results").exit_code == 0
    archive = {"duties": ["archival", "retrieval"], "tenants": ["acme"], "blocks": ["secret/results", "vault-secret/acme-*"]}
    assert json.loads(people("service", "list", "--json").output) == [
        {"service": "acme-archive", "roles": [], **archive, "keys": []},
        {"service": "ci", "roles": ["requester"], "duties": [], "tenants": ["acme"], "blocks": [], "keys": [mark]},
    ]
    assert json.loads(people("list", "--json").output)[0]["service"] == archive
    assert "a service" in people("list").output
    assert people("revoke", "acme-archive").exit_code == 0
    history = json.loads(people("history", "--json").output)["changes"]
    assert [(each["action"], each["whom"]) for each in history] == [
        ("add-service", "ci"),
        ("add-service", "acme-archive"),
        ("add-service", "acme-archive"),
        ("revoke-person", "acme-archive"),
    ]
    assert history[1]["blocks"] == ["vault-secret/acme-*"] and "is what its recorded changes" in people("history").output


REFUSED = {
    "approver": (("--role", "approver"), "a service can't be approver"),
    "nothing": ((), "named for nothing"),
    "asks-for-no-tenant": (("--role", "requester"), "none is given"),
    "no-tenant": (("--duty", "archival", "--block", "secret/x"), "--tenant is missing"),
    "every-block": (("--duty", "archival", "--tenant", "acme", "--block", "*"), "no narrow pattern"),
    "every-type": (("--duty", "archival", "--tenant", "acme", "--block", "*/acme"), "no narrow pattern"),
    "every-name": (("--duty", "archival", "--tenant", "acme", "--block", "secret/*"), "no narrow pattern"),
    "every-tenant": (("--duty", "archival", "--tenant", "*", "--block", "secret/x"), "no tenant"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    """One clear sentence, and nothing is registered."""
    words, why = REFUSED[name]
    refused = people("service", "add", "robot", *words)
    assert refused.exit_code != 0 and why in " ".join(refused.output.split())
    assert json.loads(people("list", "--json").output) == []


def test_a_person_is_no_service(tmp_path: Path) -> None:
    """A name is of one kind, and so is a key."""
    generate_key(tmp_path / "ann", "")
    people("add", "ann", "--role", "approver", "--key", tmp_path / "ann.pub")
    for name, words in {"ann": FETCHES, "robot": ("--role", "requester", "--key", tmp_path / "ann.pub")}.items():
        assert people("service", "add", name, *words).exit_code != 0
    people("service", "add", "robot", *FETCHES)
    assert "a service's" in people("add", "robot", "--role", "approver").output
    assert [each["person"] for each in json.loads(people("list", "--json").output)] == ["ann", "robot"]


@pytest.mark.parametrize(
    ("pattern", "block", "may"),
    [
        ("vault-secret/acme-*", "vault-secret/acme-db", True),
        ("vault-secret/acme-*", "vault-secret/acme-db#password", True),
        ("vault-secret/acme-*#read-*", "vault-secret/acme-db#read-only", True),
        ("vault-secret/acme-*#read-*", "vault-secret/acme-db#password", False),
        ("vault-secret/acme-*#read-*", "vault-secret/acme-db", False),
        ("vault-secret/acme-*", "vault-secret/other", False),
        ("vault-secret/acme-*", "vault-secret-acme/acme-db", False),
        ("secret/a.c", "secret/abc", False),
    ],
)
def test_which_block_a_pattern_is(pattern: str, block: str, may: bool) -> None:
    """Letter by letter; a star stands for letters of the name, or of the field, and of nothing else."""
    assert Service(blocks=(pattern,)).may_fetch(block) is may


def test_which_service_fetches() -> None:
    """The one that is named for duty and tenant and may fetch the block; none where none is named, and neither of two."""
    named = Service(duties=("archival",), tenants=("acme",), blocks=("secret/x*",))
    one, two = (Person(person=name, roles=frozenset(), service=named) for name in "ab")
    assert service_for([one], "archival", "acme", "secret/xy") == one
    assert service_for([one], "submission", "acme", "secret/xy") is service_for([one], "archival", "other", "secret/xy") is None
    with pytest.raises(Denied, match="may not fetch secret/y"):
        service_for([one], "archival", "acme", "secret/y")
    with pytest.raises(Denied, match="both named"):
        service_for([one, two], "archival", "acme", "secret/xy")
