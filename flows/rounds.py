"""Gates 6 to 8, once for each round of the workload; a round that the journal knows fetches and submits nothing."""

from __future__ import annotations

from prefect_gatehouse.errors import DataRefused, Denied, UnusableAnswer, WorkloadFailed
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.cells import driven
from prefect_gatehouse.run.counts import counts_of
from prefect_gatehouse.run.first_round import kept_first_round
from prefect_gatehouse.run.values import ApprovedPlan, RawOutcome, RoundOutcome, Submission
from prefect_gatehouse.tasks.collect import collect
from prefect_gatehouse.tasks.conclude import conclude
from prefect_gatehouse.tasks.fetch_credential import fetch_credential
from prefect_gatehouse.tasks.round_page import show_round
from prefect_gatehouse.tasks.submit import submit
from prefect_gatehouse.workload.angles import on_grid
from prefect_gatehouse.workload.batch import CircuitBatch
from prefect_gatehouse.workload.plain_form import circuits_digest, summarise
from prefect_gatehouse.workload.rounds import Finished
from prefect_gatehouse.workload.runner.interface import Runner


def run_rounds(attempt: Attempt, approved: ApprovedPlan) -> RawOutcome:
    """Drives the workload: each list of circuits it yields is submitted and collected, until it returns its frame.

    On resume the workload runs from its start again and finished rounds come from the journal. Where the plan kept its first round, the workload
    computes it while that is on its way already, and is given counts only if it is the same.

    Raises:
        WorkloadFailed: The workload raised, or asked for other circuits than the journal holds.
        Denied: The workload asked for more rounds than were approved.
        DataRefused: It gave something that is no circuits or no frame. Its code and its data are what was approved, and its counts are
            in the journal: it would give the same again, so the run ends.
    """
    finished = conclude.kept(attempt)
    if finished is not None:
        return finished
    try:
        with driven(attempt, approved.plan.validated.minimised, approved.plan.body.cell, "rounds") as rounds:
            return _to_the_end(attempt, approved, rounds)
    except UnusableAnswer as answer:
        raise DataRefused(answer.message, where=answer.where, advice=f"{answer.advice}; then start a new run") from None


def _to_the_end(attempt: Attempt, approved: ApprovedPlan, rounds: Runner) -> RawOutcome:
    outcomes: list[RoundOutcome] = []
    sent = _sent_ahead(attempt, approved, rounds)
    step = rounds.advance(None)
    if sent is not None:
        _require_planned(step, approved)
        outcomes.append(sent)
        step = _onward(attempt, rounds, sent)
    while not isinstance(step, Finished):
        known = collect.kept(attempt, len(outcomes)) is not None
        outcome = _one_round(attempt, approved, step, len(outcomes))
        outcomes.append(outcome)
        step = _onward(attempt, rounds, outcome, known=known)
    return conclude(attempt, approved, tuple(outcomes), step.table)


def _sent_ahead(attempt: Attempt, approved: ApprovedPlan, rounds: Runner) -> RoundOutcome | None:
    """The first round, sent as the plan kept it, before the workload has given it; None where it did not, or an earlier attempt sent it."""
    if submit.kept(attempt, 0) is not None:
        return None
    batch = kept_first_round(attempt, approved.plan)
    if batch is None:
        return None
    submission = _submitted(attempt, approved, batch, 0)
    rounds.ask(None)  # no sooner: on two cores it would keep the job waiting
    return collect.in_round(0, attempt, submission, fetch_credential)


def _onward(attempt: Attempt, rounds: Runner, outcome: RoundOutcome, *, known: bool = False) -> CircuitBatch | Finished:
    """What the workload goes on with, given a round's counts."""
    counts = counts_of(attempt, outcome)
    rounds.ask(counts)
    if not known:
        show_round(attempt, outcome, counts)  # while the workload computes
    return rounds.answer()


def _one_round(attempt: Attempt, approved: ApprovedPlan, batch: CircuitBatch, number: int) -> RoundOutcome:
    return collect.in_round(number, attempt, _submitted(attempt, approved, batch, number), fetch_credential)


def _submitted(attempt: Attempt, approved: ApprovedPlan, batch: CircuitBatch, number: int) -> Submission:
    body = approved.plan.body
    if number >= body.rounds:
        raise Denied(
            f"the workload asks for more than the approved {body.rounds} rounds", where="workload", advice="ask for a larger envelope.rounds"
        )
    if number == 0:
        batch, summary = _require_planned(batch, approved), body.circuits
    else:
        batch = on_grid(batch, approved.plan.admitted.manifest.execution.angle_step)
        summary = summarise(batch, body.circuits.shots)
    submission = submit.in_round(number, attempt, approved, batch, summary, number, fetch_credential)
    if submission.circuits.digest != summary.digest:
        raise _changed(number)
    return submission


def _require_planned(step: CircuitBatch | Finished, approved: ApprovedPlan) -> CircuitBatch:
    """The first round, on the grid, if it is the planned one.

    Raises:
        WorkloadFailed: It is another one, or none.
    """
    if isinstance(step, Finished):
        raise _changed(0)
    batch = on_grid(step, approved.plan.admitted.manifest.execution.angle_step)
    if circuits_digest(batch) != approved.plan.body.circuits.digest:
        raise _changed(0)
    return batch


def _changed(number: int) -> WorkloadFailed:
    return WorkloadFailed(
        f"round {number + 1} has other circuits than before",
        where="workload",
        advice="make the workload deterministic: seed what is random, read no clock",
    )
