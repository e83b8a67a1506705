"""In which form a suite sees columns that neither JSON nor numpy has a word for: decimals, dates and times, whole numbers with gaps.

A suite writes numbers as JSON does and moments as text (ISO 8601). A decimal is compared as the double that its digits mean, as a bound
written in JSON is: 0.10 is within a bound of 0.1. Up to 15 digits no two decimals are one double; beyond, the expectations that count
different values get the decimals themselves. Dates and times of day become instants (midnight; the first of January 1970), and so do the
texts that they are compared with, and a column of text whose bounds are moments, if it holds nothing else. A text without an offset
means the time zone of its column, as pandas reads it. Whole numbers with gaps become floats where that changes none of them, because the
library stumbles over pandas' nullable types; where it would, they stay whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.tokens.columns import is_text
from prefect_gatehouse.validation.pushdown.arguments import EXACT
from prefect_gatehouse.workload.features import as_frame

if TYPE_CHECKING:
    import pandas as pd

_DIGITS = 15  # that every double keeps (IEEE 754, DBL_DIG)
_TYPES = {"expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list"}
_DIFFERENT = {
    "expect_column_values_to_be_unique",
    "expect_compound_columns_to_be_unique",
    "expect_select_column_values_to_be_unique_within_record",
    "expect_column_unique_value_count_to_be_between",
    "expect_column_proportion_of_unique_values_to_be_between",
}
_BOUNDS = ("min_value", "max_value")
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?"
_OFFSET = r"(?P<offset>Z|[+-]([01]\d|2[0-3]):?[0-5]\d)"
_DAY = r"\d{4}-\d{2}-\d{2}"
_MOMENT = re.compile(rf"{_DAY}([T ]{_CLOCK}{_OFFSET}?)?")
_TIME_OF_DAY = re.compile(_CLOCK)
# How text is read where a whole column of it is moments: all of them with an offset, or none.
_ZONED, _PLAIN = rf"^{_DAY}[T ]{_CLOCK}{_OFFSET}$", rf"^{_DAY}([T ]{_CLOCK})?$"
_FIRST_DAY = "1970-01-01T"


@dataclass(frozen=True)
class Form:
    """How the library's frame is made.

    Attributes:
        own: Their types are what is asked: as a workload has the columns where nothing is missing.
        decimals: As doubles; where different values are counted, only if that makes no two of them one.
        zones: Instants keep their zone, so that one with a zone is not compared with one without.
        moments: A column of text that is read as moments, empty if none is.
        offsets: Its moments must have an offset.
    """

    own: bool = False
    decimals: bool = True
    zones: bool = False
    moments: str = ""
    offsets: bool = False

    def frame(self, table: pa.Table) -> pd.DataFrame:
        """Some columns as the library sees them."""
        if self.own:
            return as_frame(pa.table([_without_gaps(column) for column in table.columns], names=table.schema.names))
        columns = [self._column(name, column) for name, column in zip(table.schema.names, table.columns, strict=True)]
        frame: pd.DataFrame = pa.table(columns, names=table.schema.names).to_pandas()
        whole = [place for place, column in enumerate(table.columns) if _beyond_floats(column)]
        for place, (_, series) in zip(whole, as_frame(table.select(whole)).items(), strict=True):
            frame.isetitem(place, series.array)
        return frame

    def _column(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        kind = column.type
        if pa.types.is_decimal(kind) and (self.decimals or _short(kind)):
            return _doubles(column)
        if pa.types.is_date(kind):
            return column.cast(pa.timestamp("s"))
        if pa.types.is_time(kind):
            ticks = column.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
            return ticks.cast(pa.int64()).cast(pa.timestamp(kind.unit))
        if pa.types.is_timestamp(kind) and not self.zones:
            return column.cast(pa.timestamp(kind.unit))
        return _read(column.cast(pa.large_string()), self.offsets) if name == self.moments else column


def form_of(kind: str, kwargs: Mapping[str, Json], types: Mapping[str, pa.DataType]) -> Form:
    """The form of the columns for one expectation.

    Args:
        kind: Its type.
        kwargs: Its arguments, as the suite has them.
        types: Of the columns.
    """
    column = kwargs.get("column")
    bounds = [bound for key in _BOUNDS if (bound := kwargs.get(key)) is not None]
    found = [_MOMENT.fullmatch(bound) if isinstance(bound, str) else None for bound in bounds]
    moments = isinstance(column, str) and column in types and is_text(types[column]) and bool(found) and all(found)
    return Form(
        own=kind in _TYPES,
        decimals=kind not in _DIFFERENT,
        zones=not isinstance(column, str),
        moments=str(column) if moments else "",
        offsets=moments and any(each is not None and each["offset"] is not None for each in found),
    )


def computed_schema(schema: pa.Schema) -> pa.Schema:
    """The types that the checks on record batches get."""
    return pa.schema([pa.field(field.name, pa.float64() if _short(field.type) else field.type) for field in schema])


def computed(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch in those types."""
    if not any(_short(kind) for kind in batch.schema.types):
        return batch
    columns = [_doubles(column) if _short(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def understood(kwargs: Mapping[str, Json], types: Mapping[str, pa.DataType] | None = None) -> dict[str, object]:
    """The arguments of an expectation, with text as a moment where it is compared with a column of dates or times.

    Args:
        kwargs: As the suite has them.
        types: Of the columns; None while they are not known: then every time of day is one, and nothing else changes.
    """
    column = kwargs.get("column")
    kind = types.get(column) if types is not None and isinstance(column, str) else None
    moments = kind is not None and (pa.types.is_date(kind) or pa.types.is_timestamp(kind) or pa.types.is_time(kind))
    texts = kind is not None and is_text(kind)
    result: dict[str, object] = dict(kwargs)
    for key in _BOUNDS:
        bound = kwargs.get(key)
        if isinstance(bound, str):  # the library takes no time of day for a bound, not even beside a column that it does not fit
            result[key] = _moment(bound, kind) if kind is not None and (moments or texts) else _clock(bound, kind)
    members = kwargs.get("value_set")
    if moments and kind is not None and isinstance(members, list):
        result["value_set"] = [_moment(each, kind) if isinstance(each, str) else each for each in members]
    return result


def _moment(text: str, kind: pa.DataType) -> object:
    """The moment that a text means beside such a column; the text where it means none, which the library then fails."""
    import pandas as pd

    if pa.types.is_time(kind) or _TIME_OF_DAY.fullmatch(text):
        return _clock(text, kind)
    if not _MOMENT.fullmatch(text):
        return text
    try:
        moment = pd.Timestamp(text)
        if is_text(kind):  # compared with moments that have an offset if it has one itself, see ``Form``
            return moment if moment.tz is None else moment.tz_convert("UTC").tz_localize(None)
        if not pa.types.is_timestamp(kind) or kind.tz is None:
            return moment
        return (moment.tz_localize(kind.tz) if moment.tz is None else moment).tz_convert("UTC").tz_localize(None)
    except ValueError:  # the 30th of February, or an hour that a clock skipped
        return text


def _clock(text: str, kind: pa.DataType | None) -> object:
    """A time of day as the library takes it; beside a column of anything else one that compares with nothing."""
    import pandas as pd

    if not _TIME_OF_DAY.fullmatch(text):
        return text
    moment = pd.Timestamp(_FIRST_DAY + text)
    return moment if kind is not None and pa.types.is_time(kind) else moment.tz_localize("UTC")


def _without_gaps(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers and truth values without the gaps for which pandas has types of its own, which the library takes for others."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return column.fill_null(pa.scalar(0).cast(kind))
    return column


def _read(column: pa.ChunkedArray, offsets: bool) -> pa.ChunkedArray:
    """A column of text as the moments that it holds, in UTC where they have an offset; as it is, if it holds anything else."""
    for pattern, kind in ((_PLAIN, pa.timestamp("ns")), (_ZONED, pa.timestamp("ns", "UTC"))):
        if offsets and pattern == _PLAIN:
            continue
        if pc.all(pc.match_substring_regex(column, pattern), min_count=0).as_py():
            try:
                return column.cast(kind).cast(pa.timestamp("ns"))
            except pa.ArrowInvalid:  # a day that no calendar has, or a year that nanoseconds don't reach
                return column
    return column


def _doubles(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return column.cast(pa.string()).cast(pa.float64())  # Arrow's own way from a decimal is off in the last digit


def _short(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind) and kind.precision <= _DIGITS and kind.scale >= 0)


def _beyond_floats(column: pa.ChunkedArray) -> bool:
    if not pa.types.is_integer(column.type) or not column.null_count or column.type.bit_width < 64:
        return False
    least, most = pc.min_max(column).as_py().values()
    return most is not None and (most > EXACT or least < -EXACT)
