"""What a source is to the gate that minimises it: a place that says where it is, pieces that can be read apart, and batches of rows.

A source of another kind is one more file: a frozen place, a class with the face of ``Source``, and a line in ``open_source``. A
place and a part hold no secret and no row, so both may go to another process; what reaches a store or a database is ``SourceAccess``,
which the caller brings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.manifest.csv_form import STANDARD, CsvForm
from prefect_gatehouse.plurals import counted

if TYPE_CHECKING:
    import pandas as pd

BATCH_ROWS = 1 << 15
"""Most rows of a record batch."""


@dataclass(frozen=True)
class FilesPlace:
    """CSV or Parquet files below one folder.

    Attributes:
        folder: The folder.
        names: Of the files, relative to it, in the order in which they are read.
        form: How they are written, where they are CSV.
    """

    folder: Path
    names: tuple[str, ...]
    form: CsvForm = STANDARD


@dataclass(frozen=True)
class S3Place:
    """CSV or Parquet objects in the bucket that the access opens.

    Attributes:
        pattern: Key of an object, or a pattern of keys, below the block's folder.
        form: How they are written, where they are CSV.
    """

    pattern: str
    form: CsvForm = STANDARD


@dataclass(frozen=True)
class SqlPlace:
    """Rows of a query.

    Attributes:
        query: One SELECT statement.
        system: Name of the declared system.
        endpoint: Where that system is declared to be; any other address is refused.
    """

    query: str = field(repr=False)
    system: str
    endpoint: str


@dataclass(frozen=True, eq=False)
class FramePlace:
    """A pandas frame in this process; it goes to another one as a whole."""

    frame: pd.DataFrame = field(repr=False)


Place = FilesPlace | S3Place | SqlPlace | FramePlace


@dataclass(frozen=True)
class Part:
    """A piece of a source that one process reads on its own.

    Attributes:
        name: File or key it lies in; empty for a query and a frame.
        mark: State of that file or object when the source was opened; another state is refused.
        first: First row group of a Parquet file.
        last: One past the last row group; 0 means the whole file.
        size: Bytes or rows, to share the work out by; comparable within one source only.
        schema: The common Arrow types of several files, serialised; empty where each keeps its own.
        typed: Whether it is Parquet.
    """

    name: str = ""
    mark: str = ""
    first: int = 0
    last: int = 0
    size: int = 0
    schema: bytes = field(default=b"", repr=False)
    typed: bool = False


@dataclass(frozen=True)
class StoredObject:
    """One object of a bucket as it was listed.

    Attributes:
        key: Its key below the block's folder.
        size: Its bytes.
        etag: Changes with its content.
    """

    key: str
    size: int
    etag: str


class Bucket(Protocol):
    """A bucket that somebody else opened."""

    def objects(self, prefix: str) -> list[StoredObject]:
        """Every object whose key begins so.

        Raises:
            Denied: The store refuses.
            Unavailable: It does not answer.
        """

    def read(self, item: StoredObject, start: int, length: int) -> bytes:
        """A range of an object's bytes; short only at its end.

        Raises:
            InputError: The object is gone or is not the one that was listed.
            Denied: The store refuses.
            Unavailable: It does not answer.
        """


class SourceAccess(Protocol):
    """Opens what a place only names. One that is sent to other processes must be picklable, so it holds references only."""

    def address(self) -> str:
        """SQLAlchemy URL of the source database, for an ``SqlPlace``."""

    def bucket(self) -> Bucket:
        """The opened bucket, for an ``S3Place``."""


@dataclass(frozen=True)
class RejectedRow:
    """A row that could not be read.

    Attributes:
        reason: One of the few fixed reasons that are also counted.
        where: File and row number, as a message names them.
        raw: Its bytes as they stand in the source; of a source of another encoding than UTF-8, its text as UTF-8.
    """

    reason: str
    where: str
    raw: bytes = field(repr=False)


class Rejects:
    """The rows that could not be read, up to a limit; without a limit the first one refuses the source.

    Args:
        limit: Most rows that may be set aside, None if none may.

    Attributes:
        counted: How many there are, by reason.
        rows: The rows.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.counted: Counter[str] = Counter()
        self.rows: list[RejectedRow] = []

    def add(self, row: RejectedRow, lines: int = 1) -> None:
        """Keeps a row, and counts it as so many as it has lines.

        Raises:
            DataRefused: They are more than the limit.
        """
        self.counted[row.reason] += lines
        self.rows.append(row)
        if self.limit is not None and self.counted.total() > self.limit:
            told = ", ".join(f"{reason} ({count})" for reason, count in sorted(self.counted.items()))
            raise DataRefused(
                f"more than {counted(self.limit, 'row')} can't be read: {told}",
                where="data.quarantine_limit",
                advice="correct the source, or raise the limit",
            )


class Source(Protocol):
    """An open source; nothing is read before it is asked for, so that a process which reads one part pays for that part only."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every column, in the order of the source."""

    @property
    def typed(self) -> bool:
        """Whether the format has types; if not, every column is text."""

    @property
    def rejects(self) -> Rejects:
        """The rows that could not be read so far."""

    def digest(self) -> str:
        """SHA-256 of the source, 64 hexadecimal digits, computed on the first call.

        One file or object: of its bytes. Several: of the RFC 8785 form of the list of [name, sha256] in order. A query or a frame: of
        its content in the order read, as ``content.py`` defines it; this one exists when ``batches`` has come to its end.
        """

    def parts(self) -> tuple[Part, ...]:
        """The pieces of the source, in order; together they are the whole."""

    def batches(self, columns: Sequence[str], part: Part | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches of these columns in this order, at most ``BATCH_ROWS`` rows each.

        Args:
            columns: Their names.
            part: The piece to read; all of them, one after the other, if there is none.

        Raises:
            InputError: A row is malformed and none may be set aside, or the source changed while it was read.
            DataRefused: More rows are malformed than may be set aside.
        """

    def progress(self) -> tuple[int, int]:
        """How much of what is being read has been read, and how much there is: bytes of a CSV, rows of anything else."""
