"""The counts that a workload is given: a dictionary of bit strings without spaces, which also knows the circuit's registers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

Counts = Mapping[str, int]
"""How often each bit string was measured, qubit 0 rightmost."""

Registers = tuple[tuple[str, tuple[int, ...]], ...]
"""The name of each classical register and its bits' places in the circuit, first bit first."""


class RoundCounts(dict[str, int]):
    """How often each bit string was measured: over all classical bits of the circuit, bit 0 rightmost, no spaces.

    Qiskit writes a space between two registers, ``10 1``; here it is ``101`` whatever the registers. ``spaced()`` gives the texts
    as Qiskit writes them, and ``of("c1")`` one register's counts, as ``result.data.c1.get_counts()`` of a sampler does.
    """

    def __init__(self, counts: Mapping[str, int], registers: Registers) -> None:
        super().__init__(counts)
        self._registers = registers

    def spaced(self) -> dict[str, int]:
        """The counts as Qiskit writes them, the last register first, with a space between two."""
        names = [name for name, _ in reversed(self._registers)]
        found: dict[str, int] = {}
        for bits, count in self.items():
            text = " ".join(_part(bits, places) for places in (dict(self._registers)[name] for name in names)) or bits
            found[text] = found.get(text, 0) + count
        return found

    def of(self, register: str) -> dict[str, int]:
        """The counts of one classical register, the others summed over.

        Raises:
            KeyError: The circuit has no such register.
        """
        places = dict(self._registers)[register]
        found: dict[str, int] = {}
        for bits, count in self.items():
            part = _part(bits, places)
            found[part] = found.get(part, 0) + count
        return found


def registers_of(circuit: QuantumCircuit) -> Registers:
    """A circuit's classical registers."""
    places = {bit: place for place, bit in enumerate(circuit.clbits)}
    return tuple((register.name, tuple(places[bit] for bit in register)) for register in circuit.cregs)


def _part(bits: str, places: tuple[int, ...]) -> str:
    return "".join(bits[-1 - place] for place in reversed(places))
