"""The work that every side does: piece n is a circuit of three qubits whose only outcome is n in bits, so no result passes for another's."""

from __future__ import annotations

QUBITS = 3
SHOTS = 20


def bits_of(piece: int) -> str:
    """The outcome of a piece, qubit 0 leftmost."""
    return format(piece % 2**QUBITS, f"0{QUBITS}b")
