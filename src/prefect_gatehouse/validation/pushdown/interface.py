"""What a check on record batches is, and how one is added.

A family is one module with functions ``(Arguments) -> Bind``: the arguments are read as strictly as Great Expectations reads them
(anything that is not plain raises ``NotPlain`` and goes there), and ``Bind`` makes the check for a schema, or None where the
column's type has no proven equal here. ``registry.py`` gives each function its expectation. A check may raise ``Undecided`` at any
time, also after the last batch; the expectation then goes to Great Expectations, which has the last word. A check must never
answer by approximation: where rounding could turn the verdict it is undecided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from prefect_gatehouse.validation.pushdown.view import Batch


class Undecided(Exception):
    """This engine can't prove the verdict; carries no text, because it could only be about values."""


class Check(Protocol):
    """The state of one expectation over the batches of a source."""

    columns: tuple[str, ...]

    def update(self, batch: Batch) -> None:
        """Takes one batch of the columns into account."""

    def again(self) -> bool:
        """Called after each pass over the data: whether the check needs to see all of it once more."""

    def success(self) -> bool:
        """The verdict."""


class OnePass:
    """Base of the checks that see the data once."""

    def again(self) -> bool:
        """Never."""
        return False


@dataclass(frozen=True)
class Table:
    """What a check may know before the first batch.

    Attributes:
        names: Every column, in order.
        types: Of the columns that can be computed here; one that is missing can be seen by Great Expectations only.
        rows: How many there are.
        decimals: Columns of decimals that are computed as doubles.
    """

    names: tuple[str, ...]
    types: Mapping[str, pa.DataType]
    rows: int
    decimals: frozenset[str] = frozenset()


Bind = Callable[[Table], Check | None]
