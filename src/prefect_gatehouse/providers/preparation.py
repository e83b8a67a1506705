"""What every provider's ``prepare`` is made of: a batch that stays as it is, and one whose templates are replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.providers.interface import Prepared
from prefect_gatehouse.workload.batch import CircuitBatch, Template, joined

if TYPE_CHECKING:
    from numpy.typing import NDArray

Transpile = Callable[[Template], "tuple[Template, NDArray[np.float64]]"]
"""Gives a template's replacement, and a matrix of (its angles, the first one's angles and a constant): each new angle is linear in the old ones."""


def as_it_is(batch: CircuitBatch, because: str, **settings: Json) -> Prepared:
    """A batch that is sent as the workload yielded it.

    Args:
        batch: The batch.
        because: Why nothing is transpiled, in words.
        settings: More of them.
    """
    depth, pairs = batch.depth, batch.two_qubit_gates
    return Prepared(batch, {"transpiler": "none", "because": because, **settings}, depth, depth, pairs, pairs, None)


def replaced(batch: CircuitBatch, transpile: Transpile) -> CircuitBatch:
    """A batch with every template replaced; circuits stay in their order."""
    made = [transpile(template) for template in batch.templates]
    tables = [np.hstack([table, np.ones((len(table), 1))]) @ matrix.T + 0.0 for table, (_, matrix) in zip(batch.angles, made, strict=True)]
    templates = tuple(template for template, _ in made)
    if len(set(templates)) == len(templates):
        return CircuitBatch(templates, batch.order, tuple(tables))
    # Two that differed are the same now: rows come in the order of the circuits.
    rows = [iter(table) for table in tables]
    return joined([(templates[place], next(rows[place])[np.newaxis]) for place in batch.order.tolist()])
