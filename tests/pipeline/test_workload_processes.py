"""Workloads against the processes that run them, under a real worker with the deployments as they are."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.pipeline import ROWS, WORKLOAD, Pipeline

from prefect_gatehouse.operate import runs as control

pytestmark = pytest.mark.timeout(400)

HEAD, TAIL = "    for turn in range", "    return pd.DataFrame"
# The angles are those of the set's order: in a process with other hashing the circuits are others.
SETS = WORKLOAD.replace(
    "    total = 0\n", '    total = sum(place * ord(name) for place, name in enumerate({"a", "b", "c", "d", "e", "f", "g", "h"})) % 97\n'
)
# Only what has counts knows that the jobs are done: the workload's process ends after them.
DIES = WORKLOAD.replace(TAIL, "    import os\n    os._exit(9)\n" + TAIL)


@pytest.fixture
def make(tmp_path: Path, stack: Any, prefect_home: Path, worker: None) -> Iterator[Callable[..., Pipeline]]:
    """Makes a pipeline that the worker runs, so in the worker's home; its people are its own."""
    home = prefect_home / "gatehouse-home"
    made: list[Pipeline] = []

    def with_workload(text: str, rehearsal: str = "required") -> Pipeline:
        shutil.rmtree(home / "people", ignore_errors=True)
        made.append(Pipeline(tmp_path / f"p{len(made)}", None, control.DEPLOYMENT, home=home, workload=text, rehearsal=rehearsal))
        return made[-1]

    yield with_workload
    for each in made:
        each.__exit__()


def status(pipeline: Pipeline, run_id: str, *wanted: str) -> Any:
    """The run's row, once its status is one of these."""
    until = time.monotonic() + 180
    while time.monotonic() < until:
        row = pipeline.ledger.run(run_id)
        if row is not None and row.status in wanted:
            return row
        time.sleep(0.3)
    raise AssertionError(f"the run is {pipeline.ledger.run(run_id)}, Prefect has it as {pipeline.state(run_id)}")


def test_a_workload_that_walks_a_set(make: Callable[..., Pipeline]) -> None:
    """Planned in one process and driven in another: the circuits are those that were approved, and the run completes."""
    pipeline = make(SETS)
    run_id = pipeline.start()
    status(pipeline, run_id, "waiting")
    pipeline.answer(run_id)
    assert status(pipeline, run_id, "ended", "failed").ending == "completed", pipeline.state(run_id)
    assert len(pipeline.rows()) == ROWS


def test_a_workload_that_ends_its_process(make: Callable[..., Pipeline]) -> None:
    """``os._exit`` after the jobs: it is its cell's process that ends; the run fails in an orderly way, and can be resumed."""
    pipeline = make(DIES, rehearsal="skip")
    run_id = pipeline.start()
    status(pipeline, run_id, "waiting")
    pipeline.answer(run_id)
    row = status(pipeline, run_id, "failed", "ended")
    assert (row.status, row.ending) == ("failed", None)
    assert row.message.startswith("workload.py: the workload ended its process")
    assert pipeline.rows() == []
