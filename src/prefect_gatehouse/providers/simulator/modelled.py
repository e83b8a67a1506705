"""Circuits on a model of a device: Aer with the mean errors of a calibration, or without errors where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.providers.calibration import Errors
from prefect_gatehouse.workload.batch import CircuitBatch, Template
from prefect_gatehouse.workload.circuits import build_circuit
from prefect_gatehouse.workload.counts import Counts

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

NOISY, IDEAL = 11, 24
"""Qubits that a circuit may use: a density matrix of 2^22 complex numbers is 64 MiB, a state vector of 2^24 is 256."""
_SEEDS = 2**31 - 1


def modelled(batch: CircuitBatch, shots: int, errors: Errors | None, seed: int) -> list[Counts]:
    """Counts of each circuit in order.

    Args:
        batch: The circuits.
        shots: Of each.
        errors: Of the device; None for a perfect one.
        seed: The same seed gives the same counts.

    Raises:
        InputError: A circuit uses more qubits than can be modelled.
    """
    from qiskit import transpile
    from qiskit_aer import AerSimulator

    small = [(_used(template), angles) for template, angles in batch.settings()]
    widest, most = max(template.qubits for template, _ in small), NOISY if errors is not None else IDEAL
    if widest > most:
        what = "with the device's errors" if errors is not None else "without errors"
        raise InputError(
            f"a circuit uses {widest} qubits, more than the {most} that are modelled {what}", where="reproduce", advice="keep smaller ones"
        )
    circuits = [build_circuit(template, angles.tolist()) for template, angles in small]
    if errors is None:
        simulator = AerSimulator(method="statevector")
    else:
        circuits = [transpile(each, basis_gates=_basis(each), optimization_level=0, seed_transpiler=0) for each in circuits]
        simulator = AerSimulator(method="density_matrix", noise_model=_noise(errors, circuits))
    found = simulator.run(transpile(circuits, simulator, optimization_level=0), shots=shots, seed_simulator=seed % _SEEDS).result()
    return [
        {f"{int(key, 16):0{template.clbits}b}": int(count) for key, count in experiment.data.counts.items()}
        for experiment, (template, _) in zip(found.results, small, strict=True)
    ]


def _used(template: Template) -> Template:
    """Without the qubits that nothing is done to: a compiled circuit has a machine's width."""
    places = {qubit: place for place, qubit in enumerate(sorted({qubit for _, qubits, _ in template.gates for qubit in qubits}))}
    gates = tuple((name, tuple(places[qubit] for qubit in qubits), clbits) for name, qubits, clbits in template.gates)
    return Template(len(places), template.clbits, gates)


def _basis(circuit: QuantumCircuit) -> list[str]:
    """The circuit's own gates on one and two qubits; larger ones come apart into CX and rotations."""
    return sorted({item.operation.name for item in circuit.data if item.operation.num_qubits <= 2} | {"cx", "u"})


def _noise(errors: Errors, circuits: list[QuantumCircuit]) -> Any:
    """Every gate depolarises as its mean fidelity says, every read-out flips."""
    from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

    gates = {(item.operation.name, item.operation.num_qubits) for each in circuits for item in each.data}
    noise = NoiseModel(basis_gates=sorted(name for name, _ in gates))
    for name, width in sorted(gates):
        if name in {"measure", "reset", "barrier"}:
            continue
        # Average infidelity r of d levels is a depolarising channel of strength r d / (d - 1) (Magesan et al., PRA 85, 042311).
        levels, error = 2**width, errors.one if width == 1 else errors.two
        noise.add_all_qubit_quantum_error(depolarizing_error(min(1.0, error * levels / (levels - 1)), width), name)
    noise.add_all_qubit_readout_error(ReadoutError([[1 - errors.readout, errors.readout], [errors.readout, 1 - errors.readout]]))
    return noise
