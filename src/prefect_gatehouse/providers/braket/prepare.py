"""Transpiling for machines whose native gates are ``prx`` and ``cz``, before anybody approves it.

Qiskit lays circuits out, routes them along the machine's pairs and reduces them to turns about x and z and to ``cz``. A turn about z is no pulse
on such a machine: it moves through ``cz`` to the measurement, where nothing sees it, and turns the axes of the pulses behind it on its way
(McKay et al., Phys. Rev. A 96, 022330, 2017). What is left is one ``prx`` for every turn about x.

What is done depends on the coupling and the settings alone, never on the calibration of the day: a plan that waited for its approval overnight is
submitted as it was approved.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from prefect_gatehouse.canonical import Json, digest
from prefect_gatehouse.errors import Denied
from prefect_gatehouse.providers.braket.capabilities import Capabilities
from prefect_gatehouse.providers.braket.verbatim import NATIVE
from prefect_gatehouse.providers.interface import Prepared
from prefect_gatehouse.providers.preparation import as_it_is, replaced
from prefect_gatehouse.workload.batch import CircuitBatch, Gate, Template
from prefect_gatehouse.workload.circuits import build_circuit, read_circuit

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL = 2  # of 3: the highest one tries re-synthesis, which takes long and brings little for circuits of this size
SEED = 20_261_129  # of the layout and the routing, which try at random; any number does, as long as it stays
_TURN = 2 * np.pi


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
    if not (found.verbatim and found.native >= NATIVE and found.pairs):
        return as_it_is(batch, "the device takes no native circuits that are known here", compiler="service")
    machine = Machine(found.pairs, found.qubits, where)
    ready = _reduced(replaced(batch, machine.transpile))
    settings: dict[str, Json] = {
        "transpiler": f"qiskit {version('qiskit')}",
        "optimization_level": LEVEL,
        "seed": SEED,
        "basis": sorted(NATIVE),
        "coupling": digest(sorted(list(pair) for pair in found.pairs)),
        "compiler": "gatehouse",
        "sent": "verbatim",
    }
    quality = estimate(ready.templates, found.calibration)
    return Prepared(ready, settings, batch.depth, ready.depth, batch.two_qubit_gates, ready.two_qubit_gates, quality)


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
    """

    pairs: frozenset[tuple[int, int]]
    qubits: int
    where: str

    def transpile(self, template: Template) -> tuple[Template, NDArray[np.float64]]:
        """A template in native gates on the machine's qubits, and its angles as rows of factors for the first one's angles and a constant."""
        used = len(touched(template))
        if used > self.qubits:
            raise Denied(f"a circuit uses {used} qubits, the device has {self.qubits}", where=self.where, advice="use another backend")
        return _transpiled(template, self.pairs)


def touched(template: Template) -> list[int]:
    """Qubits that anything is done to, measuring included."""
    return sorted({qubit for _, qubits, _ in template.gates for qubit in qubits})


@lru_cache(maxsize=4096)
def _transpiled(template: Template, pairs: frozenset[tuple[int, int]]) -> tuple[Template, NDArray[np.float64]]:
    """One template, once in a process: the rounds of a variational workload share theirs."""
    from qiskit import transpile
    from qiskit.circuit import ParameterVector
    from qiskit.transpiler import CouplingMap

    free = list(ParameterVector("t", template.angles))
    place = {qubit: number for number, qubit in enumerate(touched(template))}
    gates = tuple((name, tuple(place[qubit] for qubit in qubits), clbits) for name, qubits, clbits in template.gates)
    circuit = build_circuit(Template(len(place), template.clbits, gates), free)
    labels = sorted({qubit for pair in pairs for qubit in pair})
    number = {label: each for each, label in enumerate(labels)}
    coupling = CouplingMap([(number[one], number[other]) for pair in sorted(pairs) for one, other in (pair, pair[::-1])])
    ready = transpile(circuit, basis_gates=["rx", "rz", "cz"], coupling_map=coupling, optimization_level=LEVEL, seed_transpiler=SEED, num_processes=1)
    laid, angles = read_circuit(ready, free=True)
    made, rows = _pulses(laid.gates, np.array([_row(angle, free) for angle in angles]).reshape(len(angles), len(free) + 1), labels)
    return Template(max(labels) + 1, template.clbits, made), rows


