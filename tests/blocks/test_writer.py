"""Writing by reference, on a real Prefect server, moto's Secrets Manager and a real Vault: only what was read is replaced."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from prefect.blocks.system import Secret
from prefect_aws.secrets_manager import AwsSecret
from pydantic import SecretStr
from tests.services.moto_server import MotoServer
from tests.services.vault_server import VaultServer

from prefect_gatehouse.blocks.reader import read_secret, register
from prefect_gatehouse.blocks.vault import VaultSecret
from prefect_gatehouse.blocks.writer import write_secret
from prefect_gatehouse.errors import Denied, GatehouseError, Unavailable
from prefect_gatehouse.secrets.lease import SecretText

pytestmark = pytest.mark.usefixtures("stack")

OLD, NEW, OTHER = "canary-old-key", "canary-new-key", "canary-other-key"


def told(error: BaseException) -> str:
    """Everything that a log could show of an error."""
    text = "".join(traceback.format_exception(error)) + repr(error) + repr(getattr(error, "as_dict", dict)())
    assert not any(canary in text for canary in (OLD, NEW, OTHER))
    return text


@pytest.fixture(params=["secret", "aws-secret", "vault-secret"])
def store(request: pytest.FixtureRequest) -> tuple[str, Callable[[str], None]]:
    """A block of each type over a secret whose field ``key`` holds OLD beside another field, and how somebody else writes that field."""
    name = f"writer-{uuid4().hex[:8]}"
    if request.param == "secret":

        def save(text: str) -> None:
            Secret(value=json.dumps({"key": text, "other": OTHER})).save(name, overwrite=True)

    elif request.param == "aws-secret":
        moto: MotoServer = request.getfixturevalue("moto")
        client = moto.client("secretsmanager")
        client.create_secret(Name=name, SecretString="{}")
        credentials = moto.credentials()
        credentials.save(name)
        AwsSecret(aws_credentials=credentials, secret_name=name).save(name)

        def save(text: str) -> None:
            client.put_secret_value(SecretId=name, SecretString=json.dumps({"key": text, "other": OTHER}))

    else:
        vault: VaultServer = request.getfixturevalue("vault")
        VaultSecret(url=vault.url, path=name, token=SecretStr(vault.root_token), field="key").save(name)

        def save(text: str) -> None:
            vault.client().secrets.kv.v2.create_or_update_secret(path=name, secret={"key": text, "other": OTHER})

    save(OLD)
    return f"{request.param}/{name}", save


def test_one_field_is_replaced_and_the_others_stay(store: tuple[str, Callable[[str], None]]) -> None:
    """The new text is there, in a new version where the store has versions, and what stood beside it is untouched."""
    reference, _ = store
    before = read_secret(f"{reference}#key")
    after = write_secret(f"{reference}#key", NEW, instead_of=before)
    assert (after.reveal(), read_secret(f"{reference}#key").reveal(), read_secret(f"{reference}#other").reveal()) == (NEW, NEW, OTHER)
    assert after.version != before.version or reference.startswith("secret/")


def test_a_secret_that_changed_meanwhile_is_not_overwritten(store: tuple[str, Callable[[str], None]]) -> None:
    """Whoever writes second is told so, and the first one's text stays: no key is lost."""
    reference, save = store
    before = read_secret(f"{reference}#key")
    save("canary-someone-else")
    with pytest.raises(Unavailable, match="changed meanwhile; nothing was written") as late:
        write_secret(f"{reference}#key", NEW, instead_of=before)
    told(late.value)
    assert read_secret(f"{reference}#key").reveal() == "canary-someone-else"


def test_the_whole_text_of_a_prefect_secret() -> None:
    """A reference without a field replaces the whole text."""
    name = f"writer-{uuid4().hex[:8]}"
    Secret(value=OLD).save(name)
    write_secret(f"secret/{name}", NEW, instead_of=read_secret(f"secret/{name}"))
    assert read_secret(f"secret/{name}").reveal() == NEW


def test_an_approle_that_may_only_read_is_denied(vault: VaultServer) -> None:
    """Vault's own policy decides; nothing is written, and no token of the sign-in lives on."""
    client, name = vault.client(), f"writer-{uuid4().hex[:8]}"
    client.secrets.kv.v2.create_or_update_secret(path=name, secret={"value": OLD})
    client.sys.create_or_update_policy(name=name, policy=f'path "secret/data/{name}" {{ capabilities = ["read"] }}')
    client.sys.enable_auth_method("approle", path=name)  # a mount of its own: other tests have theirs
    client.auth.approle.create_or_update_approle(name, token_policies=[name], mount_point=name)
    role = client.auth.approle.read_role_id(name, mount_point=name)["data"]["role_id"]
    secret = client.auth.approle.generate_secret_id(name, mount_point=name)["data"]["secret_id"]
    VaultSecret(url=vault.url, path=name, role_id=role, secret_id=SecretStr(secret), approle_mount=name).save(name)
    before = read_secret(f"vault-secret/{name}")
    living = set(client.list("auth/token/accessors")["data"]["keys"])
    with pytest.raises(Denied, match="refuses") as refused:
        write_secret(f"vault-secret/{name}", NEW, instead_of=before)
    told(refused.value)
    assert set(client.list("auth/token/accessors")["data"]["keys"]) == living
    assert read_secret(f"vault-secret/{name}").reveal() == OLD


def test_a_type_without_a_writer_says_what_to_do() -> None:
    """A store that Gatehouse only reads is changed by hand, and the error says so."""

    def read(block: Any, field: str | None) -> SecretText:
        return SecretText(OLD)

    register("json", read)
    with pytest.raises(Denied, match="are not written") as refused:
        write_secret("json/x", NEW, instead_of=SecretText(OLD))
    assert "by hand" in refused.value.advice


def test_a_block_that_is_gone() -> None:
    """A block that was deleted between reading and writing is one clear error."""
    with pytest.raises(GatehouseError, match="no such block"):
        write_secret("secret/no-such-block", NEW, instead_of=SecretText(OLD))
