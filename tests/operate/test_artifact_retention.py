"""How long a run's encrypted artifacts stay once it stopped: as long as tier and manifest let it be resumed; then the scheduled sweeper ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.bundles import own_files
from tests.support.gates import Desk
from tests.support.plans import RUN
from tests.support.sweeps import sweeper

from prefect_gatehouse.flows.crash import mark_crashed
from prefect_gatehouse.ledger.answers import ApprovalAsked
from prefect_gatehouse.ledger.events import ArtifactsDeleted, ArtifactStored, RunInterrupted, RunQueued, RunSuspended
from prefect_gatehouse.run.resume_window import resume_window
from prefect_gatehouse.run.retained import retained

HOUR = 3600.0


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A run of a tier whose resume window is a day, with encrypted artifacts."""
    made = Desk(tmp_path, backends="aer")
    with closing(made.ledger):
        yield made


@pytest.fixture
def sweeps(desk: Desk, tmp_path: Path, stack: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """The scheduled flow, at a time of ours."""
    return sweeper(own_files(desk.settings, tmp_path), [], monkeypatch)


def keep(desk: Desk, artifacts: str) -> None:
    desk.manifest.write_text(f"{desk.manifest.read_text()}retention: {{artifacts: {artifacts}}}\n")
    desk.planned()


def fails(desk: Desk) -> None:
    until = time.time() + resume_window(desk.ledger, RUN)
    desk.attempt.record("interrupted:1", RunInterrupted(status="failed", message="no disk", until=until))


def dies(desk: Desk) -> None:
    """Its process is gone, and nobody could write that down."""


def dies_and_is_told(desk: Desk) -> None:
    assert mark_crashed(desk.ledger, RUN, time.time())


STOPS: dict[str, Callable[[Desk], None]] = {"failed": fails, "died": dies, "died, and Prefect told": dies_and_is_told}


def state(desk: Desk) -> tuple[str | None, bool, bool]:
    """How the run ended, whether artifacts are on the disk, and whether there is a key that opens them."""
    row = desk.ledger.run(RUN)
    assert row is not None
    there = [any(path.is_file() for path in (desk.settings.home / name).rglob("*")) for name in ("artifacts", "run-keys")]
    return row.ending, there[0], there[1]


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize(("artifacts", "hours"), [("2h", 2), ("3d", 24)])
def test_a_run_that_stopped(desk: Desk, sweeps: Callable[[float], None], stop: str, artifacts: str, hours: int) -> None:
    """The shorter of the manifest's retention and the tier's window: until then the run can be resumed, then key and artifacts are destroyed."""
    keep(desk, artifacts)
    STOPS[stop](desk)
    end = time.time() + hours * HOUR
    sweeps(end - 120)
    assert state(desk) == (None, True, True)
    (told,) = {each.until for each in retained(desk.ledger, end, RUN) if each.kind == "artifacts"}
    assert told == pytest.approx(end, abs=60)
    sweeps(end + 120)
    assert state(desk) == ("abandoned", False, False)
    gone = {uri for event in desk.ledger.facts(ArtifactsDeleted, RUN) for uri in event.fact.uris}
    stored = [event for event in desk.ledger.facts(ArtifactStored, RUN) if event.fact.uri.startswith("artifact:")]
    assert {event.fact.uri for event in stored} <= gone
    assert all(event.fact.retain_until == pytest.approx(event.when.timestamp() + hours * HOUR, abs=5) for event in stored)


def waits_for_people(desk: Desk, until: float) -> None:
    asked = ApprovalAsked(plan_digest="a" * 64, key="k", nonce="n", expires="2126-01-01T00:00:00Z")  # type: ignore[arg-type]
    desk.attempt.record("asked", asked)
    desk.attempt.record("suspended:k", RunSuspended(until=until))


def waits_in_a_queue(desk: Desk, until: float) -> None:
    desk.attempt.record("queued:1", RunQueued(message="3 jobs wait before it", backend="aer", jobs=1, position=3, until=until))


@pytest.mark.parametrize("waits", [waits_for_people, waits_in_a_queue])
def test_a_run_that_waits_has_not_failed(desk: Desk, sweeps: Callable[[float], None], waits: Callable[[Desk, float], None]) -> None:
    """Its artifacts stay for as long as it may wait, however short its manifest's retention is: they go with it."""
    keep(desk, "1m")
    until = time.time() + 20 * HOUR
    waits(desk, until)
    sweeps(until - 60)
    assert state(desk) == (None, True, True)
    assert {each.until for each in retained(desk.ledger, until - 60, RUN) if each.kind == "artifacts"} == {None}
    sweeps(until + 60)
    assert state(desk) == ("expired", False, False)
