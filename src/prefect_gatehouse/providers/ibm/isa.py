"""Templates written for a device: transpiled once each, whatever the number of their settings.

The transpiler sees free parameters, so a sweep stays a sweep; what each angle has become is evaluated here for all settings at once. Seed and
settings are fixed: the same circuits and the same device give the same gates, however it is calibrated. Measurements keep their classical bits,
so that counts need nothing undone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.providers.ibm.device import Device, used_qubits
from prefect_gatehouse.providers.preparation import in_one_order
from prefect_gatehouse.workload.batch import CircuitBatch, Template, joined
from prefect_gatehouse.workload.circuits import build_circuit, read_circuit

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL, SEED, LAYOUT = 2, 20_26, "sabre"  # the layout by VF2 that Qiskit tries otherwise differs between processes, whatever the seed
_VIRTUAL = {"rz"}  # a change of phase, made without a pulse


@dataclass(frozen=True)
class Written:
    """A batch for a device.

    Attributes:
        batch: Its templates over the device's qubits.
        depth: Of the deepest circuit, before and after.
        two_qubit: Gates on two qubits of the circuit with the most, before and after.
        quality: Probability that a shot of the worst circuit is free of error, None where the calibration allows no estimate.
    """

    batch: CircuitBatch
    depth: tuple[int, int]
    two_qubit: tuple[int, int]
    quality: float | None


def write_for(batch: CircuitBatch, device: Device) -> Written:
    """A batch for a device; one that is written for it already is left as it is."""
    after = batch if all(map(device.takes, batch.templates)) else _transpiled(batch, device)
    qualities = [_quality(template, device.target) for template in after.templates]
    known = [quality for quality in qualities if quality is not None]
    return Written(
        after,
        (batch.depth, after.depth),
        (max(map(_pairs, batch.templates)), max(map(_pairs, after.templates))),
        min(known) if len(known) == len(qualities) else None,
    )


def _transpiled(batch: CircuitBatch, device: Device) -> CircuitBatch:
    from qiskit.transpiler import TranspilerError, generate_preset_pass_manager

    managers: dict[int, Any] = {}  # one for each part that is needed, whichever templates are written for it
    found = []
    for template, table in zip(batch.templates, batch.angles, strict=True):
        part = device.part_for(template)
        if id(part) not in managers:
            managers[id(part)] = generate_preset_pass_manager(LEVEL, target=part.target, layout_method=LAYOUT, seed_transpiler=SEED)
        try:
            after, angles = _template(template, table, managers[id(part)])
        except TranspilerError:
            advice = "use fewer qubits or another backend, or choose other qubits in the backend's block"
            raise Denied("a circuit can't be written for the device", where=device.name, advice=advice) from None
        gates = tuple((name, tuple(part.qubits[qubit] for qubit in qubits), bits) for name, qubits, bits in after.gates)
        found.append((Template(device.qubits, template.clbits, gates), angles))
    # Two templates may have become one, so the batch is put together anew, in the circuits' order.
    taken = [0] * len(found)
    pieces = []
    for number, count in runs_of(batch.order):
        after, table = found[number]
        pieces.append((after, table[taken[number] : taken[number] + count]))
        taken[number] += count
    return joined(pieces)


def runs_of(order: NDArray[np.int32]) -> list[tuple[int, int]]:
    """The circuits' templates in order, as runs: template and number of circuits."""
    starts = np.flatnonzero(np.concatenate([[True], order[1:] != order[:-1]]))
    return [(int(order[start]), int(count)) for start, count in zip(starts, np.diff([*starts, len(order)]), strict=True)]


def _template(template: Template, table: NDArray[np.float64], manager: Any) -> tuple[Template, NDArray[np.float64]]:
    """One template over the qubits of a part, with the angles that its settings have there."""
    from qiskit.circuit import Parameter

    place = {qubit: number for number, qubit in enumerate(used_qubits(template))}
    narrow = Template(len(place), template.clbits, tuple((name, tuple(place[q] for q in qubits), bits) for name, qubits, bits in template.gates))
    free = [Parameter(f"a{number:07d}") for number in range(template.angles)]
    # One setting alone is transpiled with its numbers, which lets more gates be merged.
    alone = len(table) == 1
    after, angles = read_circuit(manager.run(build_circuit(narrow, table[0].tolist() if alone else free)), free=not alone)
    gates, rows = in_one_order(after.gates, _evaluated(angles, free, table).T)
    return Template(after.qubits, after.clbits, gates), np.ascontiguousarray(rows.T)


def _evaluated(angles: Sequence[Any], free: list[Any], table: NDArray[np.float64]) -> NDArray[np.float64]:
    """What expressions of the free parameters are, for each row of their values."""
    column = {name: place for place, name in enumerate(free)}
    found = np.empty((len(table), len(angles)))
    for place, angle in enumerate(angles):
        names = sorted(getattr(angle, "parameters", ()), key=column.__getitem__)
        found[:, place] = _values(angle, names, table[:, [column[name] for name in names]]) if names else float(angle)
    return found


def _values(angle: Any, names: list[Any], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """One expression at many points: linear ones, which almost all are, at once."""

    def at(point: Sequence[float]) -> float:
        return float(angle.bind(dict(zip(names, point, strict=True))))

    constant = at([0.0] * len(names))
    factors = np.array([at(unit) - constant for unit in np.eye(len(names)).tolist()])
    probe = np.linspace(0.3, 1.7, len(names))
    if abs(at(probe.tolist()) - factors @ probe - constant) < 1e-9:
        linear: NDArray[np.float64] = values @ factors + constant
        return linear
    return np.array([at(row) for row in values.tolist()])


def _pairs(template: Template) -> int:
    return sum(len(qubits) > 1 for _, qubits, _ in template.gates)


def _quality(template: Template, target: Any) -> float | None:
    """The product of what each gate and each read-out does right, by the calibration."""
    right = 0.0
    for name, qubits, _ in template.gates:
        if name in _VIRTUAL:
            continue
        known = (target[name] or {}).get(qubits) if name in target.operation_names else None
        error = getattr(known, "error", None)
        if name == "reset" and error is None:
            continue  # no calibration says how well it resets
        if error is None or not 0 <= error < 1:
            return None
        right += math.log1p(-error)
    return math.exp(right)
