"""Gate 8 at its end: the workload's frame is owned and encrypted, and labelled after its worst round."""

from __future__ import annotations

import pyarrow as pa
import pytest
from tests.support.gates import Collected
from tests.support.plans import RUN

from prefect_gatehouse.tasks.conclude import conclude
from prefect_gatehouse.vocabulary import Label


@pytest.mark.parametrize("labels", [("primary", "primary"), ("primary", "fallback"), ("fallback", "primary"), ("simulator", "substitute")])
def test_one_round_on_a_fallback_marks_the_whole(collected: Collected, monkeypatch: pytest.MonkeyPatch, labels: tuple[Label, Label]) -> None:
    """What people are told of the backend holds for every round."""
    attempt, outcome = collected.desk.attempt, collected.outcome
    # The shared run keeps its own frame: what is written here goes under another name.
    write = attempt.store.write
    monkeypatch.setattr(attempt.store, "write", lambda run_id, name, table, key: write(run_id, f"{name}-{'-'.join(labels)}", table, key))
    rounds = tuple(
        item.model_copy(update={"submission": item.submission.model_copy(update={"label": label})})
        for item, label in zip(outcome.rounds, labels, strict=True)
    )
    again = conclude.body(attempt, outcome.approved, rounds, pa.table({"subject": ["a"]}))
    worst = next(label for label in ("simulator", "fallback", "primary") if label in labels)
    assert (again.label, again.frame.rows) == (worst, 1)


def test_the_frame_is_owned(collected: Collected) -> None:
    """The ledger has it with its owner, under the gate's value; it reads back as the workload returned it."""
    owned = {event.data["uri"]: event.data["owner"] for event in collected.desk.ledger.events(RUN, "artifact-stored")}
    assert owned[collected.outcome.frame.uri] == "test-owner"
    assert conclude.kept(collected.desk.attempt) == collected.outcome
    assert list(collected.desk.frame(collected.outcome)) == ["subject", "score"]
