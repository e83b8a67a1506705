"""Circuits in the own gates of each kind of machine: the same unitary as the workload's, nothing that the machine does not have."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator

from prefect_gatehouse.emulators.braket.devices import devices
from prefect_gatehouse.emulators.braket.execute import read_action
from prefect_gatehouse.emulators.braket.verbatim import require_native
from prefect_gatehouse.emulators.faults import Fault
from prefect_gatehouse.providers.braket.capabilities import Capabilities, read_capabilities
from prefect_gatehouse.providers.braket.jobs import action_of
from prefect_gatehouse.providers.braket.native import IONQ, IQM, KINDS, RIGETTI, RIGETTI_ISWAP, Native
from prefect_gatehouse.providers.braket.prepare import Machine, prepared
from prefect_gatehouse.providers.braket.quality import estimate
from prefect_gatehouse.providers.preparation import replaced
from prefect_gatehouse.testing import BraketEmulator
from prefect_gatehouse.testing.braket import ANKAA, CEPHEUS, FORTE, MACHINE
from prefect_gatehouse.workload.angles import on_grid
from prefect_gatehouse.workload.batch import CircuitBatch, Template
from tests.support.braket_desk import BraketDesk
from tests.support.circuit_lists import batch_of

RING = frozenset({(1, 2), (2, 5), (5, 9), (1, 9)})  # with gaps in its numbers
EVERYWHERE = frozenset(itertools.combinations((1, 2, 5, 9), 2))
OF_KIND = {"iqm": IQM, "rigetti": RIGETTI, "rigetti-iswap": RIGETTI_ISWAP, "ionq": IONQ}


def machine(kind: Native) -> Machine:
    return Machine(EVERYWHERE if kind is IONQ else RING, 4, "small", kind)


def capabilities_of(arn: str, **change: Any) -> Capabilities:
    """As the provider reads them from what the emulated device tells."""
    device = devices()[arn]
    document = {**device.capabilities, **change}
    return read_capabilities({**device.summary(), "deviceCapabilities": json.dumps(document), "deviceQueueInfo": []}, "m")


def random_circuits() -> tuple[list[QuantumCircuit], list[tuple[QuantumCircuit, NDArray[np.float64]]]]:
    """Without measurements: gates of every kind with their numbers, and sweeps of free angles between gates that do not commute with them."""
    fixed = [random_circuit(4, 5, max_operands=3, seed=seed) for seed in range(3)]
    swept = QuantumCircuit(4)
    free = iter(ParameterVector("t", 9))
    for qubit in range(4):
        swept.rx(next(free), qubit)
    for pair in ((0, 1), (1, 3), (2, 0)):
        swept.crx(next(free), *pair)
        swept.swap(*pair)
    swept.u(next(free), 0.3, next(free), 3)
    swept.h(range(4))
    return fixed, [(swept, np.random.default_rng(5).uniform(-9, 9, (2, 9)))]


def unitary_of(program: Any, setting: int) -> NDArray[np.complex128]:
    """Of a program's gates by the Braket SDK's own definitions, its qubits in the order of their numbers, the first one most significant."""
    from braket.circuits import Circuit

    inputs = {name: values[setting] for name, values in (program.inputs or {}).items()}
    circuit = Circuit.from_ir(program.source, inputs)
    bare = Circuit([each for each in circuit.instructions if each.operator.name not in ("Measure", "StartVerbatimBox", "EndVerbatimBox")])
    return np.asarray(bare.to_unitary())


def placed(places: dict[int, int]) -> NDArray[np.float64]:
    """The matrix that takes qubit q of Qiskit's order to a place of Braket's."""
    made = np.zeros((16, 16))
    for state in range(16):
        made[state, sum(((state >> qubit) & 1) << (3 - place) for qubit, place in places.items())] = 1
    return made


def require_same(program: Any, setting: int, template: Template, right: QuantumCircuit) -> None:
    """That a program does what a circuit does, up to phases that no measurement sees: some places of the qubits at the start undo the layout."""
    numbers = (1, 2, 5, 9)
    ends = {bits[0]: numbers.index(qubits[0]) for name, qubits, bits in template.gates if name == "measure"}
    done, wanted = unitary_of(program, setting), Operator(right).data
    found = [placed(ends) @ done @ placed(dict(enumerate(starts))).T @ wanted.conj().T for starts in itertools.permutations(range(4))]
    best = max(found, key=lambda each: float(np.abs(np.diag(each)).min()))
    assert np.abs(np.abs(best) - np.eye(16)).max() < 1e-7


@pytest.mark.parametrize("name", OF_KIND)
def test_unitaries(name: str) -> None:
    """The programs as they are sent, read by the SDK: the workload's unitary, in native gates along the machine's pairs."""
    kind = OF_KIND[name]
    fixed, swept = random_circuits()
    for circuit, values in [*((each, None) for each in fixed), *swept]:
        measured = circuit.copy()
        measured.measure_all()
        batch = batch_of([measured if values is None else (measured, values)])
        made = replaced(batch, machine(kind).transpile)
        (template,) = made.templates
        assert kind.takes(template)
        action = action_of(made, kind)
        rows = [circuit] if values is None else [circuit.assign_parameters(row) for row in values]
        for setting, right in enumerate(rows):
            require_same(action if values is None else action.programs[0], setting, template, right)  # type: ignore[union-attr]
        _require_gates(action.source if values is None else action.programs[0].source, kind)  # type: ignore[union-attr]


def _require_gates(source: str, kind: Native) -> None:
    box = re.search(r"box\{(.*)\}", source, re.DOTALL)
    assert box is not None
    lines = [re.fullmatch(r"(\w+)(?:\((.*)\))? ([$\d, ]+);", line) for line in box[1].strip().splitlines()]
    assert {line and line[1] for line in lines} <= kind.gates
    turns = {line[2] for line in lines if line and line[1] == "rx"} | {line[2] for line in lines if line and line[1] == "zz"}
    assert kind is IQM or turns <= {repr(np.pi / 2), repr(np.pi)}


def coins(width: int) -> CircuitBatch:
    """A sweep of turns that join nothing, and one qubit that only is measured."""
    circuit = QuantumCircuit(width + 1, width + 1)
    for qubit, angle in enumerate(ParameterVector("t", width)):
        circuit.rx(angle, qubit)
        circuit.rz(0.7, qubit)
    circuit.measure(range(width + 1), range(width + 1))
    return batch_of([(circuit, np.array([[0.4] * width, [1.1] * width]))])


@pytest.mark.parametrize("name", ["rigetti", "rigetti-iswap", "ionq"])
def test_a_grid_of_angles_leaves_native_gates(name: str) -> None:
    """Quarters and halves of a turn are gates without an angle, so the coarsest grid makes no other angle of them; no turn is left for nothing."""
    kind = OF_KIND[name]
    made = on_grid(replaced(coins(2), machine(kind).transpile), 0.1)
    assert kind.takes(made.templates[0])
    source = action_of(made, kind).programs[0].source  # type: ignore[union-attr]
    _require_gates(source, kind)
    free, still = source.count("sx") + source.count("rx(") + source.count("gpi2("), source.count("gpi(") + source.count("rz(0.0)")
    assert free == 4 and still == (2 if kind is IONQ else 1)


@pytest.mark.parametrize(("arn", "kind"), [(MACHINE, IQM), (ANKAA, RIGETTI_ISWAP), (CEPHEUS, RIGETTI), (FORTE, IONQ)])
def test_what_a_machine_is_taken_for(arn: str, kind: Native) -> None:
    """By the gates that it says are its own, whatever their case; and not where it takes no verbatim boxes."""
    found = capabilities_of(arn)
    assert found.kind is kind
    program = {**devices()[arn].capabilities["action"]["braket.ir.openqasm.program"], "supportedPragmas": []}
    assert capabilities_of(arn, action={"braket.ir.openqasm.program": program}).kind is None


def test_machines_that_are_not_known() -> None:
    """Ions joined by ``ms``, of which there is no document of today: as it is, and the plan says so. Joined everywhere needs no graph."""
    paradigm = devices()[FORTE].capabilities["paradigm"]
    bare = {**paradigm, "qubitCount": 3, "connectivity": {"fullyConnected": True, "connectivityGraph": {}}}
    assert capabilities_of(FORTE, paradigm=bare).pairs == {(0, 1), (0, 2), (1, 2)}
    older = capabilities_of(FORTE, paradigm={**paradigm, "nativeGateSet": ["GPI", "GPI2", "MS"]})
    batch = coins(2)
    found = prepared(batch, older, "gatehouse", "m")
    assert found.batch is batch and found.quality is None
    assert found.settings["because"] == "the device takes no native circuits that are known here"


def test_the_estimate_of_ions() -> None:
    """One number for all ions, that of a single one from the vendor's part; a turn about z is free."""
    gates = (("sx", (1,), ()), ("rz", (1,), ()), ("cz", (2, 1), ()), ("measure", (1,), (0,)), ("measure", (2,), (1,)))
    template, calibration = Template(3, 2, gates), capabilities_of(FORTE).calibration
    assert estimate([template], calibration) == pytest.approx(0.9998 * 0.9925 * 0.9955**2)
    lone = json.dumps({"standardized": json.loads(calibration)["standardized"]}).encode()
    assert estimate([template], lone) is None


