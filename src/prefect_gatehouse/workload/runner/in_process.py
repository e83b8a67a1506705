"""No cell: the workload runs in the process of the run, which hides what it says and no more."""

from __future__ import annotations

from prefect_gatehouse.workload.features import as_frame
from prefect_gatehouse.workload.load import forget_workload, load
from prefect_gatehouse.workload.rounds import Rounds
from prefect_gatehouse.workload.runner.interface import Task


def in_process(task: Task) -> Rounds:
    """A workload, ready to be driven here.

    Raises:
        InputError: There is no generator function of this name.
        WorkloadFailed: Its files raised while they were loaded.
    """
    forget_workload()  # it starts as it would in a process of its own
    return Rounds(load(task.workload), as_frame(task.features()), dict(task.parameters), task.declared)
