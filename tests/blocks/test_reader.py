"""Reading by reference, from a real Prefect server: Secret, AwsSecret on moto's Secrets Manager, VaultSecret on Vault."""

from __future__ import annotations

import json
import traceback
from typing import Any
from uuid import uuid4

import pytest
from prefect.blocks.system import Secret
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_aws import AwsClientParameters
from prefect_aws.secrets_manager import AwsSecret
from pydantic import SecretStr
from tests.services import free_port
from tests.services.moto_server import REGION, SECRET_KEY, MotoServer
from tests.services.vault_server import VaultServer

from prefect_gatehouse.blocks.reader import read_secret, register
from prefect_gatehouse.blocks.vault import VaultSecret
from prefect_gatehouse.errors import Denied, GatehouseError, Unavailable
from prefect_gatehouse.secrets.lease import SecretText

pytestmark = pytest.mark.usefixtures("stack")

CANARY = "canary-value-4417"


def name_of(what: str) -> str:
    """A block's name that no other test has."""
    return f"{what}-{uuid4().hex[:8]}"


def told(error: BaseException) -> str:
    """Everything that a log could show of an error."""
    text = "".join(traceback.format_exception(error)) + repr(error) + repr(getattr(error, "as_dict", dict)())
    assert CANARY not in text
    assert SECRET_KEY not in text
    return text


def aws(moto: MotoServer, secret: str, **changes: Any) -> str:
    """Saves an AwsSecret block and gives its reference."""
    name = name_of("aws")
    credentials = moto.credentials().model_copy(update=changes)
    credentials.save(name)
    AwsSecret(aws_credentials=credentials, secret_name=secret).save(name)
    return f"aws-secret/{name}"


def vault_block(vault: VaultServer, **changes: Any) -> str:
    """Saves a VaultSecret block and gives its reference."""
    name = name_of("vault")
    VaultSecret(**{"url": vault.url, "path": "reader", "token": SecretStr(vault.root_token), **changes}).save(name)
    return f"vault-secret/{name}"


@pytest.mark.parametrize(
    ("value", "field", "text"),
    [
        (CANARY, "", CANARY),
        (json.dumps({"password": CANARY}), "#password", CANARY),
        ({"password": CANARY, "user": "u"}, "#password", CANARY),
        ({"password": CANARY}, "", json.dumps({"password": CANARY})),
    ],
)
def test_prefect_secret(value: Any, field: str, text: str) -> None:
    """The whole text, or one field of a JSON object."""
    name = name_of("secret")
    Secret(value=value).save(name)
    assert read_secret(f"secret/{name}{field}").reveal() == text


@pytest.mark.parametrize(
    ("value", "field"), [(CANARY, "#password"), ({"password": 7}, "#password"), ({"a": CANARY}, "#b"), ([CANARY], "#0"), ("", ""), (7, "")]
)
def test_a_prefect_secret_without_that_text(value: Any, field: str) -> None:
    """No such field, no text, nothing at all: unavailable, in words that hold no value."""
    name = name_of("secret")
    Secret(value=value).save(name)
    with pytest.raises(Unavailable) as gone:
        read_secret(f"secret/{name}{field}")
    assert not gone.value.retry
    told(gone.value)


def test_aws_secret(moto: MotoServer) -> None:
    """The newest version of a secret of Secrets Manager, with the version that was used."""
    client = moto.client("secretsmanager")
    client.create_secret(Name="reader/plain", SecretString="first")
    newest = client.put_secret_value(SecretId="reader/plain", SecretString=CANARY)["VersionId"]
    secret = read_secret(aws(moto, "reader/plain"))
    assert (secret.reveal(), secret.version) == (CANARY, newest)


def test_aws_field_and_binary(moto: MotoServer) -> None:
    """One field of a JSON secret, and a secret that was stored as bytes of text."""
    client = moto.client("secretsmanager")
    client.create_secret(Name="reader/json", SecretString=json.dumps({"url": CANARY}))
    client.create_secret(Name="reader/binary", SecretBinary=CANARY.encode())
    assert read_secret(aws(moto, "reader/json") + "#url").reveal() == CANARY
    assert read_secret(aws(moto, "reader/binary")).reveal() == CANARY


