"""k-anonymity (Samarati and Sweeney, 1998) and distinct l-diversity (Machanavajjhala and others, 2007), counted batch by batch.

k: every combination of the quasi-identifiers is shared by at least k rows. l: within such a group, each sensitive column has at least l
distinct values. Rows are counted, not persons: where a person has several rows, k rows may be one person.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.errors import DataRefused

# Groups of single batches that are merged at once; more would hold memory, fewer would merge too often.
_WAITING = 16


class Groups:
    """Groups of equal quasi-identifiers with their rows, and their distinct sensitive values; a missing value equals another missing one.

    Args:
        columns: The quasi-identifiers.
        sensitive: The sensitive columns.
    """

    def __init__(self, columns: Sequence[str], sensitive: Sequence[str] = ()) -> None:
        self._columns = tuple(columns)
        self._sensitive = tuple(sensitive)
        self._parts: list[list[pa.Table]] = [[] for _ in (None, *sensitive)]

    def add(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Counts treated rows."""
        for place, also in enumerate((None, *self._sensitive)):
            names = self._columns if also is None else (*self._columns, also)
            keys = {f"q{index}": _same_zero(rows[name]) for index, name in enumerate(names)}
            counted = pa.table({**keys, "rows": pa.repeat(pa.scalar(1, pa.int64()), rows.num_rows)})
            self._parts[place].append(_sum(counted))
            if len(self._parts[place]) >= _WAITING:
                self._parts[place] = [_sum(pa.concat_tables(self._parts[place]))]

    def merge(self, other: Groups) -> None:
        """Adds the groups of other rows."""
        for mine, theirs in zip(self._parts, other._parts, strict=True):
            mine.extend(theirs)

    def check(self, k: int | None, l: int | None) -> tuple[int | None, int | None]:  # noqa: E741 the measure's own letter
        """The smallest group, and the fewest distinct sensitive values in a group; None for what is not asked.

        Raises:
            DataRefused: One is below its bound; the message counts groups and holds no value.
        """
        if k is None:
            return None, None
        sizes = _sum(pa.concat_tables(self._parts[0]))["rows"].to_numpy()
        smallest = int(sizes.min()) if len(sizes) else 0
        if smallest < k:
            raise DataRefused(
                f"the smallest group has {smallest} rows, {k} are required; {int((sizes < k).sum())} of {len(sizes)} groups are too small",
                where="data.quasi_identifiers",
                advice="generalise the quasi-identifiers further, or drop one of them",
            )
        if l is None:
            return smallest, None
        fewest = smallest
        for name, parts in zip(self._sensitive, self._parts[1:], strict=True):
            keys = [f"q{index}" for index in range(len(self._columns))]
            values = _sum(pa.concat_tables(parts))
            value = f"q{len(self._columns)}"
            counts = values.group_by(keys).aggregate([(value, "count_distinct", pc.CountOptions("all"))])[f"{value}_count_distinct"].to_numpy()
            if int(counts.min()) < l:
                raise DataRefused(
                    f"a group has {int(counts.min())} distinct values of '{name}', {l} are required; "
                    f"{int((counts < l).sum())} of {len(counts)} groups have too few",
                    where="data.sensitive",
                    advice="generalise the quasi-identifiers further, or drop the sensitive column",
                )
            fewest = min(fewest, int(counts.min()))
        return smallest, fewest


def smallest_group(table: pa.Table, columns: Sequence[str]) -> int:
    """Rows in the smallest group of equal values in these columns; a missing value equals another missing one. 0 without rows."""
    sizes = _sizes(table, columns)
    return int(sizes.min()) if len(sizes) else 0


def require_k(table: pa.Table, columns: Sequence[str], k: int) -> int:
    """The smallest group, if it has at least k rows.

    Raises:
        DataRefused: It has fewer, or there are no rows; the message counts groups and holds no value.
    """
    sizes = _sizes(table, columns)
    smallest = int(sizes.min()) if len(sizes) else 0
    if smallest < k:
        small = int((sizes < k).sum())
        raise DataRefused(
            f"the smallest group has {smallest} rows, {k} are required; {small} of {len(sizes)} groups are too small",
            where="data.quasi_identifiers",
            advice="generalise the quasi-identifiers further, or drop one of them",
        )
    return smallest


def _sizes(table: pa.Table, columns: Sequence[str]) -> npt.NDArray[np.int64]:
    if not columns:
        return np.array([table.num_rows] if table.num_rows else [], np.int64)
    # A zero of either sign is the same value to a reader; Arrow groups them apart.
    keys = {f"q{place}": _same_zero(table[name]) for place, name in enumerate(columns)}
    groups = pa.table(keys).group_by(list(keys)).aggregate([([], "count_all")])
    counts: npt.NDArray[np.int64] = groups["count_all"].to_numpy()
    return counts


def _sum(table: pa.Table) -> pa.Table:
    keys = [name for name in table.column_names if name != "rows"]
    return table.group_by(keys).aggregate([("rows", "sum")]).rename_columns([*keys, "rows"])


def _same_zero(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """A zero of either sign is the same value to a reader; Arrow groups them apart."""
    return pc.add(column, 0.0) if pa.types.is_floating(column.type) else column
