"""Gate 8 at its end: the workload has returned, and its frame is kept, encrypted, with the rounds it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.values import ApprovedPlan, RawOutcome, RoundOutcome
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.vocabulary import Label

if TYPE_CHECKING:
    import pyarrow as pa


@gate(RawOutcome)
def conclude(attempt: Attempt, approved: ApprovedPlan, rounds: tuple[RoundOutcome, ...], table: pa.Table) -> RawOutcome:
    """Keeps the table that the workload returned, encrypted, with the rounds it came from."""
    artifact = attempt.store.write(attempt.run_id, "outcome", table, attempt.key)
    attempt.own(artifact, approved.plan.admitted.manifest)
    label = max((item.submission.label for item in rounds), key=get_args(Label).index)
    return RawOutcome(approved=approved, rounds=rounds, frame=artifact, label=label)
