"""The rank test: chance is told from change, whatever the distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from prefect_gatehouse.run.comparison import BATCHES, compare

SHOTS = 400


def drawn(chance: np.random.Generator, weights: Any, shots: int) -> dict[str, int]:
    counts = chance.multinomial(shots, np.array(weights) / np.sum(weights))
    return {format(place, "012b"): int(count) for place, count in enumerate(counts) if count}


@pytest.mark.parametrize(
    "weights", [[1, 1], [97, 1, 1, 1], [1] * 4096, [1.0 / (place + 1) for place in range(256)]], ids=["coin", "sharp", "wide", "tail"]
)
def test_chance_is_expected(weights: list[float]) -> None:
    """Of 100 honest devices one is outside on the average: never more than six, also where there are ten times as many outcomes as shots."""
    chance = np.random.default_rng(1)
    found = [compare([drawn(chance, weights, SHOTS)], [drawn(chance, weights, BATCHES * SHOTS)], seed) for seed in range(100)]
    assert sum(each.verdict != "expected" for each in found) <= 6 and all(each.low < each.high for each in found)


def test_a_device_that_errs_more_drifts() -> None:
    """A few percent of the shots elsewhere is more than chance, and less than an incident."""
    chance = np.random.default_rng(2)
    shots = 4000
    found = compare([drawn(chance, [88, 4, 4, 4], shots)], [drawn(chance, [94, 2, 2, 2], BATCHES * shots)], 0)
    assert found.verdict == "drift" and 0.04 < found.distance < 0.08 and found.high < 0.03


@pytest.mark.parametrize("measured", [{"10": SHOTS}, {"01": SHOTS // 2, "10": SHOTS // 2}], ids=["other-order", "half"])
def test_other_outcomes_are_an_incident(measured: dict[str, int]) -> None:
    """Bits in another order, or half of the shots elsewhere."""
    found = compare([measured], [{"01": BATCHES * SHOTS}], 0)
    assert found.verdict == "incident" and found.high < 0.02


def test_many_circuits_are_one_test() -> None:
    """The mean over circuits: a change that one alone would not show, all together show."""
    chance = np.random.default_rng(3)
    pairs = [(drawn(chance, [53, 47], SHOTS), drawn(chance, [50, 50], BATCHES * SHOTS)) for _ in range(60)]
    found = compare([one for one, _ in pairs], [many for _, many in pairs], 0)
    assert found.verdict == "drift" and compare([pairs[0][0]], [pairs[0][1]], 0).verdict == "expected"


def test_the_same_seed_gives_the_same_answer() -> None:
    """Whoever asks twice reads the same figures."""
    chance = np.random.default_rng(4)
    measured, model = [drawn(chance, [3, 2, 1], SHOTS)], [drawn(chance, [3, 2, 1], BATCHES * SHOTS)]
    assert compare(measured, model, 7) == compare(measured, model, 7) != compare(measured, model, 8)


@pytest.mark.parametrize("model", [{}, {"0": SHOTS}])
def test_a_model_of_other_shots_is_refused(model: dict[str, int]) -> None:
    """Batches of other sizes would be no test."""
    with pytest.raises(ValueError, match="shots"):
        compare([{"0": SHOTS}], [model], 0)
