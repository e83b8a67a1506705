"""Gate 9: counts that are no answer to the circuits, and a frame that is not the declared one, go nowhere."""

from __future__ import annotations

import pandas as pd
import pytest
from tests.support.gates import Collected
from tests.support.plans import RUN

from prefect_gatehouse.errors import DataRefused, Tampered
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
