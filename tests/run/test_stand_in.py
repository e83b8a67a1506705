"""Counts that stand in for a backend's: right where they are simulated, uniform where that would cost too much, the same every time."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from prefect_gatehouse.errors import JobFailed
from prefect_gatehouse.providers.simulator import aer
from prefect_gatehouse.run import stand_in
from prefect_gatehouse.run.stand_in import StandIn, even
from prefect_gatehouse.workload.batch import CircuitBatch, Template, joined


def sweep(number: int, width: int = 2, gates: int = 1, *, resets: bool = False) -> CircuitBatch:
    """So many settings of one circuit: rotations by half a turn on qubit 0, which is measured."""
    turns = tuple(("ry", (0,), ()) for _ in range(gates))
    reset = (("reset", (width - 1,), ()),) if resets else ()
    measured = tuple(("measure", (place,), (place,)) for place in range(width))
    template = Template(width, width, (*turns, *reset, *measured))
    return joined([(template, np.full((number, gates), np.pi))])


def test_simulated_counts_are_the_circuits_own() -> None:
    """Qubit 0 is turned, rightmost."""
    source = StandIn(64)
    assert source(sweep(3)) == [{"01": 64}] * 3
    assert (source.simulated, source.uniform) == (3, 0)


def test_the_same_every_time() -> None:
    """The same circuits in the same round: the same counts; another round draws others."""
    batch = joined([(Template(1, 1, (("ry", (0,), ()), ("measure", (0,), (0,)))), np.linspace(0.3, 2.5, 20)[:, None])])
    one, other = StandIn(64), StandIn(64)
    first = one(batch)
    assert first == other(batch)
    assert first != one(batch)


@pytest.mark.parametrize(("width", "shots"), [(0, 5), (1, 1), (1, 64), (2, 3), (6, 64), (7, 64), (40, 64), (200, 7), (3, 1000)])
def test_uniform_counts(width: int, shots: int) -> None:
    """They have as many shots as they should, in strings of the circuit's width; as even as it goes where every result fits."""
    counts = even(width, shots)
    assert sum(counts.values()) == shots and all(len(bits) == max(width, 1) and set(bits) <= {"0", "1"} for bits in counts)
    assert even(width, shots) == counts
    if 2**width <= shots:
        assert len(counts) == 2**width and max(counts.values()) - min(counts.values()) <= 1


def kinds(source: StandIn) -> tuple[int, int, int]:
    return source.simulated, source.borrowed, source.uniform


def test_circuits_beyond_the_bound_of_a_round() -> None:
    """256 of them, spread over the round, are simulated; the others are given what the one with the nearest angles gave."""
    source = StandIn(64)
    half = sweep(300)
    turned = joined([(half.templates[0], np.vstack([half.angles[0], half.angles[0] * 0]))])  # the first half turned, the second not
    found = source(turned)
    assert kinds(source) == (256, 344, 0)
    assert found == [{"01": 64}] * 300 + [{"00": 64}] * 300


def test_bounds_over_all_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many circuits, and so much work: what is beyond is counted."""
    monkeypatch.setattr(stand_in, "_ALL_CIRCUITS", 300)
    source = StandIn(64)
    for _ in range(3):
        source(sweep(200))
    assert kinds(source) == (300, 100, 200)
    monkeypatch.setattr(stand_in, "_WORK", 100)
    source = StandIn(64)
    source(sweep(10, gates=8))  # ten gates on four amplitudes: two settings are 80
    assert kinds(source) == (2, 8, 0)
    monkeypatch.setattr(stand_in, "_WORK", 1000)
    source = StandIn(64)
    source(sweep(1, resets=True))  # every shot anew: 16 amplitudes become 1,024
    assert kinds(source) == (0, 0, 1)


def test_wide_circuits_are_not_simulated() -> None:
    """They get uniform counts of their width; those beside them are simulated."""
    source = StandIn(64)
    wide, small = sweep(1, 21), sweep(2)
    batch = joined([(small.templates[0], small.angles[0]), (wide.templates[0], wide.angles[0]), (small.templates[0], small.angles[0])])
    found = source(batch)
    assert kinds(source) == (4, 0, 1)
    assert {len(bits) for bits in found[2]} == {21} and sum(found[2].values()) == 64
    assert [each for place, each in enumerate(found) if place != 2] == [{"01": 64}] * 4


def test_what_the_simulator_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its refusal is none of the workload's faults."""

    def fails(*_: Any) -> Sequence[Any]:
        raise JobFailed("no")

    monkeypatch.setattr(aer, "simulate", fails)
    source = StandIn(64)
    assert source(sweep(2)) == [even(2, 64)] * 2 and kinds(source) == (0, 0, 2)


def test_without_a_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Aer is not installed, or must not be used, nobody imports it."""

    def nobody(*_: Any) -> Sequence[Any]:
        raise AssertionError

    monkeypatch.setattr(aer, "simulate", nobody)
    assert StandIn(64, simulate=False)(sweep(1)) == [even(2, 64)]
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "qiskit_aer" else find(name, *more))
    source = StandIn(64)
    assert source(sweep(1)) == [even(2, 64)] and source.uniform == 1
