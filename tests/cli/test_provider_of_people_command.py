"""`gatehouse people provider`, and how `gatehouse approve` takes an ID token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from prefect_gatehouse.cli.approve import _Proof
from prefect_gatehouse.cli.main import main
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.methods.oidc import nonce_of
from prefect_gatehouse.operate import sign_in
from prefect_gatehouse.settings import load_settings

ISSUER = "https://login.example.org"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_HOME", str(tmp_path / "home"))


def people(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["people", *map(str, words)], prog_name="gatehouse")


def listed() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(people("provider", "list", "--json").output)
    return found


def test_a_provider_from_end_to_end(tmp_path: Path) -> None:
    """Added, linked, changed with keys, unlinked and removed; the registry is as recorded, and the history has each act."""
    people("add", "ada", "--role", "approver")
    added = people("provider", "add", ISSUER, "--audience", "client", "--group", "staff=approver", "--reason", "ours")
    assert added.exit_code == 0, added.output
    assert people("provider", "link", "Ada", "--issuer", ISSUER, "--subject", "sub-1").exit_code == 0
    (tmp_path / "jwks").write_text('{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}')
    assert people("provider", "add", ISSUER, "--audience", "client", "--jwks", tmp_path / "jwks", "--no-auth-time").exit_code == 0
    entry = {"issuer": ISSUER, "audience": "client", "pinned": True, "groups": {}, "subjects": {"sub-1": "ada"}, "without_auth_time": True}
    assert listed() == [entry]
    assert "ada" in people("provider", "list").output
    assert people("provider", "unlink", "ada", "--reason", "left").exit_code == 0
    assert listed()[0]["subjects"] == {}
    assert people("provider", "remove", ISSUER).exit_code == 0
    history = json.loads(people("history", "--json").output)
    assert history["as_recorded"] is True
    assert [each.get("without_auth_time", False) for each in history["changes"]] == [False, False, False, True, False, False]
    acts = [each["action"] for each in history["changes"]]
    assert acts == ["add-person", "add-provider", "add-subject", "add-provider", "remove-subject", "remove-provider"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("add", "http://login.example.org", "--audience", "c"), "no issuer's address"),
        (("link", "ada", "--issuer", ISSUER, "--subject", "s"), "no such provider"),
        (("unlink", "ada"), "no provider's subject"),
        (("remove", ISSUER), "no such provider"),
    ],
)
def test_what_is_refused_is_not_recorded(words: tuple[str, ...], says: str) -> None:
    """One clear error, and no event of a change that was not made."""
    people("add", "ada", "--role", "approver")
    refused = people("provider", *words)
    assert refused.exit_code == 2
    assert says in refused.output
    assert len(json.loads(people("history", "--json").output)["changes"]) == 1


def test_a_token_comes_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The nonce is told, the token read and told nowhere; two proofs at once are none."""
    (tmp_path / "token").write_text("a.b.c\n")
    settings = load_settings()
    assert _Proof(None, str(tmp_path / "token"), False, "").of(settings, b"statement") == "a.b.c"
    told = capsys.readouterr()
    assert nonce_of(b"statement") in told.err
    assert "a.b.c" not in told.err + told.out
    with pytest.raises(InputError, match="can't be read"):
        _Proof(None, str(tmp_path / "none"), False, "").of(settings, b"")
    with pytest.raises(InputError, match="more than one proof"):
        _Proof("123456", None, True, "").of(settings, b"")
    with pytest.raises(InputError, match="which identity provider"):
        _Proof(None, None, True, "").of(settings, b"")


def test_whoever_has_no_key_signs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the one provider, where there is one; whoever has a key signs with it, and a code is a code."""
    settings, nothing = load_settings(), _Proof(None, None, False, "")
    monkeypatch.setattr(sign_in, "obtain_token", lambda issuer, provider, message, show: f"{issuer} {provider.audience}")
    assert nothing.of(settings, b"") is None  # as long as nobody has a provider: the advice is how to get a key
    people("provider", "add", ISSUER, "--audience", "client")
    assert nothing.of(settings, b"") == f"{ISSUER} client"
    assert _Proof("123456", None, False, "").of(settings, b"") == "123456"
    generate_key(settings.identity_key(), "")
    assert nothing.of(settings, b"") is None
    assert _Proof(None, None, True, "").of(settings, b"") == f"{ISSUER} client"
