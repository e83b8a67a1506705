"""Counts that stand in for a backend's while a workload is rehearsed: simulated within bounds, uniform beyond them.

Nothing is submitted, journalled or kept. The same circuits get the same counts, wherever and whenever.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import numpy as np

from prefect_gatehouse.errors import JobFailed
from prefect_gatehouse.workload.batch import CircuitBatch, Template
from prefect_gatehouse.workload.counts import Counts

SHOTS = 64
"""Of each circuit, where the run takes no fewer."""
QUBITS = 20
"""Widest circuit that is simulated: a state vector of 16 MiB."""
CIRCUITS = 256
"""Most circuits of one round that are simulated: about a tenth of a second where they are small."""
_ALL_CIRCUITS = 4096  # of all rounds
_WORK = 2**30  # amplitudes that gates change, over all rounds: seconds
_SEED = 20260101


class StandIn:
    """Counts for one way through a workload.

    Args:
        shots: Of each circuit.
        simulate: Whether circuits are simulated at all.

    Attributes:
        simulated: Circuits that were.
        uniform: Circuits that were given uniform counts.
    """

    def __init__(self, shots: int, *, simulate: bool = True) -> None:
        self.shots = shots
        self.simulated = 0
        self.uniform = 0
        self._circuits = _ALL_CIRCUITS if simulate and importlib.util.find_spec("qiskit_aer") is not None else 0
        self._work = _WORK
        self._even: dict[int, Counts] = {}
        self._round = 0

    def __call__(self, batch: CircuitBatch) -> list[Counts]:
        """Counts of a round's circuits, in order: of the first ones that the bounds leave room for simulated, of the others uniform."""
        self._round += 1
        counts = self._simulated(batch, self._room(batch))
        widths = list(batch.clbits())[len(counts) :]
        self.simulated += len(counts)
        self.uniform += len(widths)
        return [*counts, *(self._spread(width) for width in widths)]

    def _room(self, batch: CircuitBatch) -> int:
        """How many circuits, from the first, can be simulated."""
        if not self._circuits:
            return 0
        costs = np.array([_work(template, self.shots) for template in batch.templates])[batch.order[: min(CIRCUITS, self._circuits)]]
        return int(np.searchsorted(np.cumsum(costs), self._work, side="right"))

    def _simulated(self, batch: CircuitBatch, number: int) -> list[Counts]:
        if not number:
            return []
        from prefect_gatehouse.providers.simulator.aer import simulate

        part = next(batch.parts(number))
        self._circuits -= number
        self._work -= sum(_work(part.templates[place], self.shots) for place in part.order.tolist())
        try:
            return list(simulate(part, self.shots, _SEED + self._round, lambda done, total: None))
        except JobFailed:  # what this simulator can't do is no fault of the workload's
            return []

    def _spread(self, width: int) -> Counts:
        """Every result as frequent as the others; where there are more than shots, as many of them as there are shots."""
        if width not in self._even:
            self._even[width] = even(width, self.shots)
        return self._even[width]


def even(width: int, shots: int) -> Counts:
    """Uniform counts over so many bits, without any chance: rounds that change nothing look the same."""
    if width < shots.bit_length():
        share, rest = divmod(shots, 2**width)
        return {f"{result:0{width}b}": share + (result < rest) for result in range(2**width)}
    drawn: Sequence[Sequence[int]] = np.random.default_rng(_SEED).integers(0, 2, (shots, width)).tolist()
    counts: dict[str, int] = {}
    for bits in drawn:
        text = "".join(map(str, bits))
        counts[text] = counts.get(text, 0) + 1
    return counts


def _work(template: Template, shots: int) -> float:
    """Amplitudes that a setting's gates change; infinitely many where it is too wide."""
    if template.qubits > QUBITS or not template.measures:
        return float("inf")
    again = 1 if template.ends_with_measuring else shots  # every shot is a way of its own
    return float(len(template.gates) * 2**template.qubits * again)
