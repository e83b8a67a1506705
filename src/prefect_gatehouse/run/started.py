"""What started the process that drives a run, and where the run's workload runs: what the policy is told of how a run is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefect_gatehouse.ledger.events import RunTaken
from prefect_gatehouse.run.cells import cell_of
from prefect_gatehouse.run.values import AdmittedRun, Plan
from prefect_gatehouse.vocabulary import CellName, WorkerKind

if TYPE_CHECKING:
    from prefect_gatehouse.run.attempt import Attempt


@dataclass(frozen=True)
class Started:
    """How a run is run.

    Attributes:
        worker: What started the process that asks: the weakest, unless it proved more. A command that looks after many runs proves nothing.
        cell: Where the workload runs: that of the plan; before there is one, the one that the run gets here.
    """

    worker: WorkerKind
    cell: CellName


def worker_of(attempt: Attempt) -> WorkerKind:
    """The kind of worker that started an attempt's process: what it proved, and otherwise the weakest."""
    taken = attempt.find(f"taken:{attempt.number}", RunTaken)
    return taken.fact.worker if taken is not None else "process"


def started(attempt: Attempt, admitted: AdmittedRun) -> Started:
    """How this attempt runs its run.

    Raises:
        InputError: There is no plan yet, and the setting names a cell that is weaker than the tier's weakest.
        Unavailable: There is no plan yet, and no cell here that is strong enough.
    """
    plan = attempt.chain.read(Plan.gate, Plan)
    return Started(worker_of(attempt), plan.body.cell if plan is not None else cell_of(attempt, admitted))
