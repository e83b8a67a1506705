"""Checks about counts: right circuits, right bits, right order, whatever is idle, zero, wide or many."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.providers.conformance.bench import Bench, batch_of, bytes_of, require
from prefect_gatehouse.providers.conformance.bounds import distance, order_bound, sampling
from prefect_gatehouse.workload.counts import Counts
from prefect_gatehouse.workload.gates import gate_shapes, standard_gates

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

_ERRORS = 0.2  # what a device's errors may add to the distance of a circuit of few gates; one that is further off measures hardly anything
_MORE = 8  # times the shots, at a simulator, for which they are free: sampling explains less than 0.07 of 32 outcomes then
_WIDE = 70  # classical bits, more than a machine word has


def bit_order(bench: Bench) -> None:
    """Qubit 0 is rightmost: X on one qubit, for each qubit in turn."""
    for width in (2, 3, 5):
        found = bench.run(*(flipped(width, qubit) for qubit in range(width)), shots=100)
        for qubit, counts in enumerate(found):
            _require_bits(bench, counts, "0" * (width - 1 - qubit) + "1" + "0" * qubit)


def asymmetric_circuits(bench: Bench) -> None:
    """Circuits whose qubits all differ, with and without entanglement, have the ideal distribution; in no other order of bits would they."""
    circuits = asymmetric()
    for circuit, counts in zip(circuits, bench.run(*circuits), strict=True):
        right = ideal(circuit)
        _require_near(counts, right, order_bound(right, bench.extent.shots, noisy=bench.noisy))


def asymmetric() -> list[QuantumCircuit]:
    """Circuits that no other order of their bits leaves as they are."""
    from qiskit import QuantumCircuit

    product, entangled = QuantumCircuit(3, 3), QuantumCircuit(3, 3)
    for qubit, share in enumerate((0.02, 0.5, 0.98)):
        product.ry(2 * math.asin(math.sqrt(share)), qubit)
    entangled.ry(0.5, 0)
    entangled.x(2)
    entangled.cx(2, 1)
    entangled.h(1)
    entangled.cx(0, 2)
    for circuit in (product, entangled):
        circuit.measure(range(3), range(3))
    return [product, entangled]


def prepared_circuits(bench: Bench) -> None:
    """What is prepared for the device gives the ideal counts over the workload's own bits, and is the same in every process."""
    import numpy as np
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    turned, apart = QuantumCircuit(3, 4), QuantumCircuit(5, 2)
    for qubit, angle in enumerate(ParameterVector("t", 3)):
        turned.rx(angle, qubit)
        turned.rz(2 * angle, qubit)
    turned.measure(range(3), [3, 0, 1])
    apart.x(4)
    apart.ccx(4, 0, 2)
    apart.measure([4, 0], [0, 1])
    rows = [(0.0, 0.0, math.pi), (math.pi, 0.0, 0.0)]
    batch = batch_of([*asymmetric(), (turned, np.array(rows)), apart])
    found = bench.backend.prepare(batch, bench.extent.shots, bench.lease)
    again = bench.subject.connect().prepare(batch, bench.extent.shots, bench.lease)
    require(found.settings == again.settings and bytes_of(found.batch) == bytes_of(again.batch), "another process prepares other circuits")
    require(list(found.batch.clbits()) == list(batch.clbits()), "prepared circuits have other classical bits, or are not as many")
    require(found.quality is None or 0 <= found.quality <= 1, "the estimated quality is no chance")
    counts = bench.run_batch(found.batch, bench.extent.shots)
    for circuit, each in zip(asymmetric(), counts, strict=False):
        right = ideal(circuit)
        _require_near(each, right, order_bound(right, bench.extent.shots, noisy=bench.noisy))
    for each, bits, measured in zip(counts[2:], ("0010", "1000", "01"), ({3, 0, 1}, {3, 0, 1}, {0, 1}), strict=True):
        _require_bits(bench, each, bits, measured)


def subsets_of_qubits(bench: Bench) -> None:
    """Only some qubits are measured, crosswise, while others are flipped, entangled or idle."""
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(5, 2)
    circuit.x(0)
    circuit.ry(0.5, 3)
    circuit.ry(2.2, 1)
    circuit.cx(3, 4)
    circuit.measure([3, 1], [1, 0])
    right = ideal(circuit)
    (counts,) = bench.run(circuit)
    _require_near(counts, right, order_bound(right, bench.extent.shots, noisy=bench.noisy))


