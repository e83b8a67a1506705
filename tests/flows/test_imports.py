"""What a flow process imports: a process pays for each module in CPU time, once for each part of a run."""

from __future__ import annotations

import subprocess
import sys

import pytest

ONLY_FOR_A_GATE = (
    "boto3",
    "braket",
    "cedarpy",
    "dask",
    "distributed",
    "great_expectations",
    "hvac",
    "numba",
    "openlineage",
    "prefect.server.database",
    "prefect_aws",
    "prefect_dask",
    "qiskit",
    "qiskit_aer",
    "scipy",
    "sklearn",
)


@pytest.mark.parametrize("flow", ["governed_pipeline", "clean_up"])
def test_a_flow_is_loaded_without_what_only_a_gate_uses(flow: str) -> None:
    """A fresh interpreter loads a flow as Prefect's engine does."""
    code = (
        "import sys\n"
        "from prefect.flow_engine import run_flow\n"
        "from prefect.flows import load_flow_from_entrypoint\n"
        "load_flow_from_entrypoint(sys.argv[1])\n"
        "print(*sorted(set(sys.argv[2:]) & set(sys.modules)))\n"
    )
    entrypoint = f"prefect_gatehouse.flows.{flow}.{flow}"
    done = subprocess.run([sys.executable, "-c", code, entrypoint, *ONLY_FOR_A_GATE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
