"""The tumour example with its write-back address in a real Vault and in Secrets Manager, fetched through blocks just before its use."""

from __future__ import annotations

import re
import runpy
import secrets
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.services.moto_server import MotoServer
from tests.services.vault_server import VaultServer

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "tumour_kernel"
PATIENTS = 569


def in_vault(vault: VaultServer, path: str, address: str) -> tuple[str, str, str]:
    """Stores the address, lets an AppRole read it, and saves a block; returns its reference, the version, and the secret id."""
    from prefect_gatehouse.blocks.vault import VaultSecret

    root = vault.with_approles()
    for number in (1, 2):  # the second version is the one to be read
        root.secrets.kv.v2.create_or_update_secret(path=path, secret={"value": address if number == 2 else "sqlite:///elsewhere.sqlite"})
    root.sys.create_or_update_policy(path, f'path "secret/data/{path}" {{ capabilities = ["read"] }}')
    root.auth.approle.create_or_update_approle(path, token_policies=[path], token_ttl="5m")
    role_id = root.auth.approle.read_role_id(path)["data"]["role_id"]
    secret_id = root.auth.approle.generate_secret_id(path)["data"]["secret_id"]
    VaultSecret(url=vault.url, path=path, role_id=role_id, secret_id=SecretStr(secret_id)).save(path)  # type: ignore[call-arg]
    return f"vault-secret/{path}", "2", secret_id


def in_secrets_manager(moto: MotoServer, name: str, address: str) -> tuple[str, str, str]:
    """Stores the address and saves a block; returns its reference, the version, and the account's secret key."""
    from prefect_aws.secrets_manager import AwsSecret

    version = moto.client("secretsmanager").create_secret(Name=name, SecretString=address)["VersionId"]
    credentials = moto.credentials()
    AwsSecret(aws_credentials=credentials, secret_name=name).save(name)
    return f"aws-secret/{name}", version, str(credentials.aws_secret_access_key.get_secret_value())  # type: ignore[union-attr]


def put_example_in(pipeline: Any, reference: str) -> None:
    """Replaces a pipeline's files by the example's, with the pipeline's token key and a block of its own for the target."""
    token_key = re.search(r"tokenise: (secret/\S+)", pipeline.manifest.read_text())
    assert token_key is not None
    shutil.copytree(EXAMPLE, pipeline.zone, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.csv", "*.sqlite*", "__pycache__"))
    text = pipeline.manifest.read_text().replace("secret/tumour-token-key", token_key[1]).replace("secret/tumour-warehouse", reference)
    assert (text.count(token_key[1]), text.count(reference)) == (2, 2)
    pipeline.manifest.write_text(text)
    assert runpy.run_path(str(EXAMPLE / "source.py"))["write_source"](pipeline.zone / "source.csv") == PATIENTS


@pytest.mark.timeout(1200)  # whoever asks for Vault first builds it
@pytest.mark.parametrize("store", ["vault", "secrets-manager"])
def test_the_example_writes_back_through_a_secret_store(store: str, make_pipeline: Any, request: pytest.FixtureRequest) -> None:
    """All patients arrive; the ledger names block and version of the lease; neither address nor sign-in is in any file of the home."""
    name = f"warehouse-{secrets.token_hex(4)}"
    pipeline = make_pipeline(blocks=(None, f"secret/{name}"))
    target = pipeline.folder / "clinic.sqlite"
    address = f"sqlite:///{target}?timeout=31"  # a part that only the secret has
    if store == "vault":
        vault = request.getfixturevalue("vault")
        reference, version, sign_in = in_vault(vault, name, address)
        living = set(vault.client().list("auth/token/accessors")["data"]["keys"])
    else:
        reference, version, sign_in = in_secrets_manager(request.getfixturevalue("moto"), name, address)
    put_example_in(pipeline, reference)
    run_id = pipeline.complete()
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.log.read_text()

    connection = sqlite3.connect(target)
    rows = connection.execute("SELECT medical_record_number, kernel_accuracy, baseline_accuracy FROM tumour_predictions").fetchall()
    connection.close()
    assert len({row[0] for row in rows}) == len(rows) == PATIENTS
    assert all(row[0].startswith("MRN-") for row in rows)
    assert all(0.85 <= row[1] <= 1 and 0.85 <= row[2] <= 1 for row in rows)

    leases = [event for event in pipeline.ledger.events(run_id, "gate-passed") if event.data["gate"] == "fetch_credential"]
    (lease,) = (event.data["value"] for event in leases if event.data["value"]["purpose"] == "write_back")
    # The environment is the run's, told once: in the manifest that was admitted.
    (admitted,) = (event.data["value"] for event in pipeline.ledger.events(run_id, "gate-passed") if event.data["gate"] == "admit")
    assert (lease["block"], lease["version"], admitted["manifest"]["environment"]) == (reference, version, "local")
    for file in (path for path in pipeline.home.rglob("*") if path.is_file()):
        found = file.read_bytes()
        assert b"timeout=31" not in found and sign_in.encode() not in found, file.name
    if store == "vault":
        assert set(vault.client().list("auth/token/accessors")["data"]["keys"]) <= living, "a token of Vault outlived the run"
