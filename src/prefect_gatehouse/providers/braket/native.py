"""The gates that kinds of machines do themselves, and how circuits of them stand in a template.

A template holds gates of Qiskit's. Where a machine's own gate has an angle that is fixed, the template has a gate without an angle for it (``sx``
for a quarter turn about x, ``x`` for half a turn), so that no rounding and no grid of angles makes a gate of it that the machine does not have.
Angles that are free are turns about z alone, which no machine does by a pulse.

Sources: the capabilities that the machines tell (IQM Garnet, Rigetti Ankaa-3 of 2025-12-22 and Cepheus-1-108Q of 2026-05-05, IonQ Forte
Enterprise of 2026-05-03, as amazon-braket-examples keeps them); ``native_angle_restrictions`` of qiskit-braket-provider for Rigetti's turns about
x; for IonQ the gate whose fidelity the machine publishes, which is the maximally entangling one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prefect_gatehouse.workload.batch import Template


@dataclass(frozen=True)
class Native:
    """A kind of machine.

    Attributes:
        gates: Braket's names of the gates that its circuits are written in.
        pair: Qiskit's name of the gate on two qubits in a template.
        turns: Qiskit's names of the gates on one qubit in a template.
        transpiled: Qiskit's names of the gates that the transpiler reduces circuits to.
        idle: What is done to a qubit that only is measured, since a machine counts a qubit as used where a gate touches it.
        turns_axes: Whether a turn about z is nothing that is sent: it stands in the axes of the pulses behind it.
    """

    gates: frozenset[str]
    pair: str
    turns: frozenset[str]
    transpiled: tuple[str, ...]
    idle: tuple[str, ...]
    turns_axes: bool = False

    def takes(self, template: Template) -> bool:
        """Whether a template holds these gates and measurements only, reads no bit twice, and no qubit that nothing is done to."""
        read = [(qubits[0], bits[0]) for name, qubits, bits in template.gates if name == "measure"]
        done = {qubit for name, qubits, _ in template.gates if name in self._touching for qubit in qubits}
        return (
            all(name in self.turns or name in (self.pair, "measure") for name, _, _ in template.gates)
            and len({bit for _, bit in read}) == len(read)
            and done >= {qubit for qubit, _ in read}
        )

    @property
    def _touching(self) -> set[str]:
        return {self.pair, *self.turns} - ({"rz"} if self.turns_axes else set())


_QUARTERS = frozenset({"sx", "x", "rz"})
IQM = Native(frozenset({"prx", "cz"}), "cz", frozenset({"r"}), ("rx", "rz", "cz"), ("r",))
RIGETTI = Native(frozenset({"rx", "rz", "cz"}), "cz", _QUARTERS, ("rz", "sx", "x", "cz"), ("rz",))
RIGETTI_ISWAP = Native(frozenset({"rx", "rz", "iswap"}), "iswap", _QUARTERS, ("rz", "sx", "x", "iswap"), ("rz",))
# Two half turns are none.
IONQ = Native(frozenset({"gpi", "gpi2", "zz"}), "cz", _QUARTERS, ("rz", "sx", "x", "cz"), ("x", "x"), turns_axes=True)
KINDS = (IQM, RIGETTI, RIGETTI_ISWAP, IONQ)
"""In the order in which a machine that has the gates of several is taken for one."""


def kind_of(gates: Iterable[str]) -> Native | None:
    """The kind of a machine by the names of its own gates, in lower case; None where it is none that is known."""
    return next((kind for kind in KINDS if kind.gates <= set(gates)), None)


def is_native(template: Template) -> bool:
    """Whether a template may be sent to some machine as it stands."""
    return any(kind.takes(template) for kind in KINDS)


def pairs_of(template: Template) -> set[tuple[int, int]]:
    """Qubits that its gates join."""
    return {(min(qubits), max(qubits)) for _, qubits, _ in template.gates if len(qubits) == 2}


def touched(template: Template) -> list[int]:
    """Qubits that anything is done to, measuring included."""
    return sorted({qubit for _, qubits, _ in template.gates for qubit in qubits})