def sparse_bits(bench: Bench) -> None:
    """A bit that nothing is measured into reads 0, the others stand where they belong; beside another circuit in the job and alone."""
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(4, 9)
    circuit.x(3)
    circuit.cx(3, 1)
    circuit.measure([3, 1, 0], [8, 2, 5])
    alone = bench.run(circuit, shots=100)
    for counts in (*alone, bench.run(flipped(2, 1), circuit, shots=100)[1]):
        _require_bits(bench, counts, "100000100", {8, 2, 5})


def several_registers(bench: Bench) -> None:
    """Named registers come back as one string of the full width, the second one leftmost, no space between."""
    from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

    circuit = QuantumCircuit(QuantumRegister(3, "patients"), ClassicalRegister(1, "low"), ClassicalRegister(3, "high"))
    circuit.x(0)
    circuit.x(2)
    circuit.measure([0, 1, 2], [0, 1, 2])
    (counts,) = bench.run(circuit, shots=100)
    _require_bits(bench, counts, "0101", {0, 1, 2})


def wide_registers(bench: Bench) -> None:
    """As many qubits as the backend has and more bits than a machine word, of which little is used."""
    from qiskit import QuantumCircuit

    width = min(bench.facts.qubits, _WIDE)
    circuit = QuantumCircuit(width, _WIDE)
    circuit.x(width - 1)
    circuit.measure([width - 1, 0], [_WIDE - 1, 0])
    (counts,) = bench.run(circuit, shots=100)
    _require_bits(bench, counts, "1" + "0" * (_WIDE - 1), {_WIDE - 1, 0})


def zero_angles(bench: Bench) -> None:
    """Gates that turn by nothing, qubits that are only measured, and a sweep over zero lose no qubit, no bit and no circuit."""
    import numpy as np
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    still, bare, turned = QuantumCircuit(3, 3), QuantumCircuit(2, 2), QuantumCircuit(2, 2)
    for qubit in range(3):
        still.rx(0.0, qubit)
    still.rz(0.0, 1)
    for qubit, angle in enumerate(ParameterVector("t", 2)):
        turned.rx(angle, qubit)
    for circuit in (still, bare, turned):
        circuit.measure(circuit.qubits, circuit.clbits)
    rows = [(0.0, 0.0), (math.pi, 0.0), (0.0, math.pi), (0.0, 0.0)]
    found = bench.run(still, bare, (turned, np.array(rows)), shots=100)
    for counts, right in zip(found, ["000", "00", "00", "01", "10", "00"], strict=True):
        _require_bits(bench, counts, right)


def every_gate(bench: Bench) -> None:
    """Each gate that may leave, between turns that make its direction and its order of qubits visible; a refusal is no wrong answer."""
    circuits = []
    for name, (qubits, _, angles) in gate_shapes().items():
        if name in standard_gates():
            circuit = between_turns(name, qubits, angles)
            try:
                bench.payload([circuit])
            except (InputError, Denied):
                bench.refused.append(name)
                continue
            circuits.append((name, circuit))
    require(len(circuits) >= 20, f"only {len(circuits)} of the standard gates are taken")
    shots = bench.extent.shots * (1 if bench.noisy else _MORE)
    found = bench.run(*(circuit for _, circuit in circuits), shots=shots)
    for (name, circuit), counts in zip(circuits, found, strict=True):
        right = ideal(circuit)
        bound = sampling(right, shots) + (_ERRORS if bench.noisy else 0.0)
        _require_near(counts, right, bound, f"the gate {name}: ")


def one_circuit(bench: Bench) -> None:
    """A job of a single circuit, and of a single shot; numbers of shots are kept."""
    for shots in (1, 2, 999):
        (counts,) = bench.run(flipped(3, 0, 1), shots=shots)
        if not bench.noisy:
            _require_bits(bench, counts, "011")


def many_circuits(bench: Bench) -> None:
    """Thousands of settings of one template: each gives its own number, in the order in which they were sent; progress ends with all of them."""
    import numpy as np
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    number = bench.extent.circuits
    width = min(bench.facts.qubits, max(1, (number - 1).bit_length()))
    circuit = QuantumCircuit(width, width)
    for qubit, angle in enumerate(ParameterVector("t", width)):
        circuit.rx(angle, qubit)
    circuit.measure(range(width), range(width))
    numbers = [place * 2731 % 2**width for place in range(number)]  # an odd factor: every number comes, neighbours far apart
    values = np.pi * np.array([[each >> qubit & 1 for qubit in range(width)] for each in numbers], float)
    told: list[tuple[int, int]] = []
    found = bench.run((circuit, values), shots=bench.extent.sweep_shots, progress=lambda done, total: told.append((done, total)))
    for counts, each in zip(found, numbers, strict=True):
        _require_bits(bench, counts, format(each, f"0{width}b"))
    require(bool(told) and all(0 < done <= total for done, total in told) and told[-1][0] == told[-1][1], "progress does not end with all circuits")


