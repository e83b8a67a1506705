"""Gate 9: counts that are no answer to the circuits, and a frame that is not the declared one, go nowhere."""

from __future__ import annotations

import base64

import pandas as pd
import pytest
from tests.support.gates import Collected
from tests.support.plans import RUN

from prefect_gatehouse.errors import DataRefused, Tampered
from prefect_gatehouse.run.values import RawOutcome
from prefect_gatehouse.tasks.validate_output import validate_output


def test_an_outcome_that_passes(collected: Collected) -> None:
    """Four checks a round, and the output suite, whose page is in the ledger."""
    found = validate_output(collected.desk.attempt, collected.outcome)
    assert len(found.checks) == 8 and all(check.success for check in found.checks) and found.report.success
    assert "validate_output" in {event.data["gate"] for event in collected.desk.ledger.events(RUN, "report-written")}


def test_counts_that_are_no_answer_to_the_circuits(collected: Collected) -> None:
    """A round whose shots are other ones is refused by the name of the check; counts that were exchanged are no counts of this run."""
    first, second = collected.outcome.rounds
    other = collected.outcome.model_copy(update={"rounds": (first.model_copy(update={"shots": 65}), second)})
    with pytest.raises(DataRefused, match="not an answer to the circuits: quantum_shots_add_up"):
        validate_output.body(collected.desk.attempt, other)
    exchanged = collected.outcome.model_copy(update={"rounds": (first.model_copy(update={"counts_digest": "0" * 64}), second)})
    with pytest.raises(Tampered, match="not the ones that were collected"):
        validate_output.body(collected.desk.attempt, exchanged)


def test_keys_that_the_workload_was_not_given(collected: Collected) -> None:
    """A key that it made up, or kept from elsewhere, is counted and refused before anything is turned back or written; no key is told."""
    attempt = collected.desk.next_attempt()
    collected.desk.attempt = attempt
    given = collected.desk.frame(collected.outcome)["subject"].tolist()
    for number, keys in enumerate(([*given[:2], "CANARY"], ["CANARY", "CANARY2", given[0]])):
        frame = pd.DataFrame({"subject": keys, "score": 1})
        strange = ("1 key of the workload's frame is none", "2 keys of the workload's frame are none")[number]
        with pytest.raises(DataRefused, match=f"output.key: {strange} that it was given") as caught:
            validate_output.body(attempt, collected.returning(f"keys-{number}", frame))
        assert "CANARY" not in str(caught.value)
    with pytest.raises(DataRefused, match=r"of another type than it was given|none that it was given"):
        validate_output.body(attempt, collected.returning("numbers", pd.DataFrame({"subject": [1, 2], "score": 1})))


def raised(outcome: RawOutcome, tier: str) -> RawOutcome:
    """The outcome as if its run had been admitted under another tier."""
    plan = outcome.approved.plan
    admitted = plan.admitted.model_copy(update={"tier": plan.admitted.tier.model_copy(update={"name": tier, "leaving_bits": 10**6})})
    minimised = plan.validated.minimised.model_copy(update={"admitted": admitted})
    plan = plan.model_copy(update={"validated": plan.validated.model_copy(update={"minimised": minimised})})
    return outcome.model_copy(update={"approved": outcome.approved.model_copy(update={"plan": plan})})


def test_text_that_nobody_declared(collected: Collected) -> None:
    """In the prototype tier it passes, and the plan said that nothing bounds it; above, a frame that carries text in such a column is refused."""
    attempt = collected.desk.next_attempt()
    collected.desk.attempt = attempt
    subjects = collected.desk.frame(collected.outcome)["subject"]
    smuggled = base64.b64encode(b"CANARY Ann Example, 1961-02-03").decode()
    outcome = collected.returning("text", pd.DataFrame({"subject": subjects, "score": smuggled}))
    assert validate_output.body(attempt, outcome).report.success
    with pytest.raises(
        DataRefused, match=r"output\.columns\.score: column 'score' of the workload's frame holds text, and its type is not declared"
    ) as caught:
        validate_output.body(attempt, raised(outcome, "business"))
    assert smuggled not in str(caught.value)
    assert validate_output.body(attempt, raised(collected.outcome, "business")).report.success


WRONG_FRAMES = {
    "one-less": (pd.DataFrame({"subject": ["a"]}), r"missing \['score'\], 0 more"),
    "one-more": (pd.DataFrame({"subject": ["a"], "score": [1], "CANARY": [2]}), r"missing \[\], 1 more"),
    "key-twice": (pd.DataFrame({"subject": ["CANARY"] * 2, "score": [1, 2]}), "empty or repeated"),
    "no-key": (pd.DataFrame({"subject": [None, "CANARY"], "score": [1, 2]}), "empty or repeated"),
    "too-many-rows": (pd.DataFrame({"subject": [f"CANARY{n}" for n in range(11)], "score": 1}), "expect_table_row_count_to_be_between"),
}


@pytest.mark.parametrize("name", WRONG_FRAMES)
def test_a_frame_that_is_not_the_declared_one(collected: Collected, name: str) -> None:
    """Columns, keys and the suite: each is refused with what is wrong, never with a name or value that the manifest does not have."""
    frame, words = WRONG_FRAMES[name]
    attempt = collected.desk.next_attempt()
    collected.desk.attempt = attempt
    with pytest.raises(DataRefused, match=words) as caught:
        validate_output.body(attempt, collected.returning(name, frame))
    assert "CANARY" not in str(caught.value)
