"""Whether counts are what a model of the device gives: total variation distance, and where chance alone would put it.

A rank test (Dwass, Annals of Mathematical Statistics 28, 1957): the model gives 99 batches of as many shots as were measured. Were the device as the
model, the measured batch would be one of a hundred like it, and each one's distance from all the others together would be the largest as often as
any. So a distance above all 99 comes by chance once in a hundred, whatever the distribution, its width and the number of shots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prefect_gatehouse.workload.counts import Counts

BATCHES = 99
MARGIN = 0.1
"""A tenth of the shots elsewhere, beyond chance, is no drift any more: as much as a day's change of calibration moves circuits of some twenty
two-qubit gates on today's machines, and less than any mistake of order, wiring or circuit does."""

Verdict = Literal["expected", "drift", "incident"]


@dataclass(frozen=True)
class Comparison:
    """Circuits compared with a model of their device.

    Attributes:
        distance: Total variation, between 0 and 1, mean over the circuits.
        low: The smallest of the model's own batches.
        high: The largest.
    """

    distance: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """``expected`` within chance, ``drift`` beyond it by no more than the margin, ``incident`` further away."""
        if self.distance <= self.high:
            return "expected"
        return "drift" if self.distance <= self.high + MARGIN else "incident"


def compare(measured: Sequence[Counts], modelled: Sequence[Counts], seed: int) -> Comparison:
    """Compares circuits with what the model gave for them.

    Args:
        measured: Counts of each circuit.
        modelled: Counts of the model for each circuit, over ``BATCHES`` times as many shots.
        seed: Of how the model's shots are dealt into batches.
    """
    random = np.random.default_rng(seed)
    distances = np.mean([_distances(one, many, random) for one, many in zip(measured, modelled, strict=True)], axis=0)
    return Comparison(float(distances[0]), float(distances[1:].min()), float(distances[1:].max()))


def _distances(one: Mapping[str, int], many: Mapping[str, int], random: np.random.Generator) -> NDArray[np.float64]:
    """The distance of each batch from all the others together, the measured one's first."""
    outcomes = sorted({*one, *many})
    first, left = (np.array([each.get(bits, 0) for bits in outcomes], np.int64) for each in (one, many))
    shots = int(first.sum())
    if int(left.sum()) != BATCHES * shots or not shots:
        raise ValueError("the model has other shots than were measured")
    # Shuffled and dealt out as cards are, so that every batch is as good as another.
    deck = random.permutation(np.repeat(np.arange(len(outcomes)), left)).reshape(BATCHES, shots)
    places = (deck + len(outcomes) * np.arange(BATCHES)[:, np.newaxis]).ravel()
    dealt = np.bincount(places, minlength=BATCHES * len(outcomes)).reshape(BATCHES, len(outcomes))
    table = np.vstack([first, dealt])
    others = table.sum(axis=0) - table
    found: NDArray[np.float64] = 0.5 * np.abs(table / shots - others / (BATCHES * shots)).sum(axis=1)
    return found