def _pulses(gates: Sequence[Gate], rows: NDArray[np.float64], labels: list[int]) -> tuple[tuple[Gate, ...], NDArray[np.float64]]:
    """Turns about x and z as pulses: a turn by a about z and then by t about x is one by t about the axis -a, and then the turn about z."""
    width = rows.shape[1]
    last = {bits[0]: place for place, (name, _, bits) in enumerate(gates) if name == "measure"}  # a bit that is read again has the later value
    turned: dict[int, NDArray[np.float64]] = {}
    made: list[Gate] = []
    angles: list[NDArray[np.float64]] = []
    left = iter(rows)
    pulsed: set[int] = set()

    def pulse(qubit: int, turn: NDArray[np.float64], axis: NDArray[np.float64]) -> None:
        made.append(("r", (labels[qubit],), ()))
        angles.extend((turn, axis))
        pulsed.add(qubit)

    for place, (name, qubits, bits) in enumerate(gates):
        qubit = qubits[0]
        if name == "rz":
            turned[qubit] = turned.get(qubit, np.zeros(width)) + next(left)
        elif name == "rx":
            pulse(qubit, next(left), -turned.get(qubit, np.zeros(width)))
        elif name == "measure" and last[bits[0]] != place:
            continue
        elif name == "measure":
            if qubit not in pulsed:  # a machine counts a qubit as used where a gate touches it
                pulse(qubit, np.zeros(width), np.zeros(width))
            made.append((name, (labels[qubit],), bits))
        else:
            pulsed.update(qubits)
            made.append((name, tuple(labels[each] for each in qubits), bits))
    return tuple(made), np.array(angles).reshape(len(angles), width)


def _row(angle: Any, free: list[Any]) -> NDArray[np.float64]:
    """An angle as factors of the free ones and a constant: the transpiler adds and scales, and does nothing else with them."""
    row = np.zeros(len(free) + 1)
    if isinstance(angle, float | int):
        row[-1] = angle
        return row
    own = [name for name in free if name in angle.parameters]
    row[-1] = float(angle.bind(dict.fromkeys(own, 0.0)))
    for name in own:
        row[free.index(name)] = float(angle.bind({each: float(each is name) for each in own})) - row[-1]
    probe = dict(zip(own, np.linspace(0.3, 1.7, len(own)).tolist(), strict=True))
    if abs(float(angle.bind(probe)) - sum(row[free.index(name)] * value for name, value in probe.items()) - row[-1]) > 1e-9:
        raise AssertionError("the transpiler has made an angle that is not linear")
    return row


def estimate(templates: Iterable[Template], calibration: bytes) -> float | None:
    """The chance that a shot of the worst template is free of error: the product of the fidelities of its gates and read-outs.

    Errors count as independent, and idling as free of error: an upper estimate.

    Returns:
        None where the calibration does not tell one of them.
    """
    try:
        told = json.loads(calibration)["standardized"]
        return min(prod(_fidelity(gate, told) for gate in template.gates) for template in templates)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _fidelity(gate: Gate, told: dict[str, Any]) -> float:
    name, qubits, _ = gate
    if len(qubits) == 2:
        low, high = sorted(qubits)
        pairs = told["twoQubitProperties"]
        entry = pairs.get(f"{low}-{high}") or pairs[f"{high}-{low}"]
        return min(float(each["fidelity"]) for each in entry["twoQubitGateFidelity"] if each["gateName"].lower() == name)
    of = told["oneQubitProperties"][str(qubits[0])]["oneQubitFidelity"]
    if name == "measure":
        return min(float(each["fidelity"]) for each in of if each["fidelityType"]["name"] == "READOUT")
    return min(float(each["fidelity"]) for each in of if not each["fidelityType"]["name"].startswith("READOUT"))
