"""Lists of Qiskit's circuits in and out of the plain form, as tests write and read them."""

from __future__ import annotations

from collections.abc import Sequence

from qiskit import QuantumCircuit

from prefect_gatehouse.workload import plain_form
from prefect_gatehouse.workload.batch import CircuitBatch
from prefect_gatehouse.workload.circuits import build_circuit
from prefect_gatehouse.workload.gates import gate_shapes
from prefect_gatehouse.workload.pubs import read_round
from prefect_gatehouse.workload.summary import CircuitsSummary

Operation = tuple[str, tuple[int, ...], tuple[int, ...], tuple[float, ...]]


def batch_of(circuits: Sequence[object] | CircuitBatch) -> CircuitBatch:
    """What a workload would have yielded, as a batch."""
    return circuits if isinstance(circuits, CircuitBatch) else read_round(list(circuits)).batch


def summarise(circuits: Sequence[object] | CircuitBatch, shots: int) -> CircuitsSummary:
    """What a list of circuits amounts to."""
    return plain_form.summarise(batch_of(circuits), shots)


def encode(circuits: Sequence[object] | CircuitBatch, shots: int) -> bytes:
    """The plain form of a list of circuits."""
    return plain_form.write(batch_of(circuits), shots)


def decode(payload: bytes) -> tuple[list[QuantumCircuit], int]:
    """The circuits of a plain form, each of its own, and the shots."""
    batch, shots = plain_form.decode(payload)
    return circuits_of(batch), shots


def circuits_of(batch: CircuitBatch) -> list[QuantumCircuit]:
    """Each circuit of a batch."""
    return [build_circuit(template, angles.tolist()) for template, angles in batch.settings()]


def operations(circuit: QuantumCircuit) -> list[Operation]:
    """A circuit's operations in order: name, qubits, classical bits, angles."""
    ((template, angles),) = batch_of([circuit]).settings()
    left = angles.tolist()
    found = []
    for name, qubits, clbits in template.gates:
        count = gate_shapes()[name][2]
        found.append((name, qubits, clbits, tuple(left[:count])))
        del left[:count]
    return found
