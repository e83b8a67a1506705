"""The source as one table with types, and the synthetic table in a file of the same format (CSV by RFC 4180, or Parquet).

A CSV has no types: a column is whole numbers, numbers, dates or moments (ISO 8601) only where every field is written so, without
leading zeros; otherwise it is text.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from prefect_gatehouse.data.sources import FilesPlace, open_source
from prefect_gatehouse.data.sources.recognise import first_line_delimiter
from prefect_gatehouse.errors import DataRefused, InputError, StorageError
from prefect_gatehouse.files import DigestingFile, open_new, sync_folder
from prefect_gatehouse.manifest.csv_form import STANDARD, CsvForm
from prefect_gatehouse.synthetic.csv_text import write_csv

_WHOLE = r"^-?(0|[1-9]\d{0,17})$"
_NUMBER = r"^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$|^-?(inf|nan|NaN|Inf)$"
_DATE = r"^\d{4}-\d\d-\d\d$"
_MOMENT = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?$"
_ZONED = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:?\d\d)$"
_KINDS = (
    (_WHOLE, pa.int64()),
    (_NUMBER, pa.float64()),
    (_DATE, pa.date32()),
    (_MOMENT, pa.timestamp("us")),
    (_ZONED, pa.timestamp("us", "UTC")),
)


@dataclass(frozen=True)
class SourceTable:
    """A whole source.

    Attributes:
        table: Its rows, with types.
        sha256: Of the file's bytes.
        with_t: Columns whose moments are written with a T between date and time.
        form: How it is written, if it is a CSV.
        typed: Whether it is Parquet.
        separator: The delimiter that its first line (sep=;) names, where it has one.
    """

    table: pa.Table
    sha256: str
    with_t: frozenset[str] = frozenset()
    form: CsvForm = STANDARD
    typed: bool = False
    separator: str = ""


def read_source(path: Path, progress: Callable[[int, int], None] | None = None, form: CsvForm = STANDARD) -> SourceTable:
    """Reads a CSV or Parquet file.

    Raises:
        InputError: It is missing, malformed, or its columns have no proper names.
        DataRefused: It has no rows.
        StorageError: It can't be read.
    """
    with open_source(FilesPlace(path.parent, (path.name,), form)) as source:
        _check_names(source.names, path.name)
        batches = []
        for batch in source.batches(source.names):
            batches.append(batch)
            if progress is not None:
                progress(*source.progress())
        if not sum(batch.num_rows for batch in batches):
            raise DataRefused("the source has no rows", where=path.name)
        table = pa.Table.from_batches(batches)
        with_t = frozenset[str]()
        if not source.typed:
            first = {name: pc.drop_null(table[name].slice(0, 1000)) for name in table.column_names}
            with_t = frozenset(name for name, texts in first.items() if len(texts) and pc.all(pc.match_substring(texts, "T")).as_py())
            table = pa.table({name: _typed(table[name]) for name in table.column_names})
        separator = "" if source.typed else first_line_delimiter(path.parent, path.name, form)
        return SourceTable(table, source.digest(), with_t, form, source.typed, separator)


def _check_names(names: tuple[str, ...], where: str) -> None:
    # What stands in the first row of a file without a header are values: they must not become names in a report.
    wrong = len(set(names)) != len(names) or any(not name.strip() or not name.isprintable() or "@" in name or len(name) > 128 for name in names)
    numbers = any(pc.any(pc.match_substring_regex(pa.array(names, pa.string()), pattern)).as_py() for pattern, _ in _KINDS)
    if wrong or numbers:
        raise InputError("the first row does not look like the names of columns", where=where, advice="add a header row of different names")


def _typed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if column.null_count == len(column):
        return column
    for pattern, kind in _KINDS:
        if pc.all(pc.match_substring_regex(column, pattern)).as_py():
            with suppress(pa.ArrowException):  # 30 February is text
                return column.cast(kind)
    return column


def write_table(table: pa.Table, path: Path, source: SourceTable) -> str:
    """Writes a table into a new file that only its owner may read, and syncs it; returns the SHA-256 of the bytes.

    Raises:
        StorageError: The file can't be written.
    """
    try:
        with os.fdopen(open_new(path), "wb") as stream:
            hashed = DigestingFile(stream)
            if source.typed:
                pq.write_table(table, pa.PythonFile(hashed, mode="w"), compression="zstd")
            else:
                write_csv(_moments_as_text(table, source), hashed, source.form, path.name, source.separator)
            stream.flush()
            os.fsync(stream.fileno())
            return hashed.digest()
    except OSError as error:
        raise StorageError(
            f"the file can't be written: {error.strerror or 'input/output error'}", where=str(path), advice="check the folder"
        ) from None


def _moments_as_text(table: pa.Table, source: SourceTable) -> pa.Table:
    arrays = []
    for field in table.schema:
        column = table[field.name]
        if pa.types.is_timestamp(field.type):
            column = column.cast(pa.string())
            column = pc.replace_substring(column, " ", "T") if field.name in source.with_t else column
        arrays.append(column)
    return pa.table(arrays, names=table.column_names)


def read_back(path: Path, schema: pa.Schema, form: CsvForm = STANDARD) -> pa.Table:
    """The written file, in the source's types; for what is measured is what is on the disk.

    Raises:
        DataRefused: The file is not what was written.
    """
    with open_source(FilesPlace(path.parent, (path.name,), form)) as written:
        table = pa.Table.from_batches(list(written.batches(written.names)))
    try:
        return table.cast(schema) if table.column_names == schema.names else _differs(path)
    except pa.ArrowException:
        return _differs(path)


def _differs(path: Path) -> pa.Table:
    raise DataRefused("the written file has not the source's columns and types", where=path.name, advice="report this as an error of Gatehouse")


def publish(partial: Path, path: Path) -> None:
    """Gives a finished file its name, in one step, unless the name is taken.

    Raises:
        InputError: There is a file of this name.
        StorageError: The folder refuses.
    """
    try:
        os.link(partial, path)
        partial.unlink()
        sync_folder(path.parent)
    except FileExistsError:
        raise InputError("there is a file of this name", where=str(path), advice="name another, or remove it") from None
    except OSError as error:
        raise StorageError(f"the file can't be named: {error.strerror}", where=str(path), advice="check the folder") from None
