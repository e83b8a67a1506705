"""The fenced right to act: what a superseded process can't do any more, what a permit leaves behind, and whom an artifact belongs to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prefect_gatehouse.errors import Superseded
from prefect_gatehouse.ledger.answers import ApprovalAsked
from prefect_gatehouse.ledger.events import ArtifactStored, GateEntered, GatePassed, PolicyDecided, RunEnded
from prefect_gatehouse.ledger.seal import COPY, count_unsealed
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.resume_window import DEFAULT_WINDOW, resume_window
from prefect_gatehouse.store.artifact import Artifact
from tests.run.desk import RUN, Desk
from tests.support.plans import admitted_run, tier_rules, write_project

ACTS: dict[str, Callable[[Attempt], object]] = {
    "record": lambda attempt: attempt.record("late", GateEntered(gate="submit")),
    "fence": lambda attempt: attempt.effect().__enter__(),
    "permit": lambda attempt: attempt.permit("decided", decided()),
    "again": lambda attempt: Attempt(attempt.settings, attempt.ledger, RUN, attempt.read_secret, after=attempt.number),
}


def decided(policy: str = "d" * 64) -> PolicyDecided:
    return PolicyDecided(action="submit", allowed=True, reasons=("p",), policy_digest=policy)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk."""
    made = Desk(tmp_path / "home")
    with contextlib.closing(made.ledger):
        yield made


@pytest.mark.parametrize("act", ACTS)
def test_a_superseded_attempt_does_nothing(desk: Desk, act: str) -> None:
    """Once another process has taken the run over, no event and no head comes from the one before."""
    other = desk.next_attempt()
    assert (desk.attempt.number, other.number) == (1, 2)
    before = desk.ledger.size(), count_unsealed(desk.ledger)
    with pytest.raises(Superseded):
        ACTS[act](desk.attempt)
    assert (desk.ledger.size(), count_unsealed(desk.ledger)) == before
    assert other.record("later", GateEntered(gate="submit"))


@pytest.mark.parametrize("act", ACTS)
def test_a_closed_run_stays_closed(desk: Desk, act: str) -> None:
    """After the run's end its own last attempt, too, writes nothing, and nobody takes the next number."""
    desk.attempt.record("ended", RunEnded(ending="completed"))
    with pytest.raises(Superseded):
        ACTS[act](desk.attempt)
    with pytest.raises(Superseded):
        desk.next_attempt()


def test_an_effect_that_fails_leaves_nothing(desk: Desk) -> None:
    """Events and rows of one effect commit together or not at all."""

    def fail() -> None:
        with desk.attempt.effect() as tx:
            desk.attempt.append(tx, "one", GateEntered(gate="submit"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert desk.attempt.find("one", GateEntered) is None


def test_a_name_is_recorded_once(desk: Desk) -> None:
    """A repeated name writes nothing, and the first one's facts stay; it is found under the run's own name alone."""
    assert desk.attempt.record("one", GateEntered(gate="submit"))
    assert not desk.attempt.record("one", GateEntered(gate="collect"))
    found = desk.attempt.find("one", GateEntered)
    assert found is not None and (found.fact.gate, found.event_id, found.attempt) == ("submit", f"{RUN}:one", 1)
    assert desk.ledger.find("one", GateEntered) is None


def test_a_permit_is_under_a_head_when_it_returns(desk: Desk) -> None:
    """Nothing is left unsealed behind it, the home has a copy, and a permit that was recorded before is sealed all the same."""
    assert desk.attempt.permit("decided", decided())
    assert count_unsealed(desk.ledger) == 0
    assert (desk.settings.home / COPY).exists()
    desk.attempt.record("asked", ApprovalAsked(plan_digest="a" * 64, key="k", nonce="n", expires="2026-01-01T00:00:00Z"))  # type: ignore[arg-type]
    assert not desk.attempt.permit("decided", decided())
    assert count_unsealed(desk.ledger) == 0


def test_the_policy_is_named_where_it_is_not_the_admission_s(tmp_path: Path) -> None:
    """A decision by the policy that admitted the run refers to it; one by another policy names it."""
    desk = Desk(tmp_path / "home")
    write_project(tmp_path / "project")
    admitted = admitted_run(tmp_path / "project").model_copy(update={"run_id": RUN})
    desk.attempt.record(admitted.passage, GatePassed(gate=admitted.gate, value=desk.attempt.chain.stored(admitted)))
    for name, policy in (("same", admitted.decision.policy_digest), ("other", "e" * 64)):
        desk.attempt.permit(name, decided(policy))
    found = [event.fact.policy_digest for event in desk.ledger.facts(PolicyDecided, run_id=RUN)]
    assert found == ["", "e" * 64]
    desk.ledger.close()


@pytest.mark.parametrize(("window", "artifacts", "stays"), [(3600, "1d", 3600), (3600, "30m", 1800), (86_400, "2h", 7200)])
def test_an_artifact_stays_as_long_as_its_run_can_be_resumed(tmp_path: Path, window: int, artifacts: str, stays: int) -> None:
    """By the shorter of the tier's window and what the manifest says, which is the end that the sweeper goes by."""
    desk = Desk(tmp_path / "home")
    folder = tmp_path / "project"
    write_project(folder)
    manifest = folder / "gatehouse.yaml"
    manifest.write_text(f"{manifest.read_text()}retention: {{artifacts: {artifacts}}}\n")
    admitted = admitted_run(folder, run_id=RUN, tier=tier_rules(resume_window_seconds=window))
    desk.attempt.record(admitted.passage, GatePassed(gate=admitted.gate, value=desk.attempt.chain.stored(admitted)))
    desk.attempt.own(Artifact(uri=f"artifact:{RUN}/x", sha256="a" * 64, rows=1, columns=("x",), bytes=1), admitted.manifest)
    (stored,) = desk.ledger.facts(ArtifactStored)
    assert stored.fact.retain_until == pytest.approx(stored.when.timestamp() + stays, abs=5)
    assert resume_window(desk.ledger, RUN) == stays
    desk.ledger.close()


def test_an_artifact_gets_its_owner_once(tmp_path: Path) -> None:
    """The owner is the manifest's, the end that of a run which stops now; entering it again moves neither."""
    desk = Desk(tmp_path / "home")
    write_project(tmp_path / "project")
    manifest = admitted_run(tmp_path / "project").manifest
    artifact = Artifact(uri=f"artifact:{RUN}/minimised.parquet", sha256="a" * 64, rows=1, columns=("x",), bytes=1)
    desk.attempt.own(artifact, manifest)
    first = desk.attempt.find("stored:minimised.parquet", ArtifactStored)
    desk.attempt.own(artifact, manifest)
    assert first is not None and (first.fact.uri, first.fact.owner) == (artifact.uri, manifest.owner)
    assert first.fact.retain_until == pytest.approx(first.when.timestamp() + DEFAULT_WINDOW, abs=5)
    assert [event.fact for event in desk.ledger.facts(ArtifactStored)] == [first.fact]
    desk.ledger.close()
