"""The grid of the angles: one double a point, the nearest one, nothing left of what stood behind it, and no gate that notices a period."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from prefect_gatehouse.workload.angles import LARGEST_ANGLE, PERIOD, choices, is_on_grid, on_grid
from prefect_gatehouse.workload.batch import CircuitBatch, Template, joined
from prefect_gatehouse.workload.gates import PHASE, standard_gates

STEPS = [1e-12, 1e-9, 1e-6, math.pi / 1024, 1e-3, 0.1]
ANGLE = st.floats(-LARGEST_ANGLE, LARGEST_ANGLE)
TURN = Template(1, 1, (("rx", (0,), ()), ("measure", (0,), (0,))))


def batch(*angles: float) -> CircuitBatch:
    """One circuit an angle."""
    return joined([(TURN, np.array(angles, np.float64).reshape(-1, 1))])


def put(step: float, *angles: float) -> NDArray[np.float64]:
    return on_grid(batch(*angles), step).angles[0][:, 0]


@given(st.sampled_from(STEPS), st.lists(ANGLE, min_size=1, max_size=20))
def test_the_nearest_point(step: float, angles: list[float]) -> None:
    """Modulo the period no angle moves by more than half a step, or a whole one at the grid's end; all are on the grid, zero without a sign."""
    found = put(step, *angles)
    away = np.abs(np.remainder(found - np.array(angles) + PERIOD / 2, PERIOD) - PERIOD / 2)
    ends = np.abs(found) > PERIOD / 2 - 1.5 * step
    assert (away <= np.where(ends, step, step / 2) + 1e-12).all()
    assert is_on_grid(found, step) and not (np.signbit(found) & (found == 0)).any()
    assert (np.abs(found) <= PERIOD / 2 * (1 + 1e-15)).all()


@given(st.sampled_from(STEPS), ANGLE, st.integers(-3, 3))
def test_one_double_a_point(step: float, angle: float, ulps: int) -> None:
    """What is written into the last bits of an angle is gone: doubles beside each other are one point, or two neighbouring ones, never a third."""
    (point,) = put(step, angle)
    (other,) = put(step, min(max(angle + ulps * math.ulp(angle), -LARGEST_ANGLE), LARGEST_ANGLE))
    apart = abs(round(point / step) - round(other / step))
    assert apart in (0, 1) or apart >= round(PERIOD / step) - 2
    assert (point == other) == (apart == 0)


@pytest.mark.parametrize("step", STEPS)
def test_a_neighbouring_double_is_off_the_grid(step: float) -> None:
    """The guard's question: a point is on the grid, the double beside it and a point beyond the last are not."""
    last = (choices(step) - 1) // 2
    for place in (1, -1, 7, last // 2, last, -last):
        point = place * step
        assert is_on_grid(np.array([[point]]), step)
        for beside in (math.nextafter(point, math.inf), math.nextafter(point, -math.inf)):
            assert not is_on_grid(np.array([[0.0, beside]]), step)
    assert not is_on_grid(np.array([[(last + 1) * step]]), step)


def test_without_a_step_nothing_changes() -> None:
    """The very same batch."""
    made = batch(0.1, 1e-300, -7.0)
    assert on_grid(made, None) is made
    assert choices(None) == 2 * int(np.array(LARGEST_ANGLE).view(np.int64)) + 1


def test_an_angle_beyond_the_largest_stays_for_the_guard_to_refuse() -> None:
    """An account number that nobody scaled is not made an honest-looking remainder; the others of its table are put on the grid."""
    assert put(1e-6, 20260101.0, 0.12345678, -1e300).tolist() == [20260101.0, 123457 * 1e-6, -1e300]


def test_how_many_values_an_angle_has() -> None:
    """As many as the grid has points in a period, to within one."""
    assert choices(1e-6) == 2 * 6_283_185 + 1
    assert (choices(1e-6) - 1).bit_length() == 24 and (choices(1e-5) - 1).bit_length() == 21 and (choices(None) - 1).bit_length() == 64


@pytest.mark.parametrize("name", sorted(name for name, gate in standard_gates().items() if gate.params and name != PHASE))
def test_no_gate_notices_a_period(name: str) -> None:
    """Every parameter of every standard gate: a period more is the same matrix, so the remainder is what was meant."""
    from qiskit.quantum_info import Operator

    gate = standard_gates()[name]
    angles = [0.3 + 0.4 * place for place in range(len(gate.params))]
    for place in range(len(angles)):
        more = [angle + PERIOD * (at == place) for at, angle in enumerate(angles)]
        assert np.allclose(Operator(gate.base_class(*angles)).data, Operator(gate.base_class(*more)).data, atol=1e-12)
