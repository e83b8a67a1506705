"""Who has used a root key, by the ledger."""

from __future__ import annotations

from pathlib import Path

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.ledger.events import GatePassed, RunAdmitted
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.operate.key_rotation import User, users


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