@pytest.mark.parametrize(
    ("arn", "box", "why"),
    [
        (ANKAA, "rx(1.5707963267948966) $0;\niswap $0, $1;\nrz(0.3) $1;\nrx(-3.141592653589793) $1;", None),
        (ANKAA, "cz $0, $1;", "no native gate"),
        (ANKAA, "iswap $0, $2;", "not connected"),
        (ANKAA, "rx(1.571) $0;", "an angle that the machine does not have"),
        (ANKAA, "rx(a0) $0;", "an angle that the machine does not have"),
        (ANKAA, "rx(pi/2) $0;", "neither a number nor an input"),
        (ANKAA, "rz(0.1) $42;", "not connected"),
        (CEPHEUS, "rx(a1) $0;\ncz $0, $1;", None),
        (CEPHEUS, "iswap $0, $1;", "no native gate"),
        (FORTE, "gpi(a0) $0;\ngpi2(7.0) $35;\nzz(1.5707963267948966) $0, $35;", None),
        (FORTE, "zz(1.6) $0, $1;", "an angle that the machine does not have"),
        (FORTE, "zz(-0.1) $0, $1;", "an angle that the machine does not have"),
        (FORTE, "rx(1.5707963267948966) $0;", "no native gate"),
        (FORTE, "gpi(0.0) $36;", "not connected"),
    ],
)
def test_what_a_machine_refuses(arn: str, box: str, why: str | None) -> None:
    """In a verbatim box: gates, pairs and angles that the emulated machine does not have, as numbers and as values of an input."""
    program = {
        "braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"},
        "source": f"OPENQASM 3.0;\ninput float a0;\ninput float a1;\nbit[1] b;\n#pragma braket verbatim\nbox{{\n{box}\n}}\nb[0] = measure $0;",
        "inputs": {"a0": 0.5, "a1": np.pi},
    }
    action = read_action(json.dumps(program))
    if why is None:
        require_native(action, devices()[arn])
        return
    with pytest.raises(Fault, match=why):
        require_native(action, devices()[arn])


