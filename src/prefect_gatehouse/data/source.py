"""The source of a run: one protocol, one file per kind, streamed as Arrow record batches of the named columns only."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from prefect_gatehouse.data.csv_source import CsvSource
from prefect_gatehouse.data.parquet_source import ParquetSource
from prefect_gatehouse.data.source_file import unreadable
from prefect_gatehouse.errors import DataRefused, InputError


class Source(Protocol):
    """An open source.

    Attributes:
        names: Every column, in the file's order.
        typed: Whether the format has types; if not, every column is text.
        sha256: Of the file's bytes.
    """

    names: tuple[str, ...]
    typed: bool
    sha256: str

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Record batches of these columns, in this order.

        Raises:
            InputError: The file is malformed, or changed while it was read.
        """

    def progress(self) -> tuple[int, int]:
        """How much has been read and how much there is: bytes of a CSV, rows of a Parquet file."""


_KINDS: dict[str, type[CsvSource | ParquetSource]] = {".csv": CsvSource, ".parquet": ParquetSource, ".pq": ParquetSource}


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Opens a CSV (.csv) or a Parquet file (.parquet, .pq) and hashes it.

    Raises:
        InputError: The file is missing, not a file, of another kind, or malformed.
        DataRefused: The file is empty.
        StorageError: The file can't be read.
    """
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise InputError("the source is neither CSV nor Parquet", where=path.name, advice="name a .csv or a .parquet file")
    with _open(path) as stream:
        yield kind(stream, path.name)


def _open(path: Path) -> BufferedReader:
    try:
        # O_NONBLOCK: a named pipe must not make the gate wait; it is refused below.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        advice = "check data.source; it is relative to the manifest"
        raise InputError("the source does not exist", where=str(path), advice=advice) from None
    except OSError as error:
        raise unreadable(error, path.name) from None
    facts = os.fstat(descriptor)
    if stat.S_ISREG(facts.st_mode) and facts.st_size > 0:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISREG(facts.st_mode):
        raise DataRefused("the source is empty", where=path.name)
    raise InputError("the source is not a file", where=path.name, advice="name a .csv or a .parquet file")
