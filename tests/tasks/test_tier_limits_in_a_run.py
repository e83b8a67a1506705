"""What a tier limits, in a run under its gates: told before anybody is asked, and again before a round is sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.gates import TWO_ROUNDS, Desk
from tests.support.plans import RUN

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.flows.rounds import run_rounds

# The first round has one circuit, the second ten.
GROWING = TWO_ROUNDS.replace('for x in sorted(features["x"])', "for x in [0.1]").replace("yield [circuit(share", "yield 10 * [circuit(share")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A run of two rounds of 64 shots: three circuits, then one."""
    made = Desk(tmp_path, backends="aer")
    with closing(made.ledger):
        yield made


def limit(desk: Desk, text: str) -> None:
    """Writes a limit into the prototype tier, which is the run's."""
    tiers = desk.settings.tiers
    tiers.write_text(tiers.read_text().replace("  drift: tell\n", f"  drift: tell\n  {text}\n"))


def denied(desk: Desk) -> list[tuple[str, list[str]]]:
    return [(event.data["action"], event.data["reasons"]) for event in desk.ledger.events(RUN, "policy-denied")]


def test_one_shot_too_many(desk: Desk) -> None:
    """Three circuits of 64 shots in each of two rounds: nobody is asked where the tier allows one less."""
    limit(desk, "shots: 383")
    with pytest.raises(Denied, match=r"\[shots-above-tier\]") as caught:
        desk.planned()
    assert "384 shots were asked for, the tier prototype allows 383" in caught.value.advice
    assert (denied(desk), desk.gates("gate-failed"), desk.entries()) == ([("plan", ["shots-above-tier"])], ["plan"], [])


def test_as_many_shots_as_the_tier_allows(desk: Desk) -> None:
    """The run goes to its end, and the ledger has the policy's yes to the plan before it."""
    limit(desk, "shots: 384")
    run_rounds(desk.attempt, desk.approved())
    kinds = [(event.kind, event.data.get("action", event.data.get("gate"))) for event in desk.ledger.events(RUN)]
    assert kinds.index(("policy-decided", "plan")) < kinds.index(("gate-passed", "plan"))


def test_a_round_that_grows_beyond_the_tier_s_shots(tmp_path: Path) -> None:
    """The plan says that it did so in the rehearsal; the first round is sent, the second is not."""
    desk = Desk(tmp_path, GROWING, backends="aer")
    desk.change("jobs: 10,", "jobs: 10, round_bits: 100000,")
    limit(desk, "shots: 700")
    with closing(desk.ledger):
        approved = desk.approved()
        assert "whether it needs more than the tier's 700 shots, as it did" in approved.plan.rehearsal.doubts
        with pytest.raises(Denied, match=r"\[shots-above-tier\]") as caught:
            run_rounds(desk.attempt, approved)
        assert "704 shots were asked for" in caught.value.advice
        assert [(entry[0], entry[3]) for entry in desk.entries()] == [(0, "settled")]


def test_an_envelope_that_is_dearer_than_the_tier_allows(desk: Desk) -> None:
    """It is not even admitted."""
    limit(desk, "cost: 4.9999")
    with pytest.raises(Denied, match=r"\[cost-above-tier\]"):
        desk.admitted()
    assert denied(desk) == [("request", ["cost-above-tier"])]
