"""Where data comes from: files, objects in S3, a query, a frame; one place a kind, and ``open_source`` for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect_gatehouse.data.sources.interface import (
    BATCH_ROWS,
    Bucket,
    FilesPlace,
    FramePlace,
    Part,
    Place,
    RejectedRow,
    Rejects,
    S3Place,
    Source,
    SourceAccess,
    SqlPlace,
    StoredObject,
)
from prefect_gatehouse.errors import InputError

__all__ = [
    "BATCH_ROWS",
    "Bucket",
    "FilesPlace",
    "FramePlace",
    "Part",
    "Place",
    "RejectedRow",
    "Rejects",
    "S3Place",
    "Source",
    "SourceAccess",
    "SqlPlace",
    "StoredObject",
    "open_source",
]


@contextmanager
def open_source(place: Place, *, access: SourceAccess | None = None, quarantine: int | None = None) -> Iterator[Source]:
    """Opens a source.

    Args:
        place: Where it is.
        access: Opens the bucket or names the database; files and frames need none.
        quarantine: Most rows that may be set aside because they can't be read; the first one refuses the source if there is none.

    Raises:
        InputError: The source is missing, of another kind, malformed, or needs an access that is not there.
        DataRefused: A file is empty.
        Denied: The store refuses, or the database is not the declared system.
        StorageError: A file can't be read.
        Unavailable: The store or the database does not answer.
    """
    rejects = Rejects(quarantine)
    # Each kind in its own module, loaded when it is used: SQLAlchemy and pandas take longer than reading a small file.
    if isinstance(place, FilesPlace):
        from prefect_gatehouse.data.sources.files import files_source

        yield files_source(place, rejects)
    elif isinstance(place, FramePlace):
        from prefect_gatehouse.data.sources.frames import FrameSource

        yield FrameSource(place, rejects)
    elif access is None:
        raise InputError("the source needs a credential", where="credentials.read_source", advice="name the block that opens it")
    elif isinstance(place, S3Place):
        from prefect_gatehouse.data.sources.s3 import bucket_source

        yield bucket_source(place, access.bucket(), rejects)
    else:
        from prefect_gatehouse.data.sources.sql import open_query

        with open_query(place, access.address(), rejects) as source:
            yield source
