"""Gate 1: who asks for what is known and permitted before anything is read."""

from __future__ import annotations

import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.bundles import sign_bundle
from tests.support.gates import Desk
from tests.support.plans import RUN

from prefect_gatehouse.errors import Denied, GatehouseError, InputError
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.request import SignedRequest
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.operate.registry import Registrar
from prefect_gatehouse.operate.runs import signed_for
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.values import AdmittedRun
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.tasks.admit import admit


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
    sign_bundle(desk.settings, desk.ledger)
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


@pytest.fixture
def request_of_ann(desk: Desk) -> SignedRequest:
    """What `gatehouse run` signs for somebody who may ask."""
    desk.settings.identity_key().parent.mkdir(mode=0o700, parents=True)
    key = generate_key(desk.settings.identity_key(), "ann")
    People(desk.settings.people_folder()).add("ann", key=key, roles=frozenset({"requester"}), clearance=DataClass.RESTRICTED)
    return signed_for(desk.settings, desk.manifest)


def admitted_as(desk: Desk, run_id: str, manifest: Path, request: SignedRequest) -> AdmittedRun:
    """Gate 1 of a run, in a ledger of its own over the same database, as a process of its own has it."""
    ledger = Ledger(desk.settings.ledger())
    try:
        return admit(Attempt(desk.settings, ledger, run_id, lambda block: SecretText("")), str(manifest), request)
    finally:
        ledger.close()


def test_a_signed_request_is_worth_one_run(desk: Desk, request_of_ann: SignedRequest) -> None:
    """The run itself may come with it again; another one is denied, and no trace of it was admitted."""
    first = admit(desk.attempt, str(desk.manifest), request_of_ann)
    assert (first.requester.person, first.requester.method) == ("ann", "ssh")
    assert admit(desk.next_attempt(), str(desk.manifest), request_of_ann) == first
    other = str(uuid.uuid4())
    with pytest.raises(Denied, match="has started a run already"):
        admitted_as(desk, other, desk.manifest, request_of_ann)
    assert desk.ledger.events(other, "run-admitted") == []
    assert [event.run_id for event in desk.ledger.events(None, "request-spent")] == [RUN]


def test_of_runs_that_come_with_it_at_once_one_is_admitted(desk: Desk, request_of_ann: SignedRequest) -> None:
    runs = [str(uuid.uuid4()) for _ in range(6)]

    def tried(run_id: str) -> str:
        try:
            return admitted_as(desk, run_id, desk.manifest, request_of_ann).run_id
        except Denied as denied:
            return denied.message

    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(tried, runs))
    assert len(set(told) & set(runs)) == 1
    assert told.count("the request has started a run already") == 5


def test_a_copied_request_beside_something_else(desk: Desk, request_of_ann: SignedRequest, tmp_path: Path) -> None:
    """The same manifest in another folder, with the same workload or another one, or in its own folder beside a changed workload."""
    copy = tmp_path / "copy"
    shutil.copytree(desk.folder, copy)
    with pytest.raises(Denied, match="another manifest, folder or workload"):
        admitted_as(desk, str(uuid.uuid4()), copy / desk.manifest.name, request_of_ann)
    workload = desk.folder / "workload.py"
    workload.write_text(workload.read_text() + "\n# another one\n")
    with pytest.raises(Denied, match="another manifest, folder or workload"):
        admitted_as(desk, str(uuid.uuid4()), desk.manifest, request_of_ann)
    assert desk.ledger.events(None, "run-admitted") == []


def test_a_tier_that_forbids_a_fallback(desk: Desk) -> None:
    """Two backends are refused before anything is read, not when the second is wanted."""
    tiers = desk.settings.tiers
    tiers.write_text(tiers.read_text().replace("fallback: allowed", "fallback: forbidden"))
    desk.change("backends: [aer]", "backends: [aer, braket-local]")
    with pytest.raises(Denied, match="the tier prototype forbids a fallback") as caught:
        desk.admitted()
    assert caught.value.where == "execution.backends"


def test_a_registry_that_was_edited_by_hand(desk: Desk, request_of_ann: SignedRequest) -> None:
    """Above the prototype tier nobody is admitted by it, though somebody says that it is right; until that is signed as the next bundle."""
    sign_bundle(desk.settings, desk.ledger)
    Registrar(desk.settings, desk.ledger, "as it was").accept()
    file = desk.settings.people_folder() / "people.json"
    file.write_bytes(file.read_bytes().replace(b"requester", b"approver"))
    assert admit(desk.attempt, str(desk.manifest), None).tier.name == "prototype"
    desk.change("tier: prototype", "tier: integration")
    other = str(uuid.uuid4())
    with pytest.raises(Denied, match="changed after it was signed: registry of people"):
        admitted_as(desk, other, desk.manifest, request_of_ann)
    assert desk.ledger.events(other, "run-admitted") == []
    Registrar(desk.settings, desk.ledger, "I looked").accept()
    with pytest.raises(Denied, match="changed after it was signed: registry of people"):
        admitted_as(desk, other, desk.manifest, request_of_ann)
    sign_bundle(desk.settings, desk.ledger, version=2)
    with pytest.raises(Denied) as caught:  # and then for what it says: ann may not ask
        admitted_as(desk, other, desk.manifest, signed_for(desk.settings, desk.manifest))
    assert "bundle" not in str(caught.value)
