"""What can be said of a source's columns without telling a value: types, missing values, how many are different, kinds of identifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.data.dates import Dates
from prefect_gatehouse.data.identifiers import found
from prefect_gatehouse.data.keep import Kept
from prefect_gatehouse.data.matching import matches
from prefect_gatehouse.data.sources import Source
from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.tokens.columns import is_number, is_text

MOST_DIFFERENT = 100_000
"""Different values are counted exactly up to here; beyond, their share among the rows seen until then is told."""

Kind = Literal["nothing", "text", "whole numbers", "numbers", "dates", "true or false", "something else"]

# Dates of other forms than ISO 8601, told by their shape alone.
_OTHER_DATE = r"^\s*\d{1,2}[./-]\d{1,2}[./-](?:\d{2}|\d{4})\b"


@dataclass(frozen=True)
class Observed:
    """One column.

    Attributes:
        name: As the source has it.
        kind: What its values are.
        rows: Rows that were read.
        missing: Rows without a value.
        different: Different values, at most ``MOST_DIFFERENT``.
        share_different: Different values per value; 1 where every value is another.
        identifiers: Kinds of identifier found, with the number of values.
        other_dates: Whether most values look like dates of another form than ISO 8601.
        spaced: Whether most values hold more than one word.
    """

    name: str
    kind: Kind
    rows: int
    missing: int
    different: int
    share_different: float
    identifiers: dict[str, int] = field(default_factory=dict)
    other_dates: bool = False
    spaced: bool = False


class _Column:
    """Counts over the batches of one column."""

    def __init__(self, name: str, typed: bool) -> None:
        self.name = name
        self._kept = Kept(name, typed=False)
        self._days = Dates(name, "day")
        self._types: set[pa.DataType] = set()
        self._different: pa.Array | None = None
        self._until = 0
        self.counts: Counter[str] = Counter()

    def add(self, array: pa.Array) -> None:
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        self.counts["rows"] += len(array)
        self.counts["missing"] += array.null_count
        self._types.add(array.type)
        if is_text(array.type):
            array = array.cast(pa.string())
            self._days.apply(array)
            self.counts["other dates"] += pc.sum(matches(array, _OTHER_DATE)).as_py() or 0
            self.counts["spaced"] += pc.sum(pc.match_substring(pc.utf8_trim_whitespace(array), " ")).as_py() or 0
        try:
            self._kept.apply(array)
        except DataRefused:
            self.counts["unkept"] += 1
            return
        self._count_different(array)

    def _count_different(self, array: pa.Array) -> None:
        if self._different is not None and len(self._different) >= MOST_DIFFERENT:
            return
        self._until += len(array) - array.null_count
        fresh = array.drop_null().unique()
        if self._different is not None and not pa.types.is_null(self._different.type):
            fresh = pa.concat_arrays([self._different, fresh.cast(self._different.type)]).unique()
        self._different = fresh

    def observed(self) -> Observed:
        different = len(self._different) if self._different is not None else 0
        values = self.counts["rows"] - self.counts["missing"]
        return Observed(
            name=self.name,
            kind=self._kind(values),
            rows=self.counts["rows"],
            missing=self.counts["missing"],
            different=min(different, MOST_DIFFERENT),
            share_different=different / self._until if self._until else 0.0,
            identifiers=found(self._kept.tally()),
            other_dates=values > 0 and self.counts["other dates"] * 2 > values,
            spaced=values > 0 and self.counts["spaced"] * 2 > values,
        )

    def _kind(self, values: int) -> Kind:
        if self.counts["unkept"]:
            return "something else"
        if values == 0:
            return "nothing"
        kind = next(each for each in self._types if not pa.types.is_null(each))
        if pa.types.is_boolean(kind):
            return "true or false"
        if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
            return "dates"
        if is_number(kind):
            return "whole numbers" if pa.types.is_integer(kind) else "numbers"
        if not is_text(kind):
            return "something else"
        if not any(self._days.tally().values()):
            return "dates"
        form = self._kept.finish(pa.chunked_array([], pa.string())).type
        return "whole numbers" if form == pa.int64() else "numbers" if form == pa.float64() else "text"


def observe(source: Source, rows: int | None, progress: Callable[[int, int], None] | None = None) -> tuple[tuple[Observed, ...], bool]:
    """Every column that has a name of its own, from the whole source or its first rows.

    Args:
        source: Opened.
        rows: Most rows to read; all of them if there is none.
        progress: Called after each batch.

    Returns:
        The columns, and whether every row was read.

    Raises:
        InputError: A row is malformed.
        DataRefused: There are no rows.
    """
    times = Counter(source.names)
    columns = [_Column(name, source.typed) for name in source.names if times[name] == 1]
    if not columns:
        raise DataRefused("no column has a name of its own", advice="write a header row with one name a column")
    whole = True
    for batch in source.batches([column.name for column in columns]):
        left = batch.num_rows if rows is None else rows - columns[0].counts["rows"]
        for column, array in zip(columns, batch.slice(0, left).columns, strict=True):
            column.add(array)
        if progress is not None:
            progress(*source.progress())
        if left < batch.num_rows:
            whole = False
            break
    if not columns[0].counts["rows"]:
        raise DataRefused("the source has no rows")
    return tuple(column.observed() for column in columns), whole
