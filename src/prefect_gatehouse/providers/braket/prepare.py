"""Transpiling for machines whose own gates are known (``native``), before anybody approves it.

Qiskit lays circuits out, routes them along the machine's pairs and reduces them to turns about x and z and to the machine's gate on two qubits.
What becomes of the turns about z, which no pulse does, is in ``turns``.

What is done depends on the coupling and the settings alone, never on the calibration of the day: a plan that waited for its approval overnight is
submitted as it was approved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from prefect_gatehouse.canonical import Json, digest
from prefect_gatehouse.errors import Denied
from prefect_gatehouse.providers.braket.capabilities import Capabilities
from prefect_gatehouse.providers.braket.native import IQM, Native, touched
from prefect_gatehouse.providers.braket.openqasm import lowered
from prefect_gatehouse.providers.braket.quality import estimate
from prefect_gatehouse.providers.braket.turns import pulses, quarters
from prefect_gatehouse.providers.interface import Prepared
from prefect_gatehouse.providers.preparation import as_it_is, in_one_order, replaced
from prefect_gatehouse.workload.batch import CircuitBatch, Template
from prefect_gatehouse.workload.circuits import read_circuit

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

LEVEL = 2  # of 3: the highest one tries re-synthesis, which takes long and brings little for circuits of this size
SEED = 20_261_129  # of the layout and the routing, which try at random; any number does, as long as it stays
_TURN = 2 * np.pi
_DIGITS = 12  # of a factor and of an angle; far below what a pulse resolves, far above what rounding does


def prepared(batch: CircuitBatch, found: Capabilities, compiler: str, where: str) -> Prepared:
    """A batch as it will be sent to a device.

    Args:
        batch: As the workload yielded it.
        found: What the device is.
        compiler: Who chooses gates and qubits, by the backend's block.
        where: The backend's name.

    Raises:
        Denied: A circuit uses more qubits than the device has.
    """
    if found.simulator:
        return as_it_is(batch, "a managed simulator runs it as it is")
    if compiler == "service":
        return as_it_is(batch, "the block leaves it to the service's compiler", compiler="service")
    if found.kind is None:
        return as_it_is(batch, "the device takes no native circuits that are known here", compiler="service")
    machine = Machine(found.pairs, found.qubits, where, found.kind)
    ready = _reduced(replaced(batch, machine.transpile))
    settings: dict[str, Json] = {
        "transpiler": f"qiskit {version('qiskit')}",
        "optimization_level": LEVEL,
        "seed": SEED,
        "basis": sorted(found.kind.gates),
        "coupling": digest(sorted(list(pair) for pair in found.pairs)),
        "compiler": "gatehouse",
        "sent": "verbatim",
    }
    quality = estimate(ready.templates, found.calibration)
    return Prepared(ready, settings, batch.depth, _depth(ready), batch.two_qubit_gates, ready.two_qubit_gates, quality)


def _depth(batch: CircuitBatch) -> int:
    """Of the deepest circuit, in what takes time: turns about z take none."""
    timed = (tuple(gate for gate in template.gates if gate[0] != "rz") for template in batch.templates)
    return max(replace(template, gates=gates).depth for template, gates in zip(batch.templates, timed, strict=True))


def _reduced(batch: CircuitBatch) -> CircuitBatch:
    """Sums of large angles as what they are after whole turns, which change no more than the sign of everything."""
    tables = tuple(np.where(np.abs(table) > _TURN, table - _TURN * np.rint(table / _TURN), table) + 0.0 for table in batch.angles)
    return CircuitBatch(batch.templates, batch.order, tables)


@dataclass(frozen=True)
class Machine:
    """What circuits are transpiled for.

    Attributes:
        pairs: Qubits that are joined.
        qubits: How many it has.
        where: The backend's name.
        kind: Which gates are its own.
    """

    pairs: frozenset[tuple[int, int]]
    qubits: int
    where: str
    kind: Native

    def transpile(self, template: Template) -> tuple[Template, NDArray[np.float64]]:
        """A template in native gates on the machine's qubits, and its angles as rows of factors for the first one's angles and a constant."""
        used = len(touched(template))
        if used > self.qubits:
            raise Denied(f"a circuit uses {used} qubits, the device has {self.qubits}", where=self.where, advice="use another backend")
        return _transpiled(template, self.pairs, self.kind)


@lru_cache(maxsize=4096)
def _transpiled(template: Template, pairs: frozenset[tuple[int, int]], kind: Native) -> tuple[Template, NDArray[np.float64]]:
    """One template, once in a process: the rounds of a variational workload share theirs."""
    from qiskit import transpile
    from qiskit.transpiler import CouplingMap

    circuit, free = _turns(template, kind)
    labels = sorted({qubit for pair in pairs for qubit in pair})
    number = {label: each for each, label in enumerate(labels)}
    # Where every two qubits are joined there is nothing to route, and qubits keep their numbers.
    joined = 2 * len(pairs) == len(labels) * (len(labels) - 1)
    coupling = None if joined else CouplingMap([(number[one], number[other]) for pair in sorted(pairs) for one, other in (pair, pair[::-1])])
    # Layout by SABRE: the search for a perfect one, VF2, places qubits that nothing joins in another way in every process.
    ready = transpile(
        circuit,
        basis_gates=list(kind.transpiled),
        coupling_map=coupling,
        layout_method="sabre",
        optimization_level=LEVEL,
        seed_transpiler=SEED,
        num_processes=1,
    )
    laid, angles = read_circuit(ready, free=True)
    rows = np.array([_row(angle, free, template.angles) for angle in angles]).reshape(len(angles), template.angles + 1)
    rows = np.round(rows, _DIGITS)  # another host's last bit makes no other plan
    turned = pulses(laid.gates, rows, labels) if kind is IQM else quarters(laid.gates, rows, labels, kind)
    made, factors = in_one_order(*turned)
    return Template(max(labels) + 1, template.clbits, made), factors


def _turns(template: Template, kind: Native) -> tuple[QuantumCircuit, dict[Any, NDArray[np.float64]]]:
    """A template in turns about x and z and ``cz``, with a parameter for each angle that is free, and what each of these is.

    Where turns about x are quarters of one, a free one is two quarters and turns about z between and around them, as every gate on one qubit is.

    Lowered by the table that the service's gates have: Qiskit's own search for this basis takes minutes where gates have free angles.
    """
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter

    form = lowered(template)
    circuit = QuantumCircuit(form.qubits, template.clbits)
    free: dict[Any, NDArray[np.float64]] = {}
    for step in form.steps:
        for name, angle in _IN_TURNS[step.gate]:
            if name == "cz":
                circuit.cz(*step.qubits)
                continue
            turn: Any = angle
            if turn is None:
                row = np.array(step.turn)
                turn = Parameter(f"t{len(free)}") if row[:-1].any() else float(row[-1])
                if row[:-1].any():
                    free[turn] = row
            qubit = step.qubits[-1] if name.endswith("target") else step.qubits[0]
            if name.startswith("rz"):
                circuit.rz(turn, qubit)
            elif "sx" in kind.transpiled:
                _in_quarters(circuit, turn, qubit)
            else:
                circuit.rx(turn, qubit)
    for qubit, bits in form.measured:
        for bit in bits:
            circuit.measure(qubit, bit)
    return circuit, free


def _in_quarters(circuit: QuantumCircuit, turn: Any, qubit: int) -> None:
    circuit.rz(_HALF, qubit)
    circuit.sx(qubit)
    circuit.rz(turn + np.pi, qubit)
    circuit.sx(qubit)
    circuit.rz(_HALF, qubit)


_HALF = np.pi / 2
_H: tuple[tuple[str, float | None], ...] = (("rz", _HALF), ("rx", _HALF), ("rz", _HALF))
_H_TARGET = tuple((f"{name} target", angle) for name, angle in _H)
_CNOT: tuple[tuple[str, float | None], ...] = (*_H_TARGET, ("cz", None), *_H_TARGET)
_TONC: tuple[tuple[str, float | None], ...] = (*_H, ("cz", None), *_H)  # the same with control and target exchanged
# The service's gates, up to a global phase, in the order in which they are done; None is the gate's own angle.
_IN_TURNS: dict[str, tuple[tuple[str, float | None], ...]] = {
    "i": (),
    "x": (("rx", np.pi),),
    "y": (("rz", np.pi), ("rx", np.pi)),
    "z": (("rz", np.pi),),
    "h": _H,
    "s": (("rz", _HALF),),
    "si": (("rz", -_HALF),),
    "t": (("rz", _HALF / 2),),
    "ti": (("rz", -_HALF / 2),),
    "v": (("rx", _HALF),),
    "vi": (("rx", -_HALF),),
    "rx": (("rx", None),),
    "ry": (("rz", -_HALF), ("rx", None), ("rz", _HALF)),
    "rz": (("rz", None),),
    "cz": (("cz", None),),
    "cnot": _CNOT,
    "swap": (*_CNOT, *_TONC, *_CNOT),
}


def _row(angle: Any, free: Mapping[Any, NDArray[np.float64]], width: int) -> NDArray[np.float64]:
    """An angle as factors of the template's and a constant: the transpiler adds and scales parameters, and does nothing else with them."""
    row = np.zeros(width + 1)
    if isinstance(angle, float | int):
        row[-1] = angle
        return row
    own = sorted(angle.parameters, key=lambda each: int(each.name[1:]))  # a set, in another order in every process
    constant = float(angle.bind(dict.fromkeys(own, 0.0)))
    factors = [float(angle.bind({each: float(each is name) for each in own})) - constant for name in own]
    probe = np.linspace(0.3, 1.7, len(own))
    if abs(float(angle.bind(dict(zip(own, probe.tolist(), strict=True)))) - probe @ np.array(factors) - constant) > 1e-9:
        raise AssertionError("the transpiler has made an angle that is not linear")
    row[-1] = constant
    for name, factor in zip(own, factors, strict=True):
        row += factor * free[name]
    return row
