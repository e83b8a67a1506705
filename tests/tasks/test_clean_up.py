"""Gate 11: wherever a run ended, its key is shredded first, what it held is gone, and what can't be is an open obligation."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.gates import Desk, Fetching
from tests.support.plans import RUN

from prefect_gatehouse.errors import Ambiguous, StorageError, Unavailable
from prefect_gatehouse.flows.ending import decided_ending, end
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.simulator.aer import AerBackend
from prefect_gatehouse.store.artifact import Deletion
from prefect_gatehouse.store.artifacts import ArtifactStore
from prefect_gatehouse.tasks.clean_up import clean_up
from prefect_gatehouse.tasks.fetch_credential import fetch_credential
from prefect_gatehouse.tasks.submit import submit


def kept(desk: Desk) -> list[str]:
    """Files of the run that are left in the home, but its ledger, reports and people."""
    folders = ("artifacts", "providers", "run-keys")
    return [str(path) for name in folders for path in (desk.settings.home / name).rglob("*") if path.is_file()]


def test_a_run_that_was_never_admitted(desk: Desk) -> None:
    """There is nothing to delete; the ledger closes the run all the same."""
    receipt = clean_up(desk.attempt, "denied", Fetching())
    assert (receipt.ending, receipt.key_shredded, receipt.jobs_cancelled, receipt.obligations) == ("denied", True, 0, ())
    assert (desk.attempt.row().status, desk.attempt.row().ending) == ("ended", "denied")


def test_a_run_after_its_rounds(desk: Desk) -> None:
    """Artifacts, jobs and key are gone and named; no credential was fetched, since the simulator has none."""
    run_rounds(desk.attempt, desk.approved())
    assert kept(desk) != []
    fetch = Fetching()
    receipt = clean_up(desk.attempt, "completed", fetch)
    assert (kept(desk), fetch.purposes, receipt.obligations) == ([], [], ())
    uris = {event.data["uri"] for event in desk.ledger.events(RUN, "artifact-stored")}
    assert uris < {item.uri for item in receipt.deletions if item.deleted}


def test_leases_are_revoked_first(desk: Desk) -> None:
    """What the attempt holds is revoked and counted."""
    lease = fetch_credential(desk.attempt, desk.admitted(), Purpose.TOKENISE)
    assert clean_up(desk.attempt, "cancelled", Fetching()).leases_revoked == 1 and lease.revoked


def submitted(desk: Desk) -> None:
    approved = desk.approved()
    circuits, summary = desk.first_round(approved.plan)
    submit.in_round(0, desk.attempt, approved, circuits, summary, 0, Fetching())


def test_a_job_that_has_not_run_is_cancelled(desk: Desk) -> None:
    """It is the run's, so it is cancelled before it is deleted."""
    submitted(desk)
    assert clean_up(desk.attempt, "cancelled", Fetching()).jobs_cancelled == 1
    assert kept(desk) == []


def test_a_provider_that_does_not_answer(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it may still have is an obligation, with the job's key; the run ends nevertheless."""
    submitted(desk)

    def away(self: AerBackend, handle: str, lease: Any) -> Any:
        raise Unavailable("the provider is away", where="aer")

    monkeypatch.setattr(AerBackend, "cancel", away)
    receipt = clean_up(desk.attempt, "cancelled", Fetching())
    assert (receipt.obligations, desk.attempt.row().ending) == ((f"{RUN}:0:0:0: the provider is away",), "cancelled")


def test_a_job_that_may_exist(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows its handle: somebody has to look it up."""

    def lost(self: AerBackend, payload: bytes, key: str, lease: Any) -> str:
        raise Ambiguous("no answer", where="aer")

    monkeypatch.setattr(AerBackend, "submit", lost)
    with pytest.raises(Ambiguous):
        submitted(desk)
    (obligation,) = clean_up(desk.attempt, "abandoned", Fetching()).obligations
    assert obligation == f"{RUN}:0:0:0: a job may exist at aer; look it up and cancel it"


def test_an_artifact_that_stays(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run stays open, its key gone already; the ending was decided, so whoever comes again ends it in the same way."""
    desk.planned()
    with monkeypatch.context() as stuck:
        stuck.setattr(ArtifactStore, "delete", lambda self, uri: Deletion(uri=uri, deleted=False, note="busy"))
        with pytest.raises(StorageError, match="1 artifacts can't be deleted"):
            end(desk.attempt, "denied", "no")
    assert (desk.attempt.row().ending, decided_ending(desk.attempt)) == (None, "denied")
    assert not any("run-keys" in path for path in kept(desk)) and kept(desk) != []
    assert end(desk.next_attempt(), "abandoned").ending == "denied"
    assert kept(desk) == []
