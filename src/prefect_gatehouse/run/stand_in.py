"""Counts that stand in for a backend's while a workload is rehearsed: simulated within bounds.

Beyond them a circuit gets the counts of the simulated one with the same gates and the nearest angles, and where there is none, as
for every wide one, uniform counts. Nothing is submitted, journalled or kept. The same circuits get the same counts, wherever and whenever.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prefect_gatehouse.errors import JobFailed
from prefect_gatehouse.workload.batch import CircuitBatch, Template, joined
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
_ROWS = 4096  # distances at a time: a few megabytes


def _is_there() -> bool:
    return importlib.util.find_spec("qiskit_aer") is not None


class StandIn:
    """Counts for one way through a workload.

    Args:
        shots: Of each circuit.
        simulate: Whether circuits are simulated at all.

    Attributes:
        simulated: Circuits that were.
        borrowed: Circuits that were given the counts of one with the same gates and other angles.
        uniform: Circuits that were given uniform counts.
    """

    def __init__(self, shots: int, *, simulate: bool = True) -> None:
        self.shots = shots
        self.simulated = 0
        self.borrowed = 0
        self.uniform = 0
        self._circuits = _ALL_CIRCUITS if simulate and _is_there() else 0
        self._work = float(_WORK)
        self._even: dict[int, Counts] = {}
        self._round = 0

    def __call__(self, batch: CircuitBatch) -> list[Counts]:
        """Counts of a round's circuits, in order."""
        self._round += 1
        simulated = self._simulated(batch)
        found: list[Counts] = [{}] * len(batch)
        ends = np.cumsum([len(table) for table in batch.angles])
        by_template = np.split(np.argsort(batch.order, kind="stable"), ends[:-1])
        for template, table, places in zip(batch.templates, batch.angles, by_template, strict=True):
            known = np.array([row for row, place in enumerate(places.tolist()) if place in simulated], np.intp)
            if len(known):
                self.borrowed += len(places) - len(known)
                givers = places[known[nearest(table, table[known])]]
                for place, giver in zip(places.tolist(), givers.tolist(), strict=True):
                    found[place] = simulated.get(place) or simulated[giver]
            else:
                self.uniform += len(places)
                for place in places.tolist():
                    found[place] = self._spread(template.clbits)
        return found

    def _simulated(self, batch: CircuitBatch) -> dict[int, Counts]:
        """The counts of the circuits that the bounds leave room for, by their place, in order."""
        costs = np.array([_work(template, self.shots) for template in batch.templates])[batch.order]
        places = self._chosen(costs)
        if not len(places):
            return {}
        from prefect_gatehouse.providers.simulator.aer import simulate

        self._circuits -= len(places)
        self._work -= float(costs[places].sum())
        wanted = set(places.tolist())
        part = joined([(template, angles[None]) for place, (template, angles) in enumerate(batch.settings()) if place in wanted])
        try:
            found = simulate(part, self.shots, _SEED + self._round, lambda done, total: None)
        except JobFailed:  # what this simulator can't do is no fault of the workload's
            return {}
        self.simulated += len(found)
        return dict(zip(places.tolist(), found, strict=True))

    def _chosen(self, costs: NDArray[np.float64]) -> NDArray[np.intp]:
        """Places of circuits that can be simulated, spread over the round: as many as the bounds allow."""
        able = np.flatnonzero(np.isfinite(costs))
        number = min(CIRCUITS, self._circuits, len(able))
        while number:
            places = able[np.linspace(0, len(able) - 1, number).astype(np.intp)]
            if costs[places].sum() <= self._work:
                return places
            number //= 2
        return able[:0]

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


def nearest(table: NDArray[np.float64], known: NDArray[np.float64]) -> NDArray[np.intp]:
    """For each row of a table the place of the nearest row among some: what circuits give changes smoothly with their angles."""
    found = np.empty(len(table), np.intp)
    for start in range(0, len(table), _ROWS):
        rows = table[start : start + _ROWS]
        # The rows' own lengths are the same for all that they are compared with.
        found[start : start + _ROWS] = np.argmin((known**2).sum(axis=1) - 2 * rows @ known.T, axis=1)
    return found


def _work(template: Template, shots: int) -> float:
    """Amplitudes that a setting's gates change; infinitely many where it is too wide."""
    if template.qubits > QUBITS or not template.measures:
        return float("inf")
    again = 1 if template.ends_with_measuring else shots  # every shot is a way of its own
    return float(len(template.gates) * 2**template.qubits * again)
