"""VaultSecret against a real Vault: both ways to sign in, what it leaves behind, and one clear error for each way it fails."""

from __future__ import annotations

import http.server
import secrets
import socket
import threading
import traceback
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from tests.services import free_port
from tests.services.vault_server import VaultServer

from prefect_gatehouse.blocks.vault import VaultSecret
from prefect_gatehouse.errors import Denied, GatehouseError, Unavailable

PATH = "clinic/warehouse"
FIRST, SECOND = "canary-first-version", "canary-second-version"


@dataclass(frozen=True)
class Ready:
    """A Vault with one secret in two versions and an AppRole that may read it.

    Attributes:
        vault: The server.
        token: May read the secret.
        role_id: The AppRole's.
        secret_id: The AppRole's.
    """

    vault: VaultServer
    token: str
    role_id: str
    secret_id: str

    def by_token(self, **changes: Any) -> VaultSecret:
        return VaultSecret(**{"url": self.vault.url, "path": PATH, "token": SecretStr(self.token), **changes})

    def by_role(self, **changes: Any) -> VaultSecret:
        given = {"url": self.vault.url, "path": PATH, "role_id": self.role_id, "secret_id": SecretStr(self.secret_id)}
        return VaultSecret(**{**given, **changes})

    def accessors(self) -> set[str]:
        """One for each token that lives."""
        return set(self.vault.client().list("auth/token/accessors")["data"]["keys"])

    def told(self, error: BaseException) -> str:
        """Everything that a log could show of an error, checked for secrets."""
        text = "".join(traceback.format_exception(error)) + repr(error) + repr(getattr(error, "as_dict", dict)())
        assert not any(secret in text for secret in (self.token, self.secret_id, self.role_id, self.vault.root_token, FIRST, SECOND))
        return text


@pytest.fixture(scope="module")
def ready(vault: VaultServer) -> Ready:
    root = vault.with_approles()
    for value in (FIRST, SECOND):
        root.secrets.kv.v2.create_or_update_secret(path=PATH, secret={"value": value, "other": "canary-other", "number": 7, "empty": ""})
    root.sys.create_or_update_policy(name="reader", policy=f'path "secret/data/{PATH}" {{ capabilities = ["read"] }}')
    root.auth.approle.create_or_update_approle("gatehouse", token_policies=["reader"], token_ttl="10m")
    root.auth.approle.create_or_update_approle("stranger", token_policies=["default"], token_ttl="10m")
    token = root.auth.token.create(policies=["reader"], ttl="1h")["auth"]["client_token"]
    role_id = root.auth.approle.read_role_id("gatehouse")["data"]["role_id"]
    secret_id = root.auth.approle.generate_secret_id("gatehouse")["data"]["secret_id"]
    return Ready(vault, token, role_id, secret_id)


def test_by_token(ready: Ready) -> None:
    """A token reads the newest version, and the version is known."""
    secret = ready.by_token().read_secret()
    assert (secret.reveal(), secret.version) == (SECOND, "2")


def test_by_approle(ready: Ready) -> None:
    """An AppRole reads the same, and the token that it signed in with is gone afterwards."""
    before = ready.accessors()
    secret = ready.by_role().read_secret()
    assert (secret.reveal(), secret.version) == (SECOND, "2")
    assert ready.accessors() == before


def test_the_given_token_is_not_revoked(ready: Ready) -> None:
    """Reading with somebody's token does not sign that somebody out."""
    for _ in range(2):
        assert ready.by_token().read_secret().reveal() == SECOND


def test_another_field(ready: Ready) -> None:
    """The block's own field, and one that the reference names instead."""
    assert ready.by_token(field="other").read_secret().reveal() == "canary-other"
    assert ready.by_role().read_secret("other").reveal() == "canary-other"


@pytest.mark.parametrize("field", ["missing", "number", "empty"])
def test_a_field_without_text(ready: Ready, field: str) -> None:
    """A field that is missing, empty or no text is unavailable, and nothing is retried."""
    with pytest.raises(Unavailable, match="no such field") as gone:
        ready.by_token().read_secret(field)
    assert not gone.value.retry
    ready.told(gone.value)


def test_a_missing_path(ready: Ready) -> None:
    """No such secret is said as such to whoever may know it."""
    with pytest.raises(Unavailable, match="no such secret") as gone:
        ready.by_token(path="no/such/path", token=SecretStr(ready.vault.root_token)).read_secret()
    assert gone.value.where == "vault-secret secret/no/such/path"
    ready.told(gone.value)


def test_a_deleted_secret(ready: Ready) -> None:
    """A deleted version is a missing one."""
    kv = ready.vault.client().secrets.kv.v2
    kv.create_or_update_secret(path="clinic/deleted", secret={"value": FIRST})
    kv.delete_latest_version_of_secret(path="clinic/deleted")
    with pytest.raises(Unavailable, match="no such secret") as gone:
        ready.by_token(path="clinic/deleted", token=SecretStr(ready.vault.root_token)).read_secret()
    ready.told(gone.value)


