"""The servers of the tests are real ones that answer, and a missing one is never passed over in CI."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx
import pytest

from tests.services import postgres_server, unavailable, vault_server
from tests.services.moto_server import ACCESS_KEY, MotoServer
from tests.services.postgres_server import PostgresServer
from tests.services.vault_server import VaultServer

ROOT = Path(__file__).resolve().parents[2]


def test_moto_answers_as_secrets_manager(moto: MotoServer) -> None:
    """A secret written through boto3 is read through boto3, with a version, from our own endpoint."""
    client = moto.client("secretsmanager")
    made = client.create_secret(Name="services/answer", SecretString="42")
    read = client.get_secret_value(SecretId="services/answer")
    assert (read["SecretString"], read["VersionId"]) == ("42", made["VersionId"])
    assert client.meta.endpoint_url == moto.url


def test_moto_never_sees_a_real_key(moto: MotoServer) -> None:
    """The block that the tests sign in with holds the fixed key, and names the server on this machine."""
    credentials = moto.credentials()
    assert credentials.aws_access_key_id == ACCESS_KEY
    assert credentials.aws_client_parameters.endpoint_url == moto.url
    assert moto.url.startswith("http://127.0.0.1:")


def test_postgres_answers(postgres: PostgresServer) -> None:
    """A new database takes rows and gives them back."""
    name = postgres.new_database()
    with postgres.connect(name) as connection:
        connection.execute("CREATE TABLE t (n bigint)")
        connection.execute("INSERT INTO t SELECT generate_series(1, 10)")
        assert connection.execute("SELECT sum(n), current_database() FROM t").fetchone() == (55, name)


def test_postgres_asks_for_the_password(postgres: PostgresServer) -> None:
    """A wrong password is refused, so that a test which prints none proves something."""
    import psycopg

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url(password="wrong").replace("+psycopg", "")).close()


def test_vault_answers(vault: VaultServer) -> None:
    """The server is Vault, unsealed, and its KV engine keeps versions."""
    health = httpx.get(f"{vault.url}/v1/sys/health").json()
    assert (health["initialized"], health["sealed"]) == (True, False)
    kv = vault.client().secrets.kv.v2
    for value in ("one", "two"):
        kv.create_or_update_secret(path="services/answer", secret={"value": value})
    read = kv.read_secret_version(path="services/answer", raise_on_deleted_version=True)["data"]
    assert (read["data"]["value"], read["metadata"]["version"]) == ("two", 2)


def test_a_missing_server_skips_on_a_desk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the switch the test is skipped, and the reason is said."""
    monkeypatch.delenv("GATEHOUSE_REQUIRE_SERVICES", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no such server"):
        unavailable("no such server")


def test_a_missing_postgres_fails_in_ci(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the switch, a machine without PostgreSQL fails instead of skipping."""
    monkeypatch.setenv("GATEHOUSE_REQUIRE_SERVICES", "1")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(postgres_server, "BINARIES", tmp_path)
    with pytest.raises(pytest.fail.Exception, match="no PostgreSQL server, and GATEHOUSE_REQUIRE_SERVICES=1"), postgres_server.postgres_server():
        raise AssertionError("a server came from nowhere")


def test_a_missing_vault_fails_in_ci(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the switch, a machine that can neither find nor build Vault fails instead of skipping."""
    monkeypatch.setenv("GATEHOUSE_REQUIRE_SERVICES", "1")
    monkeypatch.setenv("GATEHOUSE_TEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match="no go to build Vault with, and GATEHOUSE_REQUIRE_SERVICES=1"):
        vault_server.vault_binary()


@pytest.mark.parametrize(("required", "outcome"), [("1", "1 error"), ("", "1 skipped")])
def test_the_whole_session_shows_it(tmp_path: Path, required: str, outcome: str) -> None:
    """A pytest of its own whose fixture finds no server ends red with the switch, and merely skips without it."""
    (tmp_path / "test_needs_a_server.py").write_text(
        textwrap.dedent(
            """
            import pytest
            from tests.services import unavailable

            @pytest.fixture
            def server():
                unavailable("nothing here")

            def test_needs_it(server):
                assert server
            """
        )
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(tmp_path), str(tmp_path)]
    environment = {"PATH": "", "PYTHONPATH": str(ROOT), "GATEHOUSE_REQUIRE_SERVICES": required}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert outcome in done.stdout, json.dumps([done.stdout, done.stderr])
    assert (done.returncode != 0) is (required == "1")