def test_gates_beside_a_box() -> None:
    """Ions are given all of a circuit in the box or nothing."""
    source = "OPENQASM 3.0;\nbit[1] b;\nh $0;\n#pragma braket verbatim\nbox{\ngpi(0.0) $0;\n}\nb[0] = measure $0;"
    action = read_action(json.dumps({"braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"}, "source": source}))
    with pytest.raises(Fault, match="beside a verbatim box"):
        require_native(action, devices()[FORTE])


@pytest.mark.parametrize("arn", [ANKAA, CEPHEUS, FORTE])
def test_on_the_wire(arn: str, tmp_path: Path, braket: BraketEmulator) -> None:
    """Prepared, sent and run in a verbatim box, which the emulator holds to the machine: the counts are those of the workload's own bits."""
    desk = BraketDesk(tmp_path, braket, device_arn=arn)
    circuit = QuantumCircuit(4, 5)
    angles = ParameterVector("t", 2)
    circuit.rx(angles[0], 0)
    circuit.ry(angles[1], 3)
    for pair in ((0, 1), (0, 2), (3, 1)):
        circuit.cx(*pair)
    circuit.measure(range(4), [4, 0, 3, 1])
    for number, (values, right) in enumerate((((np.pi, 0.0), "11001"), ((np.pi, np.pi), "11010"))):
        backend = desk.backend()
        found = backend.prepare(batch_of([(circuit, np.array([values]))]), 100, desk.lease)
        assert found.settings["sent"] == "verbatim" and found.settings["basis"] == sorted(capabilities_of(arn).kind.gates)  # type: ignore[union-attr]
        assert (found.depth_before, found.two_qubit_before) == (4, 3)
        assert found.two_qubit_after >= 3 and found.depth_after > 4 and found.quality is not None and 0.6 < found.quality < 0.98
        assert capabilities_of(arn).sends_verbatim(found.batch)
        handle = backend.submit(backend.encode(found.batch, 100), f"run:0:{number}:0", desk.lease)
        assert desk.ready(handle).counts == ({right: 100},)


def test_kinds_do_not_hide_each_other() -> None:
    """A kind's own gates make no machine of another kind."""
    for kind in KINDS:
        assert [other for other in KINDS if other.gates <= kind.gates] == [kind]
