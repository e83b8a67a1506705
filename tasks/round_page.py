"""A round in Prefect: an artifact once it is collected, and its place in the queue while it waits. Both are a courtesy and never stop a gate."""

from __future__ import annotations

from typing import Any

from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext, TaskRunContext

from prefect_gatehouse.providers.interface import JobStatus
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.round_view import markdown, round_in_prefect
from prefect_gatehouse.run.values import AdmittedRun, Job, RoundOutcome
from prefect_gatehouse.workload.counts import Counts


def show_round(attempt: Attempt, outcome: RoundOutcome, counts: list[Counts]) -> None:
    """Shows a round that was just collected; outside a flow run it does nothing.

    Args:
        attempt: Who collected it.
        outcome: The round's.
        counts: What it names.
    """
    if FlowRunContext.get() is None:
        return
    submission = outcome.submission
    try:
        admitted = attempt.chain.read(AdmittedRun.gate, AdmittedRun)
        if admitted is None:
            return
        text = markdown(round_in_prefect(attempt, outcome, counts, admitted.classes.output_class))
        create_markdown_artifact(key="round", markdown=text, description=f"Round {submission.round + 1}: where, how long, at what cost")
    except Exception:  # noqa: BLE001 - whatever the client raises, the run goes on
        return


class Queue:
    """Where a job is in its provider's queue, as a progress artifact: full when it is next.

    Args:
        job: The job.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._first: int | None = None
        self._told: int | None = None
        self._artifact: Any = None

    def tell(self, status: JobStatus) -> None:
        """Moves the artifact where the place has changed; a provider that tells no place has none."""
        before = status.position
        if before is None or before == self._told or TaskRunContext.get() is None:
            return
        self._told, self._first = before, max(self._first or 0, before)
        percent = 100.0 * (self._first - before) / self._first if self._first else 100.0
        words = f"{before:,} job{'s' if before != 1 else ''} before it in the queue of {self._job.backend}"
        try:
            if self._artifact is None:
                self._artifact = create_progress_artifact(progress=percent, description=words)
            else:
                update_progress_artifact(artifact_id=self._artifact, progress=percent, description=words)
        except Exception:  # noqa: BLE001 - as above
            return
