"""k-anonymity (Samarati and Sweeney, 1998): every combination of the quasi-identifiers is shared by at least k rows.

Rows are counted, not persons: where a person has several rows, k rows may be one person.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.errors import DataRefused


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


def _same_zero(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.add(column, 0.0) if pa.types.is_floating(column.type) else column
