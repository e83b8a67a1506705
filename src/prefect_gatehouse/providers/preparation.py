"""What every provider's ``prepare`` is made of: a batch that stays as it is, and one whose templates are replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.providers.interface import Prepared
from prefect_gatehouse.workload.batch import CircuitBatch, Gate, Template, joined
from prefect_gatehouse.workload.gates import gate_shapes

if TYPE_CHECKING:
    from numpy.typing import NDArray

Transpile = Callable[[Template], "tuple[Template, NDArray[np.float64]]"]
"""Gives a template's replacement, and a matrix of (its angles, the first one's angles and a constant): each new angle is linear in the old ones."""


def as_it_is(batch: CircuitBatch, because: str, **settings: Json) -> Prepared:
    """A batch that is sent as the workload yielded it.

    Args:
        batch: The batch.
        because: Why nothing is transpiled, in words.
        settings: More of them.
    """
    depth, pairs = batch.depth, batch.two_qubit_gates
    return Prepared(batch, {"transpiler": "none", "because": because, **settings}, depth, depth, pairs, pairs, None)


def replaced(batch: CircuitBatch, transpile: Transpile) -> CircuitBatch:
    """A batch with every template replaced; circuits stay in their order."""
    made = [transpile(template) for template in batch.templates]
    tables = [np.hstack([table, np.ones((len(table), 1))]) @ matrix.T + 0.0 for table, (_, matrix) in zip(batch.angles, made, strict=True)]
    templates = tuple(template for template, _ in made)
    if len(set(templates)) == len(templates):
        return CircuitBatch(templates, batch.order, tuple(tables))
    # Two that differed are the same now: rows come in the order of the circuits.
    rows = [iter(table) for table in tables]
    return joined([(templates[place], next(rows[place])[np.newaxis]) for place in batch.order.tolist()])


def in_one_order(gates: Sequence[Gate], rows: NDArray[np.float64]) -> tuple[tuple[Gate, ...], NDArray[np.float64]]:
    """The same circuit with its gates in the one order that follows from it: by layers, in a layer by qubits.

    In which order a transpiler writes gates that do not touch each other differs from process to process.

    Args:
        gates: Of a template.
        rows: Something for each of its angles, in order.
    """
    ends: dict[tuple[str, int], int] = {}
    keys: list[tuple[int, tuple[int, ...], tuple[int, ...], str]] = []
    places: list[range] = []
    taken = 0
    for name, qubits, clbits in gates:
        wires = [*(("q", place) for place in qubits), *(("c", place) for place in clbits)]
        layer = 1 + max(ends.get(wire, 0) for wire in wires)
        ends.update(dict.fromkeys(wires, layer))
        keys.append((layer, qubits, clbits, name))
        end = taken + gate_shapes()[name][2]
        places.append(range(taken, end))
        taken = end
    order = sorted(range(len(gates)), key=keys.__getitem__)
    picked = [row for place in order for row in places[place]]
    return tuple(gates[place] for place in order), rows[picked]
