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
    """Imports, and what the SDK makes of a machine's documents. Nothing is transpiled: Qiskit's threads would be missing in the children."""
    import qiskit.transpiler  # noqa: F401
    import qiskit_ibm_runtime.api.rest.runtime  # noqa: F401

    from prefect_gatehouse.providers.ibm import jobs  # noqa: F401
    from prefect_gatehouse.providers.ibm.device import Device
    from tests.providers.circuits import flipped
    from tests.support.circuit_lists import batch_of

    folder = files("qiskit_ibm_runtime") / "fake_provider" / "backends" / "torino"
    assert Device("warm", *(json.loads((folder / f"{name}_torino.json").read_text()) for name in ("conf", "props"))).parts
    batch_of([flipped(3, 0), flipped(3, 2)])


if __name__ == "__main__":
    serve(make_desk, warm)