@pytest.mark.parametrize(
    "attack", ["wrong-token", "revoked-token", "wrong-secret-id", "wrong-role-id", "no-right", "other-path", "revoked-secret-id"]
)
def test_refused(ready: Ready, attack: str) -> None:
    """Whatever Vault refuses is denied in one sentence that holds no secret, and no token stays behind."""
    root = ready.vault.client()
    if attack == "wrong-token":
        block = ready.by_token(token=SecretStr("hvs." + secrets.token_hex(20)))
    elif attack == "revoked-token":
        token = root.auth.token.create(policies=["reader"])["auth"]["client_token"]
        block = ready.by_token(token=SecretStr(token))
        assert block.read_secret().reveal() == SECOND
        root.auth.token.revoke(token)
    elif attack == "wrong-secret-id":
        block = ready.by_role(secret_id=SecretStr(secrets.token_hex(16)))
    elif attack == "wrong-role-id":
        block = ready.by_role(role_id="nobody")
    elif attack == "no-right":
        stranger = root.auth.approle
        role_id = stranger.read_role_id("stranger")["data"]["role_id"]
        secret_id = stranger.generate_secret_id("stranger")["data"]["secret_id"]
        block = ready.by_role(role_id=role_id, secret_id=SecretStr(secret_id))
    elif attack == "other-path":
        block = ready.by_role(path="clinic/other")
    else:
        made = root.auth.approle.generate_secret_id("gatehouse")["data"]
        block = ready.by_role(secret_id=SecretStr(made["secret_id"]))
        root.auth.approle.destroy_secret_id("gatehouse", made["secret_id"])
    before = ready.accessors()
    with pytest.raises(Denied, match="Vault refuses") as refused:
        block.read_secret()
    assert ready.accessors() == before
    assert refused.value.advice
    text = ready.told(refused.value)
    assert all(part.get_secret_value() not in text for part in (block.token, block.secret_id) if part is not None)


@pytest.mark.parametrize("way", ["token", "role"])
def test_nobody_listens(ready: Ready, way: str) -> None:
    """A Vault that is down is unavailable, and asking again is harmless."""
    url = f"http://127.0.0.1:{free_port()}"
    block = ready.by_token(url=url) if way == "token" else ready.by_role(url=url)
    with pytest.raises(Unavailable, match="does not answer") as gone:
        block.read_secret()
    assert gone.value.retry
    ready.told(gone.value)


def test_nobody_answers(ready: Ready) -> None:
    """A connection that is taken and never answered ends after the block's timeout."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(Unavailable, match="does not answer") as gone:
            ready.by_token(url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.3).read_secret()
    ready.told(gone.value)


def test_sealed(ready: Ready) -> None:
    """A sealed Vault (503) is unavailable, not a refusal."""
    with _answering(503, b'{"errors":["Vault is sealed"]}') as (url, _), pytest.raises(Unavailable) as gone:
        ready.by_role(url=url).read_secret()
    ready.told(gone.value)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"data":null}', b'{"data":{"data":[]}}', b'{"data":{"data":{"value":"x"}}}'])
def test_an_answer_that_is_none(ready: Ready, body: bytes) -> None:
    """Whatever answers at that address and is no Vault gives our own error, never a foreign one."""
    with _answering(200, body) as (url, _), pytest.raises(GatehouseError) as gone:
        ready.by_token(url=url).read_secret()
    ready.told(gone.value)


def test_a_token_of_the_caller_is_never_sent(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """An AppRole signs in with itself: what VAULT_TOKEN holds does not go to the address in the block."""
    monkeypatch.setenv("VAULT_TOKEN", "canary-token-of-the-operator")
    with _answering(400, b'{"errors":["invalid role or secret ID"]}') as (url, seen), pytest.raises(Denied):
        ready.by_role(url=url).read_secret()
    assert seen
    assert not any("canary" in line for line in seen)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"token": "t", "role_id": "r", "secret_id": "s"},
        {"role_id": "r"},
        {"secret_id": "s"},
        {"token": "t", "secret_id": "s"},
    ],
)
def test_exactly_one_way_in(fields: dict[str, str]) -> None:
    """A block that names no way to sign in, half of one, or two, can't be saved."""
    with pytest.raises(ValidationError, match="either a token, or a role id"):
        VaultSecret(url="http://127.0.0.1:1", path="p", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change", [{"url": "ftp://vault"}, {"url": "vault"}, {"timeout": 0}, {"timeout": 1e9}, {"path": ""}, {"field": ""}, {"mount": ""}]
)
def test_bounds(change: dict[str, Any]) -> None:
    """Addresses, times and names outside their bounds are refused when the block is made."""
    with pytest.raises(ValidationError):
        VaultSecret(**{"url": "http://127.0.0.1:1", "path": "p", "token": "t", **change})


class _answering:  # noqa: N801 - reads as a verb in a with statement
    """A server that answers every request with the same status and body and notes the headers that it got."""

    def __init__(self, status: int, body: bytes) -> None:
        seen: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def _any(self) -> None:
                seen.extend(f"{name}: {value}" for name, value in self.headers.items())
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self._any()

            def do_POST(self) -> None:
                self._any()

            def do_PUT(self) -> None:
                self._any()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                """Nothing on the screen."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._seen = seen

    def __enter__(self) -> tuple[str, list[str]]:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}", self._seen

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