def mixed_templates(bench: Bench) -> None:
    """Circuits of several templates in turn, settings of one of them in two places: results in the order of the circuits."""
    import numpy as np
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter

    turned = QuantumCircuit(3, 3)
    turned.rx(Parameter("t"), 1)
    turned.measure(range(3), range(3))
    sweep = (turned, np.array([[math.pi], [0.0]]))
    found = bench.run(flipped(2, 0), sweep, flipped(3, 2), flipped(2, 0), sweep, flipped(1), shots=100)
    for counts, right in zip(found, ["01", "010", "000", "100", "01", "010", "000", "0"], strict=True):
        _require_bits(bench, counts, right)


def own_noise(bench: Bench) -> None:
    """Equal circuits of one job do not share one sequence of random numbers, and all are fair."""
    from qiskit import QuantumCircuit

    coin = QuantumCircuit(1, 1)
    coin.h(0)
    coin.measure(0, 0)
    shots = bench.extent.shots
    heads = [counts.get("0", 0) for counts in bench.run(*[coin] * 30)]
    require(len(set(heads)) > 12, "equal circuits of a job have equal counts")
    # Six standard deviations of their mean, and what a device's errors add.
    apart = abs(sum(heads) / 30 / shots - 0.5)
    require(apart < 6 * math.sqrt(1 / (4 * shots * 30)) + (_ERRORS / 2 if bench.noisy else 0.0), f"a fair coin is off by {apart:.3f}")


def flipped(width: int, *qubits: int) -> QuantumCircuit:
    """X on some qubits, each qubit measured into its own bit."""
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(width, width)
    for qubit in qubits:
        circuit.x(qubit)
    circuit.measure(range(width), range(width))
    return circuit


def between_turns(name: str, qubits: int, angles: int) -> QuantumCircuit:
    """A standard gate, between rotations that make its direction and its order of qubits visible."""
    from qiskit import QuantumCircuit

    width = qubits + 1
    circuit = QuantumCircuit(width, width)
    for qubit in range(width):
        circuit.ry(0.4 + 0.3 * qubit, qubit)
    circuit.append(standard_gates()[name].base_class(*(0.3 + 0.5 * place for place in range(angles))), range(qubits))
    for qubit in range(width):
        circuit.rx(0.9 - 0.2 * qubit, qubit)
    circuit.measure(range(width), range(width))
    return circuit


def ideal(circuit: QuantumCircuit) -> dict[str, float]:
    """The distribution over all classical bits, by Qiskit's state vector; for circuits of few qubits that end with their measurements."""
    from qiskit.quantum_info import Statevector

    where: dict[int, int] = {}
    bare: Any = circuit.copy_empty_like()
    for item in circuit.data:
        if item.operation.name == "measure":
            where[circuit.find_bit(item.clbits[0]).index] = circuit.find_bit(item.qubits[0]).index
        else:
            bare.append(item)
    found: dict[str, float] = {}
    for key, probability in Statevector(bare).probabilities_dict().items():
        bits = "".join(key[len(key) - 1 - where[bit]] if bit in where else "0" for bit in reversed(range(circuit.num_clbits)))
        found[bits] = found.get(bits, 0.0) + float(probability)
    return found


def _require_near(counts: Counts, right: Mapping[str, float], bound: float, what: str = "") -> None:
    found = distance(counts, right)
    require(found <= bound, f"{what}counts are {found:.3f} from what is ideal, at most {bound:.3f} is allowed")


def _require_bits(bench: Bench, counts: Counts, right: str, measured: set[int] | None = None) -> None:
    """That every shot gives one result; of a backend that errs every bit by the majority, and those that nothing was measured into always."""
    if not bench.noisy:
        other = max(counts, key=lambda key: counts[key])
        require(set(counts) == {right}, f"the one right result is {right}, the counts have {other if other != right else 'others as well'}")
        return
    shots = sum(counts.values())
    width = len(right)
    for bit in range(width):
        ones = sum(count for key, count in counts.items() if key[width - 1 - bit] == "1")
        wanted = right[width - 1 - bit] == "1"
        if measured is not None and bit not in measured:
            require(ones == 0, f"nothing was measured into bit {bit}, and it reads 1")
        else:
            require((2 * ones > shots) == wanted, f"the one right result is {right}, bit {bit} reads {int(not wanted)} in most shots")
