"""Local suppression of records: rows whose group is too small, or too uniform, leave the data as a whole.

Samarati and Sweeney (1998) suppress outliers up to a bound that the data's owner sets; ARX calls it the suppression limit. Removing
whole groups makes no other group smaller, so one pass is enough; k and l are measured again on what is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.data.anonymity import Groups, plain
from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.manifest.data import Data
from prefect_gatehouse.plurals import counted


@dataclass(frozen=True)
class _Step:
    """One column on the way to a group: its values, and which pairs of the way so far and a value go on."""

    values: pa.Array
    pairs: npt.NDArray[np.int64]


class Suppressed:
    """Groups that leave; picklable, and nothing of it is shown.

    Args:
        columns: The quasi-identifiers.
        keys: Their values in each group, in the order of the columns.
    """

    def __init__(self, columns: tuple[str, ...], keys: pa.Table) -> None:
        self.groups = keys.num_rows
        self._columns = columns
        self._steps: list[_Step] = []
        ways = np.zeros(keys.num_rows, np.int64)
        for column in keys.columns:
            column = column.combine_chunks()
            values = column.unique()
            # A way is numbered by its pair, so that the product stays below groups times values.
            pairs, ways = np.unique(ways * len(values) + _places(column, values), return_inverse=True)
            self._steps.append(_Step(values, pairs))

    def holds(self, rows: pa.Table | pa.RecordBatch) -> pa.BooleanArray:
        """Which rows are of these groups; quasi-identifiers by their name, or by their place in a table of groups."""
        names = self._columns if set(self._columns) <= set(rows.schema.names) else rows.schema.names
        found, ways = np.full(rows.num_rows, self.groups > 0), np.zeros(rows.num_rows, np.int64)
        for name, step in zip(names, self._steps, strict=True):
            if not self.groups:
                break
            places = _places(plain(rows.column(name), name), step.values)
            pairs = ways * len(step.values) + places
            ways = np.minimum(np.searchsorted(step.pairs, pairs), len(step.pairs) - 1)
            found &= (places >= 0) & (step.pairs[ways] == pairs)
        return pa.array(found)


def without(groups: Groups, going: Suppressed) -> Groups:
    """The groups that are left."""
    return groups.filtered(lambda keys: pc.invert(going.holds(keys)))


def _places(column: pa.Array, values: pa.Array) -> npt.NDArray[np.int64]:
    """Place of each value; -1 where there is none. A missing value has one, like any other."""
    if pa.types.is_null(values.type) or pa.types.is_null(column.type):
        missing = pc.index(values.is_null(), True).as_py() if len(values) else -1
        return np.where(column.is_null().to_numpy(zero_copy_only=False), missing, -1).astype(np.int64)
    found: npt.NDArray[np.int64] = (
        pc.index_in(column, value_set=values.cast(column.type)).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    )
    return found


def to_suppress(data: Data, groups: Groups, rows: int) -> tuple[Suppressed, int] | None:
    """The groups that the manifest lets go, and their rows; None where there is nothing to suppress.

    Args:
        data: What the manifest declares.
        groups: Of all rows.
        rows: How many rows there are.

    Raises:
        DataRefused: They are more than the limit; rows and groups are counted, no value is told.
    """
    if data.suppression_limit is None or data.k is None:
        return None
    found = Suppressed(groups.columns, groups.failing(data.k, data.l))
    going = groups.rows_in(found.holds)
    if not going:
        return None
    most = math.floor(data.suppression_limit * rows)
    if going > most:
        raise DataRefused(
            f"{going} of {counted(rows, 'row')} are in {counted(found.groups, 'group')}, too small or too uniform; {most} may be suppressed",
            where="data.suppression_limit",
            advice="",
        )
    return found, going
