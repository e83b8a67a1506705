"""Signed acts: whose signature counts."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from tests.identity.ssh_signatures import sk_blob, sk_signature

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.evidence.signed import problems
from prefect_gatehouse.identity.sshsig import fingerprint_of
from prefect_gatehouse.ledger.acts import ExceptionGranted
from prefect_gatehouse.ledger.store import LEDGER, Ledger
from prefect_gatehouse.policy.acts import is_signed
from prefect_gatehouse.settings import Settings


@pytest.mark.parametrize(("flags", "counts"), [(5, True), (1, True), (4, False), (0, False)])
def test_an_act_of_an_authenticator(tmp_path: Path, flags: int, counts: bool) -> None:
    """Without a touch nobody has signed it: it counts for nothing, and verify tells."""
    said = {
        "action": "grant-exception",
        "exception": "e",
        "rule": "not-promoted",
        "tenant": "t",
        "pipeline": "",
        "owner": "olga",
        "ticket": "CHG-9",
        "residual_risk": "slower",
        "compensating_control": "watched",
        "expires": "2026-12-01T00:00:00Z",
        "reason": "Pilot",
        "environment": "local",
    }
    signed = {"person": "tess", "key": fingerprint_of(sk_blob()), "signature": sk_signature(flags, message=canonical(dict(said)))}
    fact = ExceptionGranted.model_validate(said | signed)
    assert is_signed(fact) is counts
    settings = Settings(home=tmp_path)
    settings.folder("")
    with closing(Ledger(settings.ledger())) as ledger:
        with ledger.transaction() as tx:
            tx.append(f"{fact.kind}:{fact.exception}", LEDGER, fact)
        found = [each.partition("the ")[2] for each in problems(ledger)]
        assert found == ([] if counts else ["exception was signed by a FIDO key that nobody touched, and counts for nothing"])
