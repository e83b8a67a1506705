"""The table of gates that may leave is Qiskit's mapping as it is installed."""

from __future__ import annotations

import subprocess
import sys

from qiskit.circuit.library import get_standard_gate_name_mapping

from prefect_gatehouse.workload.gates import PHASE, gate_shapes, standard_gates


def test_the_shapes_are_qiskit_s() -> None:
    """Every standard gate has its qubits and angles; delays and phases stay out, measurements and resets are in."""
    mapping = {name: gate for name, gate in get_standard_gate_name_mapping().items() if name not in ("delay", "measure", "reset")}
    shapes = {name: (gate.num_qubits, 0, len(gate.params)) for name, gate in mapping.items() if name != PHASE}
    assert {**shapes, "measure": (1, 1, 0), "reset": (1, 0, 0)} == gate_shapes()
    assert set(standard_gates()) == set(mapping)


def test_reading_a_round_needs_no_qiskit() -> None:
    """The run's side of a cell imports neither Qiskit nor pandas."""
    code = (
        "import sys\n"
        "from prefect_gatehouse.workload import plain_form\n"
        "from prefect_gatehouse.workload.runner import cell, choose, faults, table_form\n"
        'batch = cell._batch(b\'1\\ngatehouse-circuits/2\\n[[1,1,[["h",[0],[]],["measure",[0],[0]]]]]\\n[[0,1]]\\n\')\n'
        "plain_form.summarise(batch, 64)\n"
        "print(sorted({'qiskit', 'pandas', 'prefect'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
