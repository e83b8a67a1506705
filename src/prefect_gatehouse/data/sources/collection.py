"""One or more files or objects of one format as a source; each is opened when it is read, and must be what it was at first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from prefect_gatehouse.canonical import canonical, sha256_bytes
from prefect_gatehouse.data.sources.csv_cells import Cells
from prefect_gatehouse.data.sources.csv_format import CsvContent
from prefect_gatehouse.data.sources.csv_quarantine import QuarantinedCsv
from prefect_gatehouse.data.sources.interface import BATCH_ROWS, Part, Rejects
from prefect_gatehouse.data.sources.kinds import HEAD, compression_of, format_of
from prefect_gatehouse.data.sources.opened import Opened, sha256_of
from prefect_gatehouse.data.sources.parquet_format import ParquetContent
from prefect_gatehouse.data.sources.types import check_names, common_schema
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.csv_form import STANDARD, CsvForm

# Row groups are joined into parts of about so many rows: small enough to share out, large enough that opening the file does not count.
_PART_ROWS = 1 << 20
_SHARES = 32


@dataclass(frozen=True)
class Item:
    """One file or object.

    Attributes:
        name: Its name.
        mark: Its state.
        size: Its bytes.
    """

    name: str
    mark: str
    size: int


OpenItem = Callable[[str, str], AbstractContextManager[Opened]]
"""Opens a file or object by its name, if it still is in the state that its mark says."""


@dataclass(frozen=True)
class _Survey:
    """What the headers and footers of all files say."""

    names: tuple[str, ...]
    common: pa.Schema | None
    groups: tuple[tuple[int, ...], ...]


class Collection:
    """The source.

    Args:
        items: Lists the files or objects, in order; called when they are first needed, and not at all where one part is read.
        open_item: Opens one of them.
        rejects: Takes the rows that can't be read.
        form: How the files are written, where they are CSV.
    """

    def __init__(self, items: Callable[[], tuple[Item, ...]], open_item: OpenItem, rejects: Rejects, form: CsvForm = STANDARD) -> None:
        self._list = items
        self._open = open_item
        self._form = form
        self.rejects = rejects
        self._done = 0
        self._total = 0
        self._reading: CsvContent | None = None

    @property
    def _lenient(self) -> bool:
        return self.rejects.limit is not None

    @cached_property
    def _items(self) -> tuple[Item, ...]:
        return self._list()

    @cached_property
    def _survey(self) -> _Survey:
        schemas: list[tuple[str, pa.Schema]] = []
        names: tuple[str, ...] = ()
        groups: list[tuple[int, ...]] = []
        for item in self._items:
            with self._open(item.name, item.mark) as opened:
                if _is_parquet(opened) is not self.typed:
                    message = "CSV and Parquet files are read together"
                    raise InputError(message, where="data.source", advice="write a pattern that matches one kind")
                if not self.typed:
                    found = CsvContent(opened, self._form).names
                    names = names or found
                    if len(self._items) > 1:
                        check_names(self._items[0].name, names, item.name, found)
                    continue
                content = ParquetContent(opened)
                schemas.append((item.name, content.schema))
                groups.append(content.groups)
        if not self.typed:
            return _Survey(names, None, ())
        common = common_schema(schemas) if len(schemas) > 1 else None
        return _Survey(tuple(schemas[0][1].names), common, tuple(groups))

    @property
    def names(self) -> tuple[str, ...]:
        """Every column, in the order of the first file."""
        return self._survey.names

    @cached_property
    def typed(self) -> bool:
        """Whether these are Parquet files, by what the first one holds."""
        first = self._items[0]
        with self._open(first.name, first.mark) as opened:
            typed = _is_parquet(opened)
        if typed and self._form != STANDARD:
            raise InputError("the source is Parquet, which has no CSV settings", where="data.csv", advice="remove data.csv")
        return typed

    def digest(self) -> str:
        """SHA-256 of the one file's bytes, or over the names and hashes of several."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        hashes = []
        for item in self._items:
            with self._open(item.name, item.mark) as opened:
                hashes.append((item.name, sha256_of(opened)))
        return hashes[0][1] if len(hashes) == 1 else sha256_bytes(canonical([list(pair) for pair in hashes]))

    def parts(self) -> tuple[Part, ...]:
        """A CSV as a whole, a Parquet file in ranges of row groups."""
        if not self.typed:
            return tuple(Part(item.name, item.mark, size=item.size) for item in self._items)
        survey = self._survey
        schema = survey.common.serialize().to_pybytes() if survey.common is not None else b""
        rows = sum(map(sum, survey.groups))
        target = max(BATCH_ROWS, min(_PART_ROWS, rows // _SHARES))
        return tuple(
            Part(item.name, item.mark, first, last, sum(groups[first:last]), schema, typed=True)
            for item, groups in zip(self._items, survey.groups, strict=True)
            for first, last in _ranges(groups, target)
        )

    def batches(self, columns: Sequence[str], part: Part | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches of these columns, in this order."""
        parts = self.parts() if part is None else (part,)
        self._done, self._total = 0, sum(each.size for each in parts)
        if part is None:
            self._survey  # noqa: B018 all files are compared before the first row is read
        for each in parts:
            with self._open(each.name, each.mark) as opened:
                if each.typed:
                    yield from self._parquet(opened, columns, each)
                else:
                    yield from self._csv(opened, columns, each)

    def progress(self) -> tuple[int, int]:
        """Bytes of a CSV or rows of Parquet files, read and in all."""
        return self._done + (self._reading.read if self._reading is not None else 0), self._total

    def _parquet(self, opened: Opened, columns: Sequence[str], part: Part) -> Iterator[pa.RecordBatch]:
        content = ParquetContent(opened)
        common = pa.ipc.read_schema(pa.py_buffer(part.schema)) if part.schema else None
        for batch in content.batches(columns, part.first, part.last, common):
            self._done += batch.num_rows
            yield batch

    def _csv(self, opened: Opened, columns: Sequence[str], part: Part) -> Iterator[pa.RecordBatch]:
        self._reading = content = CsvContent(opened, self._form)
        rows = QuarantinedCsv(content, columns, self.rejects).batches() if self._lenient else content.batches(columns)
        try:
            yield from Cells(self._form, part.name).batches(rows)
        finally:
            self._reading = None
            self._done += part.size


def _is_parquet(opened: Opened) -> bool:
    """Whether a file is Parquet; what is neither that nor text is told when it is read as text."""
    head = opened.read_at(0, HEAD)
    return compression_of(head) is None and format_of(head, opened.name) == "parquet"


def _ranges(groups: Sequence[int], target: int) -> Iterator[tuple[int, int]]:
    """Neighbouring row groups joined until they have the wanted rows; one range for a file without any."""
    first = rows = 0
    for index, count in enumerate(groups):
        rows += count
        if rows >= target:
            yield first, index + 1
            first, rows = index + 1, 0
    if first < len(groups) or not groups:
        yield first, len(groups)
