"""The table of gates that may leave is Qiskit's mapping as it is installed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import get_standard_gate_name_mapping

from prefect_gatehouse.workload.batch import Template
from prefect_gatehouse.workload.circuits import build_circuit, read_circuit
from prefect_gatehouse.workload.gates import PHASE, gate_shapes, standard_gates


def test_the_shapes_are_qiskit_s() -> None:
    """Every standard gate has its qubits and angles; delays and phases stay out, measurements and resets are in."""
    mapping = {name: gate for name, gate in get_standard_gate_name_mapping().items() if name not in ("delay", "measure", "reset")}
    shapes = {name: (gate.num_qubits, 0, len(gate.params)) for name, gate in mapping.items() if name != PHASE}
    assert {**shapes, "measure": (1, 1, 0), "reset": (1, 0, 0)} == gate_shapes()
    assert set(standard_gates()) == set(mapping)


@pytest.mark.parametrize("name", sorted(gate_shapes()))
def test_a_circuit_has_the_gate_that_its_template_names(name: str) -> None:
    """With its angles and qubits in their order, whichever way Qiskit takes it."""
    qubits, clbits, angles = gate_shapes()[name]
    places, bits, values = tuple(reversed(range(qubits))), tuple(range(1, clbits + 1)), [0.3 + place for place in range(angles)]
    expected = QuantumCircuit(qubits, 2)
    expected.append(get_standard_gate_name_mapping()[name].base_class(*values), places, bits)
    built = build_circuit(Template(qubits, 2, ((name, places, bits),)), values)
    assert built == expected
    assert read_circuit(built) == (Template(qubits, 2, ((name, places, bits),)), values)


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
