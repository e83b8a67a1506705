"""When counts are right: how far sampling alone moves them from what is ideal, and how far a wrong order of bits would.

Distances are total variation. It moves by at most 1/n when one of n shots is another one, so that by McDiarmid's inequality (Surveys in
Combinatorics, 1989) it exceeds its mean by t with a chance of at most exp(-2 n t^2); its mean is at most half the sum of the standard deviations of
the outcomes' shares.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.workload.counts import Counts

CHANCE = 1e-9
"""That honest counts fail a check: a suite of a hundred of them may run every day for a lifetime."""


def distance(counts: Counts, ideal: Mapping[str, float]) -> float:
    """Total variation between what was measured and what is ideal."""
    shots = sum(counts.values())
    return sum(abs(counts.get(key, 0) / shots - ideal.get(key, 0.0)) for key in {*counts, *ideal}) / 2


def sampling(ideal: Mapping[str, float], shots: int) -> float:
    """The distance that counts of a perfect backend exceed with ``CHANCE`` at most."""
    mean = sum(math.sqrt(each * max(0.0, 1 - each) / shots) for each in ideal.values()) / 2
    return mean + math.sqrt(-math.log(CHANCE) / (2 * shots))


def nearest_wrong(ideal: Mapping[str, float]) -> float:
    """The least distance that any other order of the bits makes; 0 where some other order gives the same."""
    width = len(next(iter(ideal)))
    right = tuple(range(width))
    return min(_between(ideal, {"".join(key[place] for place in order): value for key, value in ideal.items()}) for order in _orders(right))


def _orders(right: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [order for order in itertools.permutations(right) if order != right]


def _between(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(abs(one.get(key, 0.0) - other.get(key, 0.0)) for key in {*one, *other}) / 2


def order_bound(ideal: Mapping[str, float], shots: int, *, noisy: bool) -> float:
    """What counts may be away from the ideal of an asymmetric circuit, so that no other order of bits passes.

    Half the way to the nearest other order for a device that errs; what sampling explains for one that does not.

    Raises:
        InputError: With so few shots the orders can't be told apart.
    """
    half, sampled = nearest_wrong(ideal) / 2, sampling(ideal, shots)
    if sampled >= half:
        raise InputError(f"{shots} shots are too few to tell one order of bits from another", where="shots", advice="take more shots, such as 1000")
    return half if noisy else sampled
