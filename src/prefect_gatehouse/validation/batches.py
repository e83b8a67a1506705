"""What a suite can be run over: a frame, a table, or anything that yields record batches as often as it is asked.

Another source needs ``schema``, ``rows`` and a call that starts from the beginning each time; it is asked once for most suites, again
for quantiles and for what repeats, and only ever for the columns that are needed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeAlias, Union

import pyarrow as pa
from typing_extensions import TypeIs

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.validation.forms import Form, computed, computed_schema
from prefect_gatehouse.validation.pushdown.interface import Table

if TYPE_CHECKING:
    import pandas as pd

ROWS = 1 << 16
"""Rows of a batch that is cut from a table: small enough for the caches, large enough that calls do not count."""


OWN = Form(own=True)
"""As a workload has the columns."""


class BatchSource(Protocol):
    """Rows as record batches."""

    @property
    def schema(self) -> pa.Schema:
        """Of all the columns."""

    @property
    def rows(self) -> int:
        """How many there are."""

    def __call__(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All the rows from the beginning, these columns only."""


Data: TypeAlias = Union["pd.DataFrame", pa.Table, BatchSource]


def is_frame(data: Data) -> TypeIs[pd.DataFrame]:
    """Whether it is pandas' own; who hands one over has imported pandas, which nobody else need do."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


class Reading:
    """One way to look at a frame, a table and a source of batches.

    Args:
        data: Any of them.
        where: The suite, for errors.

    Raises:
        DataRefused: The columns are not distinct names.
    """

    def __init__(self, data: Data, where: str) -> None:
        self._data = data
        self._where = where
        names = list(data.columns) if is_frame(data) else list(data.schema.names)
        if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
            raise DataRefused("the columns of the data are not distinct names", where=where)
        self.names = tuple(names)
        self.rows = len(data) if is_frame(data) else data.num_rows if isinstance(data, pa.Table) else data.rows

    @cached_property
    def table(self) -> Table:
        """What checks may know beforehand."""
        written = self._columns.schema if is_frame(self._data) else self._data.schema
        schema = computed_schema(written)
        decimals = frozenset(field.name for field in written if pa.types.is_decimal(field.type))
        return Table(self.names, dict(zip(schema.names, schema.types, strict=True)), self.rows, decimals)

    @cached_property
    def _columns(self) -> pa.Table:
        """The columns of a frame whose type survives the way to Arrow and back; the others are pandas' own."""
        assert is_frame(self._data)  # asked for nothing else
        return pa.table({name: column for name in self.names if (column := _plain(self._data[name])) is not None})

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows of these columns, in the types that are computed with (``forms``).

        Raises:
            DataRefused: The source has another number of rows than it says.
        """
        return map(computed, self._counted(columns))

    def _counted(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        rows = 0
        for batch in self._batches(columns):
            rows += batch.num_rows
            yield batch
        if rows != self.rows:
            raise DataRefused("the source does not hold the rows that it declares", where=self._where)

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        data = self._columns if is_frame(self._data) else self._data
        if isinstance(data, pa.Table):
            return iter(data.select(list(columns)).to_batches(max_chunksize=ROWS))
        return data(list(columns))

    def frame(self, columns: Sequence[str], form: Form = OWN) -> pd.DataFrame:
        """These columns in memory, in a form; a frame is as it is."""
        if is_frame(self._data):
            return self._data[list(columns)]
        if isinstance(self._data, pa.Table):
            return form.frame(self._data.select(list(columns)))
        schema = pa.schema([self._data.schema.field(name) for name in columns])
        return form.frame(pa.Table.from_batches(list(self._counted(columns)), schema=schema))

    @property
    def written(self) -> Mapping[str, pa.DataType]:
        """The types of the columns as they are stored; of a frame none, since pandas' own types are the library's to judge."""
        return {} if is_frame(self._data) else dict(zip(self._data.schema.names, self._data.schema.types, strict=True))


def _plain(column: pd.Series) -> pa.Array | None:
    import pandas as pd

    if column.dtype == object:
        return None
    try:
        array = pa.array(column, from_pandas=not pd.api.types.is_float_dtype(column.dtype))
        array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        kept: bool = array.to_pandas().dtype == column.dtype
    except (pa.ArrowException, TypeError, ValueError):
        return None
    return array if kept else None
