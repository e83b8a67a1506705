"""Who has used a root key, by the ledger; and whether its rotations are what was signed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.evidence.signed import problems
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.events import GatePassed, KeyRotation, KeyRotationDecided, KeysRotated, RunAdmitted
from prefect_gatehouse.ledger.store import LEDGER, Ledger
from prefect_gatehouse.operate.key_rotation import User, decide, users
from prefect_gatehouse.settings import Settings


def test_users_are_the_pipelines_that_fetched_this_key(tmp_path: Path) -> None:
    """Every pipeline once, with its purposes; other blocks, other purposes and other gates do not count."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    fetched: list[tuple[str, str, str, str, str | None]] = [
        ("run-1", "claims", "acme", "tokenise", "secret/key"),
        ("run-2", "claims", "acme", "tokenise", "secret/key"),
        ("run-2", "claims", "acme", "re_identify", "secret/key"),
        ("run-3", "trials", "clinic", "tokenise", "secret/key"),
        ("run-4", "other", "acme", "tokenise", "secret/another-key"),
        ("run-5", "writer", "acme", "write_back", "secret/key"),
        ("run-6", "keyless", "acme", "tokenise", None),
    ]
    for number, (run_id, pipeline, tenant, purpose, block) in enumerate(fetched):
        if ledger.run(run_id) is None:
            ledger.begin_attempt(run_id)
        value: dict[str, Json] = {
            "purpose": purpose,
            "block": block,
            "lease_id": f"{number}",
            "environment": "local",
            "tenant": tenant,
            "expires_at": "2026-01-01T00:00:00Z",
        }
        admitted = RunAdmitted(pipeline=pipeline, tenant=tenant, environment="local", tier="prototype", ticket="CHG-1", requester="ada")
        with ledger.transaction() as tx:
            tx.append(f"admitted-{run_id}", run_id, admitted)
            tx.append(f"fetched-{number}", run_id, GatePassed(gate="fetch_credential", value=value))
            tx.append(f"other-{number}", run_id, GatePassed(gate="minimise", value=value))
    assert users(ledger, "secret/key") == [User("claims", "acme", ("re_identify", "tokenise")), User("trials", "clinic", ("tokenise",))]
    assert users(ledger, "secret/nobody") == []
    ledger.close()


@pytest.fixture
def decided(tmp_path: Path) -> Iterator[tuple[Ledger, KeyRotationDecided]]:
    """A key's rotation that Tess has decided and the store has."""
    settings = Settings(home=tmp_path / "home", identity=tmp_path / "tess")
    settings.folder("")
    People(settings.people_folder()).add("tess", key=generate_key(tmp_path / "tess", ""), roles=frozenset({"approver"}))
    with closing(Ledger(settings.ledger())) as ledger:
        rotation = decide(settings, ledger, "secret/key", 1, 2)
        rotation.done(ledger, "7")
        yield ledger, rotation.decided


def append(ledger: Ledger, fact: KeyRotation, name: str) -> int:
    with ledger.transaction() as tx:
        tx.append(f"{fact.kind}:{name}", LEDGER, fact)
    return ledger.size()


FORGED: dict[str, tuple[dict[str, object], str]] = {
    "another-block": ({"block": "secret/other"}, "is not signed, or not what was signed"),
    "another-version": ({"after": 9}, "is not signed, or not what was signed"),
    "no-signature": ({"signature": ""}, "is not signed, or not what was signed"),
    "another-key": ({"key": "SHA256:x"}, "names another key than it was signed with"),
    "a-copy": ({}, "is a copy of another event's, and counts for nothing"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_rotation_that_nobody_signed(decided: tuple[Ledger, KeyRotationDecided], name: str) -> None:
    """`gatehouse verify` checks the signature of each; those that the command wrote are good."""
    ledger, fact = decided
    assert list(problems(ledger)) == []
    change, said = FORGED[name]
    seq = append(ledger, fact.model_copy(update=change), "forged")
    assert list(problems(ledger)) == [f"event {seq}: the key's rotation {said}"]


def test_a_rotation_that_nobody_decided(decided: tuple[Ledger, KeyRotationDecided]) -> None:
    """What the store is said to have is what was decided before, for the same key and versions."""
    ledger, fact = decided
    rotated = KeysRotated.model_validate({**fact.data(), "rotation": "other", "store_version": "8"})
    seq = append(ledger, rotated, "other")
    assert list(problems(ledger))[-1] == f"event {seq}: nobody had decided the key's rotation that it tells of"
