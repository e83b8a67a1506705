"""A round's circuits as templates with tables of angles.

Circuits with the same gates on the same places are one template; what differs between them is a row of angles. A batch is its templates, the
order in which its circuits come, and one matrix a template. A thousand settings of one circuit are one template and a thousand rows;
circuits that share nothing are as many templates with one row each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prefect_gatehouse.errors import InputError

Gate = tuple[str, tuple[int, ...], tuple[int, ...]]
"""A gate's name, its qubits and its classical bits."""


@dataclass(frozen=True)
class Template:
    """Gates on places, without their angles.

    Attributes:
        qubits: Width.
        clbits: Classical bits.
        gates: In order.
    """

    qubits: int
    clbits: int
    gates: tuple[Gate, ...]

    @cached_property
    def angles(self) -> int:
        """How many angles a setting has: those of all gates, in order."""
        from prefect_gatehouse.workload.gates import gate_shapes

        shapes = gate_shapes()
        return sum(shapes[name][2] for name, _, _ in self.gates)

    @cached_property
    def depth(self) -> int:
        """The longest way through the gates, measurements among them."""
        ends: dict[int, int] = {}  # of qubits by their number, of classical bits by its complement
        for _, qubits, clbits in self.gates:
            wires = (*qubits, *(~bit for bit in clbits)) if clbits else qubits
            end = 0
            for wire in wires:
                end = max(end, ends.get(wire, 0))
            for wire in wires:
                ends[wire] = end + 1
        return max(ends.values(), default=0)

    @cached_property
    def two_qubit_gates(self) -> int:
        """Gates on two qubits or more."""
        return sum(len(qubits) > 1 for _, qubits, _ in self.gates)

    @cached_property
    def measures(self) -> bool:
        """Whether anything is measured."""
        return any(name == "measure" for name, _, _ in self.gates)

    @cached_property
    def ends_with_measuring(self) -> bool:
        """Whether nothing is reset, and nothing done to a qubit once it is measured."""
        measured: set[int] = set()
        for name, qubits, _ in self.gates:
            if name == "reset" or measured & set(qubits):
                return False
            if name == "measure":
                measured |= set(qubits)
        return True


@dataclass(frozen=True, eq=False)
class CircuitBatch:
    """Circuits in order.

    The form is unique: templates stand in the order in which they first come, none twice, and every one is used.

    Attributes:
        templates: Each once.
        order: The template of each circuit; int32, one a circuit.
        angles: For each template a float64 matrix of (its circuits, its angles), rows in the circuits' order. No minus zero.
    """

    templates: tuple[Template, ...]
    order: NDArray[np.int32]
    angles: tuple[NDArray[np.float64], ...]

    def __len__(self) -> int:
        """Number of circuits."""
        return len(self.order)

    @property
    def qubits(self) -> int:
        """Of the widest circuit."""
        return max(template.qubits for template in self.templates)

    @property
    def depth(self) -> int:
        """Of the deepest circuit."""
        return max(template.depth for template in self.templates)

    @property
    def two_qubit_gates(self) -> int:
        """Gates on two qubits or more, of the circuit that has most of them."""
        return max(template.two_qubit_gates for template in self.templates)

    def clbits(self) -> Iterator[int]:
        """Classical bits of each circuit."""
        widths = [template.clbits for template in self.templates]
        return (widths[template] for template in self.order)

    def settings(self) -> Iterator[tuple[Template, NDArray[np.float64]]]:
        """Each circuit as its template and its row of angles, in order."""
        rows = [iter(table) for table in self.angles]
        return ((self.templates[template], next(rows[template])) for template in self.order)

    def parts(self, size: int) -> Iterator[CircuitBatch]:
        """The circuits in batches of at most so many, in order."""
        if len(self) <= size:
            yield self
            return
        used = [0] * len(self.templates)
        for start in range(0, len(self), size):
            yield self._part(self.order[start : start + size], used)

    def _part(self, order: NDArray[np.int32], used: list[int]) -> CircuitBatch:
        """The next circuits, when so many of each template have been taken; takes them."""
        places, first, inverse, counts = np.unique(order, return_index=True, return_inverse=True, return_counts=True)
        ranks = np.argsort(first)
        tables = []
        for rank in ranks:
            template, count = int(places[rank]), int(counts[rank])
            tables.append(self.angles[template][used[template] : used[template] + count])
            used[template] += count
        renamed = np.empty(len(ranks), np.int32)
        renamed[ranks] = np.arange(len(ranks), dtype=np.int32)
        return CircuitBatch(tuple(self.templates[int(places[rank])] for rank in ranks), renamed[inverse], tuple(tables))


def require_fit(batch: CircuitBatch, backend: str, qubits: int) -> None:
    """Stops circuits that no shot could count, or that are too wide for a backend.

    Raises:
        InputError: Names the backend.
    """
    for template in batch.templates:
        if template.qubits > qubits:
            raise InputError(f"a circuit has {template.qubits} qubits", where=backend, advice=f"use at most {qubits} qubits, or another backend")
        if not template.measures:
            raise InputError("a circuit measures nothing", where=backend, advice="measure into classical bits")


def require_terminal_measurements(batch: CircuitBatch, backend: str) -> None:
    """Stops circuits that measure or reset in the middle, for backends that can't.

    Raises:
        InputError: Names the backend.
    """
    advice = "measure at the end, or use another backend"
    for template in batch.templates:
        if not template.ends_with_measuring:
            raise InputError("a circuit resets, or goes on after measuring a qubit", where=backend, advice=advice)


def joined(pieces: Sequence[tuple[Template, NDArray[np.float64]]]) -> CircuitBatch:
    """Templates with tables, one after the other, as one batch.

    Args:
        pieces: Each a template and a matrix of (circuits, angles), at least one; a template may come again.
    """
    index: dict[Template, int] = {}
    tables: list[list[NDArray[np.float64]]] = []
    order: list[int] = []
    for template, table in pieces:
        place = index.setdefault(template, len(index))
        if place == len(tables):
            tables.append([])
        tables[place].append(table)
        order.append(place)
    repeats = [len(table) for _, table in pieces]
    # Adding zero takes the sign of a minus zero: the same angle, and one way to write it.
    angles = tuple((parts[0] if len(parts) == 1 else np.concatenate(parts)) + 0.0 for parts in tables)
    return CircuitBatch(tuple(index), np.repeat(np.array(order, np.int32), repeats), angles)
