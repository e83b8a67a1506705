"""Signed acts as somebody with the database could write them, and people who go and come back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import fingerprint, generate_key, public_line
from prefect_gatehouse.ledger.acts import SignedAct
from prefect_gatehouse.ledger.store import LEDGER, Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate.registry import Registrar
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import Role


def append_signed(ledger: Ledger, kind: type[SignedAct], statement: Mapping[str, Any], person: str, key: Path, /, **change: Any) -> None:
    """An act under its own name, in somebody's name, signed by whoever's key it is.

    Args:
        ledger: The ledger.
        kind: Of the act.
        statement: What is signed.
        person: Whose act it says it is.
        key: That signs; made where there is none.
        change: Of the act, behind the signature.
    """
    if not key.exists():
        generate_key(key, "")
    said = {"person": person, "key": fingerprint(public_line(key)), "signature": sshsig.sign(key, canonical(dict(statement)))}
    fact = kind.model_validate({**statement, **said, **change})
    with ledger.transaction() as tx:
        tx.append(f"{kind.kind}:{getattr(fact, kind.named_by)}", LEDGER, fact)


def go_and_come_back(settings: Settings, ledger: Ledger, person: str, key: Path, role: Role) -> None:
    """Somebody is revoked, and added again with the same key."""
    registrar = Registrar(settings, ledger, "x")
    registrar.revoke(person, None)
    registrar.add(person, key=public_line(key), roles=frozenset({role}), clearance=DataClass.RESTRICTED)
