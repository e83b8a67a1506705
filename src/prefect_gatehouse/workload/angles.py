"""The angles that may leave: how large one may be, and the grid that ``execution.angle_step`` puts them on.

On a grid of step s an angle is k * s with a whole number k, computed once in doubles, so each point of the grid has exactly one double and
whatever a workload wrote into the digits behind it is gone. The grid reaches over one period: a larger angle counts as its remainder.
"""

from __future__ import annotations

import math
import struct

import numpy as np
from numpy.typing import NDArray

from prefect_gatehouse.workload.batch import CircuitBatch

PERIOD = 4 * math.pi
"""Radians. Every standard gate is the same again after at most so much."""

LARGEST_ANGLE = 64 * PERIOD
"""Radians. A larger angle says nothing that its remainder does not. 64 periods leave room for feature maps and weighted costs, and none for
a postcode, a year or an account number that nobody scaled."""

FINEST_STEP, COARSEST_STEP = 1e-12, 0.1
"""Radians. Below the finest, neighbouring points come near to the spacing of doubles; a step above the coarsest turns a gate by more than
what any device's calibration leaves uncertain, so it was meant in other units."""


def on_grid(batch: CircuitBatch, step: float | None) -> CircuitBatch:
    """A batch with every angle on the nearest point of the grid; as it is where there is none.

    An angle that is larger than any may be stays as it is, for the boundary guard to refuse: its remainder would look like an honest one.

    Args:
        batch: The circuits.
        step: Radians.
    """
    if step is None:
        return batch
    return CircuitBatch(batch.templates, batch.order, tuple(_rounded(table, step) for table in batch.angles))


def _rounded(table: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    sane = np.abs(table) <= LARGEST_ANGLE
    places = np.where(sane, table, 0.0)
    places -= PERIOD * np.rint(places / PERIOD)
    places /= step
    np.rint(places, out=places)
    last = _last(step)
    np.clip(places, -last, last, out=places)
    places *= step
    places += 0.0  # zero has no sign
    return places if sane.all() else np.where(sane, places, table)


def is_on_grid(table: NDArray[np.float64], step: float) -> bool:
    """Whether every angle is a point of the grid, written as the grid writes it."""
    places = np.rint(table / step)
    return bool((np.abs(places) <= _last(step)).all() and (places * step == table).all())


def _last(step: float) -> float:
    """The largest k."""
    return math.floor(PERIOD / 2 / step)


def choices(step: float | None) -> int:
    """How many values an angle has: the points of the grid, or without one every double up to the largest angle."""
    if step is not None:
        return 2 * math.floor(PERIOD / 2 / step) + 1
    # The bits of a positive double, read as a whole number, count the doubles below it (IEEE 754 binary64); zero has one sign only.
    (below,) = struct.unpack("<q", struct.pack("<d", LARGEST_ANGLE))
    return 2 * int(below) + 1
