"""Which values of a column, or rows of several, occur more than once: exact, in flat memory, over as many passes as that takes.

A pass keeps the fingerprints of one slice of their range. Fingerprints that do not repeat belong to values that do not. What repeats
is looked at again in the next pass, this time the values themselves, grouped by Arrow. A column without repetitions of 4 million
rows takes one pass; ten times as many rows take ten passes and the same memory.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa

from prefect_gatehouse.validation.pushdown.fingerprints import Fingerprints, Prints
from prefect_gatehouse.validation.pushdown.interface import Undecided
from prefect_gatehouse.validation.pushdown.view import Batch, View

SLICE = 1 << 22
"""Fingerprints kept at a time; 32 MiB, twice that while they are sorted."""
_LOOKED_AT = 1 << 12
"""Repeated fingerprints that are looked at first where one repetition decides."""
_UNEVEN = 1.5
"""How far a slice may outgrow its share; of millions of fingerprints none comes near it."""
_ROWS_GROUPED = 1 << 19


class Repetition:
    """The search over the passes.

    Args:
        columns: Whose values, taken together where there are several.
        rows: Of the table.
        wanted: ``any`` stops at the first proven repetition; ``counts`` finds all.
        missing: Which rows do not count: those without any value, with a missing value, or none.
    """

    def __init__(self, columns: tuple[str, ...], rows: int, wanted: Literal["any", "counts"], missing: str = "all_values_are_missing") -> None:
        self._columns = columns
        self._wanted = wanted
        self._missing = missing
        self._slices = max(1, -(-rows // SLICE))
        self._slice = 0
        self._prints = Fingerprints()
        self._kept: list[Prints] = []
        self._number = 0
        self._repeated: Prints | None = None  # what the running pass looks at; None while it collects
        self._waiting: Prints = np.empty(0, dtype=np.uint64)
        self._groups: list[pa.Table] = []
        self._grouped = 0
        self.considered = 0
        self.distinct = 0
        self.repeated_rows = 0

    def __repr__(self) -> str:
        return f"Repetition(columns={len(self._columns)}, slice={self._slice})"

    def update(self, batch: Batch) -> None:
        """Takes one batch into account."""
        views = [batch.view(name) for name in self._columns]
        keep = self._considered(views)
        # A batch's own fingerprints, under this search's key.
        prints = self._prints.of(views[0]) if len(views) == 1 else self._prints.of_rows(views)[keep]
        if self._repeated is not None:
            self._look(views, keep, prints)
            return
        if self._slice == 0:
            self.considered += len(prints)
        if self._slices > 1:
            # The upper half of a fingerprint decides on its slice.
            prints = prints[(prints >> np.uint64(32)) * np.uint64(self._slices) >> np.uint64(32) == np.uint64(self._slice)]
        self._kept.append(prints)
        self._number += len(prints)
        if self._number > 2 * SLICE:  # many rows of few values: nothing to keep but the values
            self._fold()

    def again(self) -> bool:
        """Called after a pass: whether one more is needed."""
        if self._repeated is None:
            repeated = self._fold()
            self.distinct += self._number - len(repeated)
            self._waiting = repeated
            self._kept, self._number = [], 0
        else:
            self._close_groups()
        if self._wanted == "any" and self.repeated_rows:
            return False
        if len(self._waiting):
            many = _LOOKED_AT if self._wanted == "any" else len(self._waiting)
            self._repeated, self._waiting = self._waiting[:many], self._waiting[many:]
            return True
        self._repeated = None
        self._slice += 1
        return self._slice < self._slices

    def _considered(self, views: list[View]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        present = np.stack([view.present for view in views])
        if len(views) > 1 and self._missing == "never":
            return np.ones(views[0].rows, dtype=np.bool_)
        return np.asarray(present.any(axis=0) if self._missing == "all_values_are_missing" else present.all(axis=0))

    def _fold(self) -> Prints:
        """Keeps each fingerprint of the slice once; returns those that came more than once."""
        seen = np.concatenate([*self._kept, np.empty(0, dtype=np.uint64)])
        self._kept = []
        seen.sort()
        twice = seen[1:] == seen[:-1]
        repeated = np.union1d(self._waiting, seen[1:][twice])
        self._waiting = repeated
        distinct = seen[np.concatenate([[True], ~twice])] if len(seen) else seen
        self._kept, self._number = [distinct], len(distinct)
        if self._number > SLICE * _UNEVEN:
            raise Undecided  # memory is bounded, whatever the fingerprints do
        return repeated

    def _look(self, views: list[View], keep: np.ndarray[tuple[int], np.dtype[np.bool_]], prints: Prints) -> None:
        assert self._repeated is not None  # update asks only then
        places = np.searchsorted(self._repeated, prints)
        places[places == len(self._repeated)] = 0
        rows = np.flatnonzero(keep)[self._repeated[places] == prints]
        if not len(rows):
            return
        chosen = np.zeros(views[0].rows, dtype=np.bool_)
        chosen[rows] = True
        self._groups.append(pa.table([view.kept(chosen) for view in views], names=[str(place) for place in range(len(views))]))
        self._grouped += len(rows)
        if self._grouped > _ROWS_GROUPED:
            self._group()

    def _group(self) -> pa.Table | None:
        if not self._groups:
            return None
        keys = [str(place) for place in range(len(self._columns))]
        counted = [table if "n" in table.column_names else _once(table) for table in self._groups]
        table = pa.concat_tables(counted).group_by(keys, use_threads=False).aggregate([("n", "sum")]).rename_columns({"n_sum": "n"})
        self._groups, self._grouped = [table], 0
        return table

    def _close_groups(self) -> None:
        table = self._group()
        self._groups = []
        if table is None:
            raise Undecided  # what repeated a pass ago is gone: the source is not the same twice
        counts = table.column("n").to_numpy()
        self.distinct += len(counts)
        self.repeated_rows += int(counts[counts > 1].sum())


def _once(table: pa.Table) -> pa.Table:
    return table.append_column("n", pa.array(np.ones(table.num_rows, dtype=np.int64)))
