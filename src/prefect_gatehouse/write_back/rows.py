"""The rows of an output on their way into a database: Arrow columns of the kinds that every database has, as Python's own values.

Nothing changes on the way: what has no exact place among these kinds is refused, with the column's name and type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.write_back.database import WHERE

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["text", "integer", "float", "decimal", "boolean", "timestamp", "timestamp with time zone", "date"]
"""What a column holds: whole numbers have 64 bits, floats are doubles, timestamps have microseconds."""

RUN, LABEL = "_gatehouse_run", "_gatehouse_label"
"""Our own two columns: which run wrote a row, and whether a fallback backend answered."""

_DAY = 86_400_000_000  # microseconds
_FIRST, _LAST = (day.toordinal() - date(1970, 1, 1).toordinal() for day in (date.min, date.max))

BATCH = 5_000  # rows of one INSERT: a few hundred kilobytes


@dataclass(frozen=True)
class Rows:
    """One row a key.

    Attributes:
        table: The columns, the key first.
        key: The column that identifies a row.
        kinds: What each column holds.
    """

    table: pa.Table
    key: str
    kinds: Mapping[str, Kind]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def batches(self) -> Iterator[list[dict[str, object]]]:
        """The rows as Python's own values, null where there is none; timestamps with a zone are in UTC."""
        for start in range(0, len(self), BATCH):
            yield self.table.slice(start, BATCH).to_pylist()

    def at(self, places: Sequence[int]) -> list[dict[str, object]]:
        """The rows at these places."""
        first = places[0] if places else 0
        # The database mostly gives them back in the order in which they came.
        if list(places) == list(range(first, first + len(places))):
            found: list[dict[str, object]] = self.table.slice(first, len(places)).to_pylist()
        else:
            found = self.table.take(places).to_pylist()
        return found


def rows_of(frame: pd.DataFrame | pa.Table, key: str, names: Sequence[str], *, zones: bool) -> Rows:
    """The rows of a frame.

    Args:
        frame: What a workload returned, or the table that was kept of it.
        key: The column that identifies a row.
        names: Every column, the key first.
        zones: Whether the database keeps time zones; one that does not gets such times in UTC.

    Raises:
        DataRefused: It has not exactly these columns, or not one row a key, or values that no column of a database holds exactly.
    """
    table = frame if isinstance(frame, pa.Table) else _arrow(frame)
    missing = [name for name in names if name not in table.column_names]
    if missing or len(table.column_names) != len(names):
        raise DataRefused(f"the frame has not exactly the declared columns; missing: {missing}", where=WHERE, advice="mend the workload")
    if not {RUN, LABEL}.isdisjoint(names):
        raise DataRefused("a column has a name that Gatehouse keeps for its own", where=WHERE, advice="rename the column")
    found = {name: _column(table.column(name), name, zones) for name in names}
    keys = found[key][0]
    if not len(keys) or keys.null_count or pc.count_distinct(keys).as_py() != len(keys):
        raise DataRefused("the frame is empty, or its key is null or repeated", where=f"{WHERE} {key}", advice="return one row a key")
    plain = pa.table({name: column for name, (column, _) in found.items()})
    return Rows(plain, key, {name: kind for name, (_, kind) in found.items()})


def _arrow(frame: pd.DataFrame) -> pa.Table:
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):  # a UnicodeError is a ValueError
        message = "a column holds values of several types, or none that a database has"
        raise DataRefused(message, where=WHERE, advice="return plain columns: numbers, truth values, times, text") from None


def _column(column: pa.ChunkedArray, name: str, zones: bool) -> tuple[pa.ChunkedArray, Kind]:
    """The column in one of our kinds; values that would change on the way are refused."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    declared = column.type
    kind = _kind(declared, name)
    if kind == "timestamp with time zone":
        column, kind = column.cast(pa.timestamp(declared.unit, "UTC")), kind if zones else "timestamp"
    if kind == "float":
        column = _finite(column.cast(pa.float64()), name)
    if kind == "decimal":
        return column, kind
    wanted: dict[Kind, pa.DataType] = {
        "text": pa.large_string(),
        "integer": pa.int64(),
        "float": pa.float64(),
        "boolean": pa.bool_(),
        "timestamp": pa.timestamp("us"),
        "timestamp with time zone": pa.timestamp("us", "UTC"),
        "date": pa.date32(),
    }
    try:
        return _in_calendar(column.cast(wanted[kind]), kind), kind
    except pa.ArrowInvalid:
        what = "whole numbers beyond 64 bits" if kind == "integer" else "times finer than a microsecond, or beyond the calendar"
        # The name of a time zone may be any text.
        told = f"timestamp[{declared.unit}]" if pa.types.is_timestamp(declared) else str(declared)
        raise DataRefused(f"the column is {told} and holds {what}", where=f"{WHERE} {name}", advice="mend the workload") from None


def _in_calendar(column: pa.ChunkedArray, kind: Kind) -> pa.ChunkedArray:
    """Days and times that Python and databases have: Arrow counts them far beyond year 9999.

    Raises:
        pa.ArrowInvalid: One lies elsewhere.
    """
    unit = 1 if kind == "date" else _DAY if kind in {"timestamp", "timestamp with time zone"} else 0
    if unit and column.null_count < len(column):
        ends = pc.min_max(column.cast(pa.int32() if kind == "date" else pa.int64()))
        if ends["min"].as_py() < _FIRST * unit or ends["max"].as_py() >= (_LAST + 1) * unit:
            raise pa.ArrowInvalid("beyond the calendar")
    return column


def _kind(declared: pa.DataType, name: str) -> Kind:
    types = pa.types
    if types.is_string(declared) or types.is_large_string(declared) or types.is_string_view(declared) or types.is_null(declared):
        return "text"
    if types.is_timestamp(declared):
        return "timestamp" if declared.tz is None else "timestamp with time zone"
    kinds: dict[Kind, bool] = {
        "boolean": types.is_boolean(declared),
        "integer": types.is_integer(declared),
        "float": types.is_floating(declared),
        "decimal": types.is_decimal(declared),
        "date": types.is_date(declared),
    }
    for kind, fits in kinds.items():
        if fits:
            return kind
    # Types of several levels name fields, which a workload may have called after data.
    told = str(declared) if declared.num_fields == 0 else "nested"
    message = f"the column is {told}: neither number, truth value, time nor text"
    raise DataRefused(message, where=f"{WHERE} {name}", advice="return plain columns")


def _finite(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Numbers; what is not a number is missing, as pandas says."""
    if pc.any(pc.is_inf(column)).as_py():
        raise DataRefused("the column holds numbers that are not finite", where=f"{WHERE} {name}", advice="mend the workload")
    return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)


def received(row: Mapping[str, object], kinds: Mapping[str, Kind]) -> dict[str, object]:
    """A row that came back, to be compared with what was sent.

    A float and a decimal are the same if the float's shortest decimal form is the decimal's number: it is what both were written from.
    """
    return {name: _plain(kind, row[name]) for name, kind in kinds.items()}


def _plain(kind: Kind, back: object) -> object:
    if kind == "float" and isinstance(back, Decimal):
        return float(back)
    if kind == "decimal" and isinstance(back, float):
        return Decimal(repr(back))
    return back
