"""What becomes of turns about z, which no machine does by a pulse: they move towards the measurement, where nothing sees them.

McKay et al., Phys. Rev. A 96, 022330, 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prefect_gatehouse.providers.braket.native import Native
from prefect_gatehouse.workload.batch import Gate

Circuit = tuple[tuple[Gate, ...], NDArray[np.float64]]
"""Gates, and for each of their angles a row of factors and a constant."""
_TURN = 2 * np.pi


def pulses(gates: Sequence[Gate], rows: NDArray[np.float64], labels: Sequence[int]) -> Circuit:
    """Turns about x and z as pulses about any axis: a turn by a about z, then by t about x, is one by t about the axis -a, then the turn about z.

    Args:
        gates: ``rx``, ``rz``, ``cz`` and measurements, on places.
        rows: For each angle.
        labels: The machine's number of each place.
    """
    width = rows.shape[1]
    last = _last(gates)
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


def quarters(gates: Sequence[Gate], rows: NDArray[np.float64], labels: Sequence[int], kind: Native) -> Circuit:
    """Quarter and half turns about x, with as few turns about z between them as can be.

    A turn about z goes through ``cz`` as it is, through ``iswap`` to the other qubit and through half a turn about x with its sign changed; it is
    written before the next quarter turn.

    Args:
        gates: ``sx``, ``x``, ``rz``, the machine's gate on two qubits and measurements, on places.
        rows: For each angle.
        labels: The machine's number of each place.
        kind: Of the machine.
    """
    width = rows.shape[1]
    last = _last(gates)
    turned: dict[int, NDArray[np.float64]] = {}
    made: list[Gate] = []
    angles: list[NDArray[np.float64]] = []
    left = iter(rows)
    used: set[int] = set()
    for place, (name, qubits, bits) in enumerate(gates):
        qubit, on = qubits[0], tuple(labels[each] for each in qubits)
        if name == "rz":
            turned[qubit] = turned.get(qubit, np.zeros(width)) + next(left)
            continue
        if name == "measure" and last[bits[0]] != place:
            continue
        if name == "measure" and qubit not in used:
            made += [(idle, on, ()) for idle in kind.idle]
            angles += [np.zeros(width) for idle in kind.idle if idle == "rz"]
        elif name == "sx":
            turn = turned.pop(qubit, np.zeros(width))
            if _turns(turn):
                made.append(("rz", on, ()))
                angles.append(turn)
        elif name == "x" and qubit in turned:
            turned[qubit] = -turned[qubit]
        elif name == "iswap":
            one, other = (turned.pop(each, np.zeros(width)) for each in qubits)
            turned |= {qubits[0]: other, qubits[1]: one}
        used.update(qubits)
        made.append((name, on, bits))
    return tuple(made), np.array(angles).reshape(len(angles), width)


def _last(gates: Sequence[Gate]) -> dict[int, int]:
    """Where each bit is read last: a bit that is read again has the later value."""
    return {bits[0]: place for place, (name, _, bits) in enumerate(gates) if name == "measure"}


def _turns(row: NDArray[np.float64]) -> bool:
    """Whether a turn is one, and no whole turns or what rounding left of them."""
    return bool(row[:-1].any() or abs(row[-1] - _TURN * np.rint(row[-1] / _TURN)) > 1e-9)
