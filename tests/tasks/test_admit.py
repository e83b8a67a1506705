"""Gate 1: who asks for what is known and permitted before anything is read."""

from __future__ import annotations

import pytest
from tests.support.gates import Desk
from tests.support.plans import RUN

from prefect_gatehouse.errors import Denied, GatehouseError, InputError
from prefect_gatehouse.manifest.load import load_manifest


def test_an_admitted_run_is_in_the_ledger(desk: Desk) -> None:
    """Manifest, tier, classes and requester are the value's; the row of the run tells whose it is as soon as it is admitted."""
    admitted = desk.admitted()
    assert (admitted.manifest_digest, admitted.file, admitted.folder) == (load_manifest(desk.manifest).digest, "gatehouse.yaml", str(desk.folder))
    assert (admitted.requester.person, admitted.tier.name, admitted.decision.allowed) == ("unverified", "prototype", True)
    (event,) = desk.ledger.events(RUN, "run-admitted")
    row = desk.attempt.row()
    assert (event.data["requester"], row.pipeline, row.tier, row.ticket) == ("unverified", "small", "prototype", "CHG-7")


REFUSED = {
    "unsigned": ("tier: prototype", "tier: integration", "nobody signed the request"),
    "environment": ("environment: local", "environment: production", "names another environment"),
    "backend": ("backends: [aer]", "backends: [elsewhere]", "not among the tier's"),
    "retention": ("output:", "retention: {artifacts: 60d}\noutput:", "retention"),
    "no-tier": ("tier: prototype", "tier: nowhere", "tier"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_admitted_leaves_no_trace_of_a_run(desk: Desk, name: str) -> None:
    """The refusal is in the ledger; no run was admitted, and nothing was read."""
    old, new, words = REFUSED[name]
    desk.change(old, new)
    with pytest.raises(GatehouseError, match=words) as caught:
        desk.admitted()
    assert isinstance(caught.value, InputError if name == "no-tier" else Denied)
    assert desk.gates("gate-failed") == ["admit"] and desk.ledger.events(RUN, "run-admitted") == []


def test_a_tier_that_wants_the_target_looked_at(desk: Desk) -> None:
    """Without a credential for the look the run is refused at once, not when the plan is made."""
    tiers = desk.settings.tiers
    tiers.write_text(tiers.read_text().replace("preflight: optional", "preflight: required"))
    with pytest.raises(Denied, match="demands a pre-flight") as caught:
        desk.admitted()
    assert caught.value.where == "credentials.preflight"


def test_a_tier_that_demands_a_rehearsal(desk: Desk) -> None:
    """A manifest that switches it off is refused at once; where the tier leaves the choice, it is admitted."""
    desk.change("rehearsal: required", "rehearsal: skip")
    tiers, text = desk.settings.tiers, desk.settings.tiers.read_text()
    tiers.write_text(text.replace("rehearsal: optional", "rehearsal: required"))
    with pytest.raises(Denied, match="the tier prototype demands a rehearsal") as caught:
        desk.admitted()
    assert caught.value.where == "execution.rehearsal"
    tiers.write_text(text.replace("  rehearsal: optional\n", ""))
    with pytest.raises(Denied, match="demands a rehearsal"):  # a file that does not say it asks for the most
        desk.admitted()
    tiers.write_text(text)
    assert desk.admitted().manifest.execution.rehearsal == "skip"


def test_a_tier_that_forbids_a_fallback(desk: Desk) -> None:
    """Two backends are refused before anything is read, not when the second is wanted."""
    tiers = desk.settings.tiers
    tiers.write_text(tiers.read_text().replace("fallback: allowed", "fallback: forbidden"))
    desk.change("backends: [aer]", "backends: [aer, braket-local]")
    with pytest.raises(Denied, match="the tier prototype forbids a fallback") as caught:
        desk.admitted()
    assert caught.value.where == "execution.backends"
