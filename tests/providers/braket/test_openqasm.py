"""The program that is sent: one text for one template, in few gates, with plain lists for a sweep's angles."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Operator

from prefect_gatehouse.providers.braket.jobs import action_of
from prefect_gatehouse.providers.braket.openqasm import OUTPUT_GATES, lowered
from prefect_gatehouse.workload.batch import Template
from prefect_gatehouse.workload.gates import gate_shapes, standard_gates
from tests.support.circuit_lists import batch_of


def circuit() -> QuantumCircuit:
    made = QuantumCircuit(4, 3)
    made.cp(Parameter("a"), 3, 1)
    made.measure([1, 3, 0], [2, 0, 1])
    return made


def test_one_circuit_is_a_program_with_its_numbers() -> None:
    """Qubits without gaps, an identity where a qubit is only measured, and a bit for each qubit that is measured."""
    action = json.loads(action_of(batch_of([circuit().assign_parameters([0.5])])).json())
    assert action["braketSchemaHeader"]["name"] == "braket.ir.openqasm.program" and not action["inputs"]
    assert action["source"].splitlines() == [
        "OPENQASM 3.0;",
        "bit[3] b;",
        "qubit[3] q;",
        "rz(0.25) q[2];",
        "cnot q[2], q[1];",
        "rz(-0.25) q[1];",
        "cnot q[2], q[1];",
        "rz(0.25) q[1];",
        "i q[0];",
        "b[0] = measure q[0];",
        "b[1] = measure q[1];",
        "b[2] = measure q[2];",
    ]


def test_a_sweep_is_a_program_with_lists() -> None:
    """Each angle of the program is an input; what it is in each setting is computed here."""
    action = json.loads(action_of(batch_of([(circuit(), [[0.5], [1.0], [0.0]])])).json())
    (program,) = action["programs"]
    assert program["inputs"] == {"a0": [0.25, 0.5, 0.0], "a1": [-0.25, -0.5, 0.0], "a2": [0.25, 0.5, 0.0]}
    assert "input float a2;" in program["source"] and "rz(a1) q[1];" in program["source"]


def test_a_circuit_without_angles_stands_as_often_as_it_comes() -> None:
    """A program without inputs runs once."""
    flip = QuantumCircuit(1, 1)
    flip.x(0)
    flip.measure(0, 0)
    assert len(json.loads(action_of(batch_of([flip] * 3)).json())["programs"]) == 3


QISKIT = {"i": "id", "si": "sdg", "ti": "tdg", "v": "sx", "vi": "sxdg", "cnot": "cx"}


@pytest.mark.parametrize("name", [name for name in gate_shapes() if name not in {"measure", "reset"}])
def test_every_gate_is_lowered_exactly(name: str) -> None:
    """To gates that all devices take, and to the same unitary up to a global phase, at angles that no symmetry hides."""
    qubits, _, angles = gate_shapes()[name]
    template = Template(qubits, 1, ((name, tuple(range(qubits)), ()),))
    form, values = lowered(template), [0.37 + 0.81 * place for place in range(angles)]
    turns = form.turns(np.array([values]))
    found = QuantumCircuit(qubits)
    for place, step in enumerate(form.steps):
        gate = standard_gates()[QISKIT.get(step.gate, step.gate)]
        found.append(gate.base_class(*([turns[place][0]] if place in turns else [])), step.qubits)
    assert {step.gate for step in form.steps} <= OUTPUT_GATES
    assert Operator(found).equiv(Operator(standard_gates()[name].base_class(*values)))


def test_the_bytes_are_the_same_in_every_process() -> None:
    """A token with other bytes is refused, so two processes must write the same, whatever their hash seed."""
    code = "import sys; from tests.providers.braket.test_openqasm import written\nsys.stdout.write(written())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "4711"}).stdout
    assert other == written() and "a2" in other


def written() -> str:
    return str(action_of(batch_of([(circuit(), [[0.1], [0.7]]), circuit().assign_parameters([0.3])])).json())
