"""What the two processes of a run import, each started as a worker starts it: what their gates use, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.pipeline import Pipeline

from prefect_gatehouse.workload.hashing import SEED

# Collections of Prefect, stores and engines that this run names none of; its suites are decided on batches and its tokens come from the cache.
OF_NO_GATE = frozenset({"boto3", "braket", "dask", "distributed", "great_expectations", "hvac", "prefect_aws", "prefect_dask", "qiskit_ibm_runtime"})

AER = "qiskit_aer.backends.controller_wrappers"

# The engine's process, with a list of what it had imported when it left.
ENGINE = """
import atexit, pathlib, runpy, sys
file = pathlib.Path(sys.argv.pop())
atexit.register(lambda: file.write_text("\\n".join(sys.modules)))
runpy.run_module("prefect.engine", run_name="__main__")
"""


def imported(pipeline: Pipeline, run_id: str, file: Path) -> set[str]:
    """The modules of one process of a run."""
    environment = {**os.environ, "GATEHOUSE_HOME": str(pipeline.home), "PREFECT__FLOW_RUN_ID": run_id, "PYTHONHASHSEED": SEED}
    environment["GATEHOUSE_LINGER_SECONDS"] = "1"  # it stays for an answer, as by default, but not for a minute
    done = subprocess.run([sys.executable, "-c", ENGINE, run_id, str(file)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(file.read_text().split())


def test_each_process_imports_what_its_gates_use(make_pipeline: Any, deployed_stack: Any, tmp_path: Path) -> None:
    """Before the approval no simulator, where nothing is rehearsed; on neither side a store's client, another engine or Great Expectations.

    Qiskit is imported for the drawings where no second cell makes them, and not to simulate: Aer's compiled part does that by itself.
    """
    pipeline = make_pipeline(rehearsal="skip")
    pipeline.deployment = "governed-pipeline/governed-pipeline"  # with the entry point that a worker loads
    run_id = pipeline.start()
    before = imported(pipeline, run_id, tmp_path / "before")
    assert pipeline.state(run_id).is_paused()
    assert OF_NO_GATE & before == set()
    assert {"qiskit", "cedarpy"} <= before
    assert not {"qiskit_aer", AER} & before
    pipeline.answer(run_id)
    after = imported(pipeline, run_id, tmp_path / "after")
    assert pipeline.state(run_id).is_completed()
    assert OF_NO_GATE & after == set()
    assert AER in after
    assert not {"qiskit", "qiskit_aer"} & after
