"""The warm process (``tests/support/child.py``) for IBM Quantum."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from tests.support.child import serve


def make_desk(order: dict[str, Any]) -> Any:
    """A desk on the host whose folder the order names."""
    from prefect_gatehouse.testing import IBMEmulator
    from tests.support.ibm_desk import IBMDesk

    return IBMDesk(Path(order["folder"]), IBMEmulator(order["url"], order["environment"]), **order["settings"])


def warm() -> None:
    """Imports, and everything that Qiskit does at the first circuit."""
    from prefect_gatehouse.providers.ibm.device import Device
    from prefect_gatehouse.providers.ibm.isa import write_for
    from prefect_gatehouse.providers.ibm.jobs import params_of
    from tests.providers.circuits import flipped
    from tests.support.circuit_lists import batch_of

    folder = files("qiskit_ibm_runtime") / "fake_provider" / "backends" / "torino"
    documents = [json.loads((folder / f"{name}_torino.json").read_text()) for name in ("conf", "props")]
    params_of(write_for(batch_of([flipped(3, 0), flipped(3, 2)]), Device("warm", *documents)).batch, 1)


if __name__ == "__main__":
    serve(make_desk, warm)
