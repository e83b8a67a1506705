"""Gate 6: a secret for one purpose, when it is needed; what is kept of it is which, never what."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.support.gates import Desk
from tests.support.plans import RUN

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.tasks.fetch_credential import fetch_credential


def reading(desk: Desk) -> tuple[Attempt, list[str]]:
    """An attempt, and the blocks that it reads."""
    asked: list[str] = []

    def read(block: str) -> SecretText:
        asked.append(block)
        return SecretText("CANARY-secret", version="7")

    return Attempt(desk.settings, desk.ledger, RUN, read), asked


def test_the_block_that_the_manifest_names(desk: Desk) -> None:
    """The purpose's block is read, the attempt holds the lease until it is released, and the ledger has the record without the secret."""
    admitted = desk.admitted()
    attempt, asked = reading(desk)
    lease = fetch_credential(attempt, admitted, Purpose.WRITE_BACK)
    assert (asked, lease.reveal(Purpose.WRITE_BACK), attempt.leases) == (["secret/url"], "CANARY-secret", [lease])
    value = desk.ledger.events(RUN, "gate-passed")[-1].data["value"]
    assert isinstance(value, dict)
    assert (value["purpose"], value["block"], value["version"], value["lease_id"]) == ("write_back", "secret/url", "7", lease.record.lease_id)
    assert not any("CANARY" in str(dict(event.data)) for event in desk.ledger.events(RUN))


def test_a_lease_is_never_replayed(desk: Desk) -> None:
    """Each passage reads the secret again and has an event of its own; nothing is kept for a later attempt."""
    admitted = desk.admitted()
    attempt, asked = reading(desk)
    leases = [fetch_credential(attempt, admitted, Purpose.TOKENISE) for _ in range(3)]
    assert asked == ["secret/key"] * 3 and len({lease.record.lease_id for lease in leases}) == 3
    assert desk.gates() == ["admit"] + ["fetch_credential"] * 3
    assert fetch_credential.kept(attempt) is None


def test_a_purpose_that_needs_no_secret(desk: Desk) -> None:
    """A simulator needs none: the lease holds nothing, and no store is asked."""
    admitted = desk.admitted()
    attempt, asked = reading(desk)
    assert fetch_credential(attempt, admitted, Purpose.SUBMIT).record.block is None
    assert asked == []


def test_the_policy_is_asked_before_the_store(desk: Desk) -> None:
    """A purpose for which the manifest names nothing is denied, and no store is asked."""
    admitted = desk.admitted()
    attempt, asked = reading(desk)
    with pytest.raises(Denied):
        fetch_credential(attempt, admitted, Purpose.PREFLIGHT)
    assert (asked, attempt.leases) == ([], [])


def test_a_secret_that_is_fetched_under_one_cell_only(desk: Desk, tmp_path: Path) -> None:
    """An administrator's rule about the cell: before there is a plan it is the one that the run gets here; no store is asked."""
    policies = Path(shutil.copytree(desk.settings.policies, tmp_path / "policies"))
    rule = '@id("in-bubblewrap")\n@reason("only there")\nforbid (principal, action == Gatehouse::Action::"read_secret", resource)\n'
    (policies / "own.cedar").write_text(rule + 'when { resource.tenant == "test-tenant" } unless { context.cell == "bubblewrap" };\n')
    desk.settings = desk.settings.model_copy(update={"policies": policies})
    desk.attempt = desk.next_attempt()
    admitted = desk.admitted()
    attempt, asked = reading(desk)
    with pytest.raises(Denied, match=r"only there \[in-bubblewrap\]"):
        fetch_credential(attempt, admitted, Purpose.TOKENISE)
    assert asked == []
