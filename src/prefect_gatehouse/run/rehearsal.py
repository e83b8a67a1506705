"""The rehearsal: a workload is run to its end on simulated counts before anybody is asked.

Whatever would be found out after a paid job, and does not depend on what the job gives, is found here: a first round that is not the same twice,
an exception in a later round, more rounds than the envelope has, a frame that is not what the manifest declares. What may be otherwise with
other counts is no fault: it is told in the plan as a doubt, and the gates behind the jobs decide.

The workload that gave the plan its first round goes on from there; a second start, whose cell comes to stand meanwhile, is only asked for its first
round.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from prefect_gatehouse.errors import DataRefused, GatehouseError, UnusableAnswer, WorkloadFailed
from prefect_gatehouse.manifest.declared_endpoint import dialect_of
from prefect_gatehouse.plurals import counted
from prefect_gatehouse.policy.classes import target_of
from prefect_gatehouse.run.cells import driven
from prefect_gatehouse.run.leaving import free_text
from prefect_gatehouse.run.minimised import column_of
from prefect_gatehouse.run.re_identification import refuse_strange
from prefect_gatehouse.run.rehearsed import Rehearsal
from prefect_gatehouse.run.returned import refuse_other_columns, refuse_unwritable
from prefect_gatehouse.run.stand_in import SHOTS, StandIn
from prefect_gatehouse.run.suite_standing import standing_of
from prefect_gatehouse.validation.declared_types import refuse_undeclared
from prefect_gatehouse.validation.validate import validate
from prefect_gatehouse.workload.angles import on_grid
from prefect_gatehouse.workload.batch import CircuitBatch
from prefect_gatehouse.workload.plain_form import circuits_digest
from prefect_gatehouse.workload.rounds import Finished

if TYPE_CHECKING:
    import pyarrow as pa

    from prefect_gatehouse.providers.interface import Progress
    from prefect_gatehouse.run.attempt import Attempt
    from prefect_gatehouse.run.later_rounds import LaterRounds
    from prefect_gatehouse.run.values import MinimisedData
    from prefect_gatehouse.validation.suite import Suite
    from prefect_gatehouse.vocabulary import CellName
    from prefect_gatehouse.workload.runner.interface import Runner
    from prefect_gatehouse.workload.summary import CircuitsSummary
    from prefect_gatehouse.write_back.target import Target

SECONDS = 60.0
"""After which no further round is begun; what is rehearsed by then counts."""
_DETERMINISTIC = "make the workload deterministic: seed what is random, read no clock, order what comes from sets; then resume the run"

Accept = Callable[[CircuitBatch], None]
"""Raises where a round could not be submitted."""


@dataclass(frozen=True)
class Stage:
    """Where a workload is rehearsed.

    Attributes:
        start: Starts the workload anew.
        first: Its first round, as it was planned.
        batch: The circuits of that round.
        rounds: The most that the envelope has.
        accept: Looks at every later round.
        report: Told of every round.
        until: When no further round is begun, by the monotonic clock.
        angle_step: The grid of the angles, in radians.
    """

    start: Callable[[], AbstractContextManager[Runner]]
    first: CircuitsSummary
    batch: CircuitBatch
    rounds: int
    accept: Accept
    report: Progress
    until: float
    angle_step: float | None = None


@dataclass(frozen=True)
class Course:
    """One way through a workload.

    Attributes:
        rounds: It was given counts of so many.
        table: What it returned, None where it was stopped before.
        stopped: What stopped it.
    """

    rounds: int
    table: pa.Table | None = None
    stopped: Literal["", "rounds", "time"] = ""


def rehearse(
    attempt: Attempt,
    minimised: MinimisedData,
    rounds: Runner,
    batch: CircuitBatch,
    first: CircuitsSummary,
    *,
    cell: CellName,
    suite: Suite,
    target: Target | None,
    later: LaterRounds,
) -> Rehearsal:
    """Runs the workload to its end on counts that stand in for a backend's.

    Args:
        attempt: The attempt.
        minimised: What the workload is given.
        rounds: The workload, after its first round; it is ended.
        batch: That round.
        first: The same, as the plan has it.
        cell: Where it runs.
        suite: Of the output.
        target: The table that the rows go to, None where nobody has seen it.
        later: Looks at every later round.

    Returns:
        What was rehearsed; that nobody did, where the manifest says so.

    Raises:
        WorkloadFailed: The workload is not deterministic, raised, asks for too many rounds or returns what is not declared; mended, the run
            can be resumed.
        GatehouseError: A later round could not be submitted.
    """
    manifest = minimised.admitted.manifest
    if manifest.execution.rehearsal == "skip":
        return Rehearsal(because="the manifest says execution.rehearsal: skip")
    begun = time.monotonic()
    shots = min(SHOTS, manifest.execution.shots)

    times = itertools.count(1)

    def start() -> AbstractContextManager[Runner]:
        return driven(attempt, minimised, cell, "rehearsal", next(times))

    most, report = manifest.execution.envelope.rounds, attempt.progress("rehearsal: rounds")
    stage = Stage(start, first, batch, most, later, report, begun + SECONDS, manifest.execution.angle_step)
    course, counts, doubts = to_the_end(stage, rounds, shots)
    doubts += later.doubts()
    if course.table is not None:
        doubts += _accepted(attempt, minimised, course.table, suite, target)
    return Rehearsal(
        rehearsed=True,
        rounds=course.rounds,
        shots=shots,
        simulated=counts.simulated,
        borrowed=counts.borrowed,
        uniform=counts.uniform,
        rows=None if course.table is None else course.table.num_rows,
        doubts=tuple(doubts),
        seconds=round(time.monotonic() - begun, 3),
    )


def to_the_end(stage: Stage, rounds: Runner, shots: int) -> tuple[Course, StandIn, list[str]]:
    """The way that the workload takes, its counts, and what is open after it.

    A workload may ask for rounds until its counts please it, so that too many are a fault only where they are asked for with simulated and
    with uniform counts alike.

    Raises:
        WorkloadFailed: As ``rehearse``.
    """
    counts = StandIn(shots)
    with _started_again(stage, rounds) as refuse_another:
        try:
            course = _onward(stage, rounds, counts)
        except (WorkloadFailed, DataRefused):
            refuse_another()  # what is another workload each time has its faults from there
            raise
        refuse_another()
    if course.stopped == "time":
        return course, counts, [f"how it ends: after {SECONDS:.0f} s no further round was rehearsed"]
    if course.stopped != "rounds":
        return course, counts, []
    many = f"more than the {stage.rounds} rounds of the envelope"
    doubt = f"whether it asks for {many}, as it did"
    if not counts.simulated:
        return course, counts, [doubt]
    other = StandIn(shots, simulate=False)
    try:
        with stage.start() as anew:
            _refuse_another(stage, anew)
            again = _onward(replace(stage, accept=lambda batch: None), anew, other)
    except WorkloadFailed:  # with counts that no circuit of it gives
        return course, counts, [doubt]
    if again.stopped == "rounds":
        raise WorkloadFailed(
            f"in the rehearsal the workload asks for {many}, with simulated and with uniform counts",
            where="execution.envelope.rounds",
            advice="let it ask for fewer and resume the run, or start a new run with a larger envelope",
        )
    return (again, other, [doubt]) if again.table is not None else (course, counts, [doubt])


@contextmanager
def _started_again(stage: Stage, before: Runner) -> Iterator[Callable[[], None]]:
    """The workload, started a second time as far as its first round: meanwhile where it runs apart, and otherwise after the first one has ended.

    Yields:
        Ends the first one, and refuses a second one that is another.
    """
    if not before.apart:

        def one_after_the_other() -> None:
            before.close()
            with stage.start() as anew:
                _refuse_another(stage, anew)

        yield one_after_the_other
        return
    with stage.start() as anew:
        anew.ask(None)

        def side_by_side() -> None:
            before.close()
            _refuse_another(stage, anew)

        yield side_by_side


def _refuse_another(stage: Stage, anew: Runner) -> None:
    """Takes the first round of a workload that was started again.

    Raises:
        WorkloadFailed: It is another one.
    """
    step = _on_grid(anew.advance(None), stage)
    if isinstance(step, Finished) or circuits_digest(step) != stage.first.digest:
        raise WorkloadFailed("the first round is another one when the workload is started again", where="workload", advice=_DETERMINISTIC)


def _onward(stage: Stage, rounds: Runner, counts: StandIn) -> Course:
    """Gives a workload that stands at its first round counts until it returns, or is stopped.

    Raises:
        WorkloadFailed: It raised.
        GatehouseError: A later round could not be submitted.
    """
    step: CircuitBatch | Finished = stage.batch
    given = 0
    while not isinstance(step, Finished):
        if given == stage.rounds:
            return Course(given, stopped="rounds")
        if time.monotonic() > stage.until:
            return Course(given, stopped="time")
        answer = counts(step)
        given += 1
        try:
            step = _on_grid(rounds.advance(answer), stage)
            if not isinstance(step, Finished) and given < stage.rounds:
                stage.accept(step)
        except GatehouseError as error:
            raise _after(error, given, counts.uniform) from None
        if not isinstance(step, Finished):
            stage.report(given, stage.rounds)
    if given > 1:  # of a single round nobody watches the progress
        stage.report(stage.rounds, stage.rounds)
    return Course(given, step.table)


def _on_grid(step: CircuitBatch | Finished, stage: Stage) -> CircuitBatch | Finished:
    return step if isinstance(step, Finished) else on_grid(step, stage.angle_step)


def _after(error: GatehouseError, given: int, uniform: int) -> GatehouseError:
    """The error, which no job was made for, with the words that tell that; uniform counts may be what it is about."""
    told = f" ({counted(uniform, 'circuit')} had uniform counts)" if uniform else ""
    message = f"{error.message}; in the rehearsal, after the counts of round {given}{told}"
    return type(error)(message, where=error.where, advice=error.advice, retry=error.retry, job_id=error.job_id)


def _accepted(attempt: Attempt, minimised: MinimisedData, table: pa.Table, suite: Suite, target: Target | None) -> list[str]:
    """What the suite leaves open.

    Raises:
        UnusableAnswer: The frame would be refused whatever the counts are.
    """
    manifest = minimised.admitted.manifest
    key = manifest.output.key
    try:
        refuse_other_columns(table, manifest.output)
        refuse_undeclared(table, manifest.output, free_text=free_text(minimised.admitted.tier.name))
        refuse_strange(table.column(key), column_of(attempt, minimised, key), where="output.key")
        zones = dialect_of(target_of(manifest).endpoint) == "postgresql"
        refuse_unwritable(table, manifest, target, zones=zones)
        standing = standing_of(suite, validate(suite, table))
    except DataRefused as refusal:
        raise UnusableAnswer(f"{refusal.message}; in the rehearsal", where=refusal.where, advice=f"{refusal.advice}; then resume the run") from None
    if standing.broken:
        raise UnusableAnswer(
            f"the workload's frame would fail the output suite: {', '.join(standing.broken)}; in the rehearsal",
            where=f"output.suite {manifest.output.suite}",
            advice="mend the workload or the suite, then resume the run",
        )
    return list(standing.open)