@pytest.mark.parametrize("attack", ["missing", "deleted", "no-field", "no-text"])
def test_an_aws_secret_that_is_not_there(moto: MotoServer, attack: str) -> None:
    """A missing or deleted secret, a missing field and bytes that are no text: asking again would not help, and is not advised."""
    client = moto.client("secretsmanager")
    name, field = f"reader/{attack}", ""
    if attack == "deleted":
        client.create_secret(Name=name, SecretString=CANARY)
        client.delete_secret(SecretId=name)
    elif attack == "no-field":
        client.create_secret(Name=name, SecretString=json.dumps({"url": CANARY}))
        field = "#password"
    elif attack == "no-text":
        client.create_secret(Name=name, SecretBinary=b"\xff\xfe" + CANARY.encode())
    with pytest.raises(Unavailable) as gone:
        read_secret(aws(moto, name) + field)
    assert not gone.value.retry
    assert gone.value.advice
    told(gone.value)


def test_aws_refuses(moto: MotoServer) -> None:
    """With sign-in enforced, a key that nobody has is denied, not taken for a server that is down."""
    import httpx

    moto.client("secretsmanager").create_secret(Name="reader/guarded", SecretString=CANARY)
    reference = aws(moto, "reader/guarded")
    httpx.post(f"{moto.url}/moto-api/reset-auth", content=b"0").raise_for_status()
    try:
        with pytest.raises(Denied, match="refuses the read") as refused:
            read_secret(reference)
    finally:
        httpx.post(f"{moto.url}/moto-api/reset-auth", content=b"inf").raise_for_status()
    told(refused.value)
    assert read_secret(reference).reveal() == CANARY


def test_aws_is_down(moto: MotoServer) -> None:
    """Nobody listens at the endpoint: unavailable, and asking again is harmless."""
    down = AwsClientParameters(endpoint_url=f"http://127.0.0.1:{free_port()}", config={"retries": {"max_attempts": 0}})
    with pytest.raises(Unavailable, match="does not answer") as gone:
        read_secret(aws(moto, "reader/any", aws_client_parameters=down, region_name=REGION))
    assert gone.value.retry
    told(gone.value)


def test_vault_secret(vault: VaultServer) -> None:
    """A stored VaultSecret block reads its field, or the one that the reference names."""
    vault.client().secrets.kv.v2.create_or_update_secret(path="reader", secret={"value": CANARY, "other": "another"})
    reference = vault_block(vault)
    secret = read_secret(reference)
    assert (secret.reveal(), secret.version) == (CANARY, "1")
    assert read_secret(f"{reference}#other").reveal() == "another"


def test_vault_errors_pass_unchanged(vault: VaultServer) -> None:
    """What the block says reaches the caller: refused is denied, missing is unavailable."""
    with pytest.raises(Denied):
        read_secret(vault_block(vault, token=SecretStr("hvs.wrong")))
    with pytest.raises(Unavailable, match="no such secret"):
        read_secret(vault_block(vault, path="nowhere"))


@pytest.mark.parametrize("reference", ["secret/no-such-block", "aws-secret/no-such-block", "vault-secret/no-such-block#x"])
def test_a_missing_block(reference: str) -> None:
    """The block's place is named, and what to do."""
    with pytest.raises(Unavailable, match="no such block") as gone:
        read_secret(reference)
    assert gone.value.where == reference.partition("#")[0]
    assert "no-such-block" in gone.value.advice


@pytest.mark.parametrize("reference", ["slack-webhook/x", "s3-bucket/x", "json/x", "", "secret", "SECRET/x"])
def test_a_type_that_is_not_read(reference: str) -> None:
    """A block that is no secret store is not read, whatever it holds."""
    with pytest.raises(GatehouseError):
        read_secret(reference)


def test_prefect_is_down() -> None:
    """Without a server the block can't be loaded: unavailable, and asking again is harmless."""
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}), pytest.raises(Unavailable) as gone:
        read_secret("secret/any")
    assert gone.value.retry
    told(gone.value)


def test_another_type_can_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """One function makes a type readable, and what it raises does not get out as it is."""
    from prefect_gatehouse.blocks import reader

    monkeypatch.setattr(reader, "_READERS", dict(reader._READERS))
    name = name_of("secret")
    Secret(value=CANARY).save(name)
    register("secret", lambda block, field: SecretText(f"{block.get()}!{field}", version="9"))
    assert (read_secret(f"secret/{name}#f").reveal(), read_secret(f"secret/{name}").version) == (f"{CANARY}!f", "9")

    def failing(block: Any, field: str | None) -> SecretText:
        raise RuntimeError(block.get())

    register("secret", failing)
    with pytest.raises(Unavailable) as gone:
        read_secret(f"secret/{name}")
    told(gone.value)
