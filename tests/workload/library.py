"""Every public name of ``qiskit.circuit.library`` as a small circuit, and everything else that a circuit can hold."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import qiskit.circuit.library as lib
from qiskit import QuantumCircuit
from qiskit.circuit import AnnotatedOperation, ControlModifier, InverseModifier, Operation, Parameter, PowerModifier
from qiskit.quantum_info import Pauli, SparsePauliOp, random_clifford, random_unitary

ISING = SparsePauliOp(["ZZI", "IZZ", "IIZ"], [0.5, -0.3, 0.7])  # they commute: a product formula is exact
SYMMETRIC = [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
STATE = [0.5, 0.5, 0.5, -0.5]


def on_all(operation: Operation) -> QuantumCircuit:
    """A circuit of one operation, its qubits in reverse."""
    circuit = QuantumCircuit(operation.num_qubits, operation.num_clbits)
    circuit.append(operation, circuit.qubits[::-1], circuit.clbits)
    return circuit


def _inner() -> QuantumCircuit:
    made = QuantumCircuit(2)
    made.h(0)
    made.cp(0.3, 0, 1)
    return made


def _oracle() -> QuantumCircuit:
    made = QuantumCircuit(3)
    made.ccz(0, 1, 2)
    return made


# What its constructor needs, where numbers can't be guessed from its signature.
MADE: dict[str, Callable[[], Any]] = {
    "AND": lambda: lib.AND(2, flags=[1, -1]),
    "AndGate": lambda: lib.AndGate(2, flags=[1, -1]),
    "BitFlipOracleGate": lambda: lib.BitFlipOracleGate("a & ~b"),
    "BitwiseXorGate": lambda: lib.BitwiseXorGate(3, 5),
    "BlueprintCircuit": lambda: lib.NLocal(2, lib.RYGate(Parameter("t")), lib.CXGate(), reps=1),
    "Diagonal": lambda: lib.Diagonal([1, -1, 1j, 1]),
    "DiagonalGate": lambda: lib.DiagonalGate([1, -1, 1j, 1]),
    "EvolvedOperatorAnsatz": lambda: lib.EvolvedOperatorAnsatz(ISING),
    "ExactReciprocal": lambda: lib.ExactReciprocal(2, 0.5),
    "ExactReciprocalGate": lambda: lib.ExactReciprocalGate(2, 0.5),
    "FourierChecking": lambda: lib.FourierChecking([1, -1, 1, 1], [1, 1, -1, 1]),
    "FunctionalPauliRotations": lambda: lib.LinearPauliRotations(2, 0.2, 0.1),
    "GMS": lambda: lib.GMS(2, [[0, 0.4], [0, 0]]),
    "GraphState": lambda: lib.GraphState(SYMMETRIC),
    "GraphStateGate": lambda: lib.GraphStateGate(SYMMETRIC),
    "GroverOperator": lambda: lib.GroverOperator(_oracle()),
    "HamiltonianGate": lambda: lib.HamiltonianGate([[0.2, 0.1], [0.1, -0.3]], 0.7),
    "HiddenLinearFunction": lambda: lib.HiddenLinearFunction(SYMMETRIC),
    "IQP": lambda: lib.IQP([[6, 1], [1, 3]]),
    "Initialize": lambda: lib.Initialize(STATE),
    "InnerProduct": lambda: lib.InnerProduct(2),
    "IntegerComparator": lambda: lib.IntegerComparator(2, 2),
    "IntegerComparatorGate": lambda: lib.IntegerComparatorGate(2, 2),
    "Isometry": lambda: lib.Isometry(random_unitary(4, seed=5).data[:, :2], 0, 0),
    "LinearAmplitudeFunction": lambda: lib.LinearAmplitudeFunction(2, 0.3, 0.1, (0, 1), (0, 1)),
    "LinearAmplitudeFunctionGate": lambda: lib.LinearAmplitudeFunctionGate(2, 0.3, 0.1, (0, 1), (0, 1)),
    "LinearPauliRotations": lambda: lib.LinearPauliRotations(2, 0.2, 0.1),
    "LinearFunction": lambda: lib.LinearFunction([[1, 1, 0], [0, 1, 1], [0, 0, 1]]),
    "MCGupDiag": lambda: lib.MCGupDiag(random_unitary(2, seed=6).data, 2, 0, 0),
    "MCMT": lambda: lib.MCMT(lib.ZGate(), 2, 1),
    "MCMTGate": lambda: lib.MCMTGate(lib.RYGate(0.3), 2, 1),
    "MCMTVChain": lambda: lib.MCMTVChain(lib.ZGate(), 2, 1),
    "MCXVChain": lambda: lib.MCXVChain(3),
    "MCXGate": lambda: lib.MCXGate(3, ctrl_state=5),
    "MCXGrayCode": lambda: lib.MCXGrayCode(3),
    "MCXRecursive": lambda: lib.MCXRecursive(5),
    "MSGate": lambda: lib.MSGate(2, 0.4),
    "NLocal": lambda: lib.NLocal(3, lib.RYGate(Parameter("t")), lib.CZGate(), reps=2),
    "OR": lambda: lib.OR(2),
    "PauliEvolutionGate": lambda: lib.PauliEvolutionGate(ISING, 0.3),
    "PauliGate": lambda: lib.PauliGate("XYZ"),
    "PauliProductMeasurement": lambda: lib.PauliProductMeasurement(Pauli("XZ")),
    "PauliProductRotationGate": lambda: lib.PauliProductRotationGate(Pauli("XYZ"), 0.3),
    "PauliTwoDesign": lambda: lib.PauliTwoDesign(3, reps=1, seed=3),
    "Permutation": lambda: lib.Permutation(3, [2, 0, 1]),
    "PermutationGate": lambda: lib.PermutationGate([2, 0, 1]),
    "PhaseEstimation": lambda: lib.PhaseEstimation(2, _inner()),
    "PhaseOracle": lambda: lib.PhaseOracle("a & ~b"),
    "PhaseOracleGate": lambda: lib.PhaseOracleGate("a & ~b"),
    "PiecewiseChebyshev": lambda: lib.PiecewiseChebyshev(lambda x: x / 4, 2, [0, 2], 2),
    "PiecewiseChebyshevGate": lambda: lib.PiecewiseChebyshevGate(lambda x: x / 4, 2, 2, [0, 2]),
    "PiecewiseLinearPauliRotations": lambda: lib.PiecewiseLinearPauliRotations(2, [0, 2], [0.2, 0.4], [0.1, 0.3]),
    "PiecewiseLinearPauliRotationsGate": lambda: lib.PiecewiseLinearPauliRotationsGate(2, [0, 2], [0.2, 0.4], [0.1, 0.3]),
    "PiecewisePolynomialPauliRotations": lambda: lib.PiecewisePolynomialPauliRotations(2, [0, 2], [[0.2, 0.4], [0.1, 0.3]]),
    "PiecewisePolynomialPauliRotationsGate": lambda: lib.PiecewisePolynomialPauliRotationsGate(2, [0, 2], [[0.2, 0.4], [0.1, 0.3]]),
    "PolynomialPauliRotations": lambda: lib.PolynomialPauliRotations(2, [0.1, 0.2, 0.3]),
    "PolynomialPauliRotationsGate": lambda: lib.PolynomialPauliRotationsGate(2, [0.1, 0.2, 0.3]),
    "QAOAAnsatz": lambda: lib.QAOAAnsatz(ISING),
    "QuadraticForm": lambda: lib.QuadraticForm(2, [[1, 0], [0, 1]], [1, -1], 1),
    "QuadraticFormGate": lambda: lib.QuadraticFormGate(2, [[1, 0], [0, 1]], [1, -1], 1),
    "QuantumVolume": lambda: lib.QuantumVolume(3, 2, seed=4),
    "StatePreparation": lambda: lib.StatePreparation(STATE),
    "TwoLocal": lambda: lib.TwoLocal(3, "ry", "cx", reps=1),
    "UCGate": lambda: lib.UCGate([random_unitary(2, seed=seed).data for seed in (7, 8)]),
    "UCPauliRotGate": lambda: lib.UCPauliRotGate([0.1, 0.2, 0.3, 0.4], "X"),
    "UCRXGate": lambda: lib.UCRXGate([0.1, 0.2]),
    "UCRYGate": lambda: lib.UCRYGate([0.1, 0.2]),
    "UCRZGate": lambda: lib.UCRZGate([0.1, 0.2]),
    "UniformSuperpositionGate": lambda: lib.UniformSuperpositionGate(3),
    "UnitaryGate": lambda: lib.UnitaryGate(random_unitary(8, seed=9)),
    "UnitaryOverlap": lambda: lib.UnitaryOverlap(_inner(), _inner()),
    "WeightedAdder": lambda: lib.WeightedAdder(2, [1, 2]),
    "WeightedSumGate": lambda: lib.WeightedSumGate(2, [1, 2]),
    "XOR": lambda: lib.XOR(3, 5),
    "fourier_checking": lambda: lib.fourier_checking([1, -1, 1, 1], [1, 1, -1, 1]),
    "evolved_operator_ansatz": lambda: lib.evolved_operator_ansatz(ISING),
    "grover_operator": lambda: lib.grover_operator(_oracle()),
    "hamiltonian_variational_ansatz": lambda: lib.hamiltonian_variational_ansatz(ISING),
    "hidden_linear_function": lambda: lib.hidden_linear_function(SYMMETRIC),
    "iqp": lambda: lib.iqp([[6, 1], [1, 3]]),
    "n_local": lambda: lib.n_local(3, ["ry", "rz"], "cz", reps=2),
    "pauli_two_design": lambda: lib.pauli_two_design(3, reps=1, seed=3),
    "phase_estimation": lambda: lib.phase_estimation(2, _inner()),
    "qaoa_ansatz": lambda: lib.qaoa_ansatz(ISING),
    "quantum_volume": lambda: lib.quantum_volume(3, 2, seed=4),
    "random_bitwise_xor": lambda: lib.random_bitwise_xor(3, seed=4),
    "random_iqp": lambda: lib.random_iqp(3, seed=4),
    "unitary_overlap": lambda: lib.unitary_overlap(_inner(), _inner()),
    # Beyond the library.
    "annotated-control": lambda: AnnotatedOperation(lib.QFTGate(2), ControlModifier(2, 1)),
    "annotated-inverse": lambda: AnnotatedOperation(lib.PermutationGate([2, 0, 1]), InverseModifier()),
    "annotated-power": lambda: AnnotatedOperation(lib.RXGate(0.4), [PowerModifier(0.5), ControlModifier(1, 0)]),
    "annotated-annotated": lambda: AnnotatedOperation(AnnotatedOperation(lib.TGate(), InverseModifier()), ControlModifier(1)),
    "control-annotated": lambda: lib.QFTGate(2).control(1, annotated=True),
    "inverse-annotated": lambda: lib.UnitaryGate(random_unitary(4, seed=2)).inverse(annotated=True),
    "power-annotated": lambda: lib.QFTGate(2).power(3, annotated=True),
    "control-of-a-circuit": lambda: _inner().to_gate().control(2, ctrl_state="01"),
    "circuit-repeated": lambda: _inner().repeat(3),
    "circuit-power": lambda: _inner().power(0.5, matrix_power=True),
    "clifford": lambda: random_clifford(3, seed=1),
    "global-phase": lambda: _phased(),
    "bound": lambda: _bound(),
}

# Helpers that make no circuit.
NO_CIRCUITS = {"get_standard_gate_name_mapping"}
# What measures or resets: no unitary, but it is lowered to gates, measurements and resets.
NOT_UNITARY = {"Measure", "Reset", "Initialize", "PauliProductMeasurement"}


def _phased() -> QuantumCircuit:
    inner = QuantumCircuit(1, global_phase=0.7)
    inner.append(lib.GlobalPhaseGate(0.2), [])
    inner.x(0)
    outer = QuantumCircuit(2)
    outer.h(0)
    outer.append(inner.to_gate().control(1), [0, 1])  # here the phase can be measured
    return outer


def _bound() -> QuantumCircuit:
    a, b = Parameter("a"), Parameter("b")
    made = QuantumCircuit(2)
    made.rx(2 * a + b.sin(), 0)
    made.append(lib.PauliEvolutionGate(SparsePauliOp("XY"), a * b), [0, 1])
    return made.assign_parameters({a: 0.3, b: 0.4})


def names() -> list[str]:
    """Every public class and function of the library, and the rest of the table."""
    made = (inspect.isclass, inspect.isfunction)
    public = [name for name in dir(lib) if not name.startswith("_") and any(kind(getattr(lib, name)) for kind in made)]
    return sorted({*public, *MADE} - NO_CIRCUITS)


def circuit_of(name: str) -> QuantumCircuit:
    """A circuit with this class's or function's operations, every parameter bound."""
    made: Any = MADE[name]() if name in MADE else _guessed(getattr(lib, name))
    if not isinstance(made, QuantumCircuit):
        made = on_all(made)
    free = sorted(made.parameters, key=lambda each: each.name)
    bound: QuantumCircuit = made.assign_parameters({each: 0.1 * (place + 1) for place, each in enumerate(free)})
    return bound


def _guessed(make: Callable[..., Any]) -> Any:
    """Numbers of qubits are 3, angles differ; other arguments have defaults."""
    needed = [each for each in inspect.signature(make).parameters.values() if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
    whole = ("num_", "feature_dimension")
    return make(*(_size(make, each.name) if each.name.startswith(whole) else 0.3 + place for place, each in enumerate(needed)))


def _size(make: Callable[..., Any], name: str) -> int:
    return 3 if name in ("num_ctrl_qubits", "num_qubits", "feature_dimension") or "variable" in name else 2
