"""One encrypted Parquet file: Parquet Modular Encryption, AES_GCM_V1, columns and footer under a 256-bit key.

Text of one length, such as tokens, is stored as blocks of that length, without the four bytes of length that Parquet gives each text,
and comes back as the text that it was.

Every file has a data key of its own, derived from the run's key and the file's URI. The URI is also the file's AAD prefix and is not
stored in it, so that a file under another name, run or place in an artifact does not decrypt.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

from prefect_gatehouse.errors import DataRefused, InputError, StorageError, Tampered
from prefect_gatehouse.files import DigestingFile, open_new
from prefect_gatehouse.store.run_keys import RunKey
from prefect_gatehouse.tokens.columns import is_text, one_length_bytes
from prefect_gatehouse.tokens.keys import derive_key

BATCH_ROWS = 1 << 16
"""Rows of a batch that is read."""

# Rows of a row group at most: Parquet keeps what it knows of each until the file ends, so fewer and larger ones.
_GROUP_ROWS = 1 << 17
# Values a distinct one, from which on a dictionary is worth it for tokens: places of a few bits stand for 27 characters.
_REPEATED = 8
# Marks a column of blocks that is text.
_TEXT = b"gatehouse.text"
_NONE: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True)
class Slot:
    """Where a file goes.

    Attributes:
        path: The file, which is not there yet; it is written beside it, under a name of its own, and moved by whoever takes the result.
        uri: What its key is bound to, and what errors call it.
    """

    path: Path
    uri: str


@dataclass(frozen=True)
class Written:
    """A file that was written.

    Attributes:
        path: Where it is.
        sha256: Of its bytes, 64 hexadecimal digits.
        rows: How many it holds.
        columns: Their names.
        bytes: How many it takes.
    """

    path: Path
    sha256: str
    rows: int
    columns: tuple[str, ...]
    bytes: int


def write_file(
    slot: Slot,
    content: pa.Table | Iterable[pa.RecordBatch],
    key: RunKey,
    *,
    random: Collection[str] = (),
    widths: Mapping[str, int] = _NONE,
) -> Written:
    """Writes a table or record batches of one schema; whole, or not at all; ``files.sync_file`` makes it durable.

    Args:
        slot: Where to.
        content: What it holds.
        key: The run's key.
        random: Columns that look random, such as tokens: no compression finds anything in them, and a dictionary only where they repeat.
        widths: Columns of text that all is of one length and none of it missing, and that length in bytes.

    Raises:
        InputError: There is no batch to take a schema from.
        DataRefused: Parquet can't hold a column.
        StorageError: No disk or no permission; nothing is left behind.
    """
    # Another worker may be told to write the same, where this one is taken for dead: what counts is the file that a result names.
    path = slot.path.with_name(f"{slot.path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(open_new(path), "wb") as stream:
            sink = DigestingFile(stream)
            schema, rows = _write(sink, content, _encryption(key, slot.uri), random, widths)
    except OSError as error:
        _remove(path)
        raise storage_error(error, slot.uri) from None
    except pa.ArrowException:
        _remove(path)
        raise DataRefused("a column can't be stored as Parquet", where=slot.uri, advice="keep flat columns only") from None
    except BaseException:
        _remove(path)
        raise
    return Written(path, sink.digest(), rows, tuple(schema.names), sink.size)


@contextmanager
def reading(stream: BinaryIO, uri: str, key: RunKey) -> Iterator[pq.ParquetFile]:
    """A file that is open, as Parquet; what is read of it in the context is authentic.

    Raises:
        Tampered: It does not decrypt under this key and URI.
    """
    with _decrypting(uri):
        properties = pe.create_decryption_properties(_data_key(key, uri), aad_prefix=uri.encode())
        file = pq.ParquetFile(stream, decryption_properties=properties, pre_buffer=False)
    with file, _decrypting(uri):
        yield file


def storage_error(error: OSError, uri: str) -> StorageError:
    """What the disk answered, as an error that can be shown."""
    return StorageError(
        f"the artifact can't be stored or read: {error.strerror or 'input/output error'}",
        where=uri,
        advice="check the disk and the permissions below GATEHOUSE_HOME, then resume the run",
    )


def _encryption(key: RunKey, uri: str) -> pe.FileEncryptionProperties:
    return pe.create_encryption_properties(
        _data_key(key, uri),
        aad_prefix=uri.encode(),
        store_aad_prefix=False,
        encryption_algorithm="AES_GCM_V1",
        plaintext_footer=False,
    )


def _data_key(key: RunKey, uri: str) -> bytes:
    return derive_key(key.parquet_key(), 32, ("gatehouse artifact", uri))


def as_it_was(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch of such a file with its text as text."""
    columns, fields = [], []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        blocks = bool(field.metadata) and _TEXT in field.metadata
        columns.append(_text(column) if blocks else column)
        fields.append(pa.field(field.name, pa.string(), field.nullable) if blocks else field)
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _write(
    sink: DigestingFile,
    content: pa.Table | Iterable[pa.RecordBatch],
    encryption: pe.FileEncryptionProperties,
    random: Collection[str],
    widths: Mapping[str, int],
) -> tuple[pa.Schema, int]:
    batches = iter(content.to_batches(max_chunksize=BATCH_ROWS) if isinstance(content, pa.Table) else content)
    first = next(batches, None)
    schema = content.schema if isinstance(content, pa.Table) else first.schema if first is not None else None
    if schema is None:
        raise InputError("there is no batch to take the schema from", where="artifact")
    rows = 0
    options: dict[str, object] = {"compression": "zstd"}
    if random:
        # Where tokens make most of the bytes, a better compression of the rest gains little and would cost more than all else here.
        options["compression"] = {name: "none" if name in random else "lz4" for name in schema.names}
        texts = [field.name for field in schema if is_text(field.type)]
        options["use_dictionary"] = [name for name in texts if name not in random or (first is not None and _repeats(first.column(name)))]
    stored = pa.schema([pa.field(f.name, pa.binary(widths[f.name]), f.nullable, {_TEXT: b""}) if f.name in widths else f for f in schema])
    # Without statistics: nobody filters by them, and they repeat values.
    with pq.ParquetWriter(sink, stored, write_statistics=False, encryption_properties=encryption, **options) as writer:
        held: list[pa.RecordBatch] = []
        for batch in chain(() if first is None else (first,), batches):
            if held and sum(each.num_rows for each in held) + batch.num_rows > _GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(held), _GROUP_ROWS)
                held = []
            columns = (_blocks(column, field.type) for column, field in zip(batch.columns, stored, strict=True))
            held.append(pa.RecordBatch.from_arrays([*columns], schema=stored) if widths else batch)
            rows += batch.num_rows
        if held:
            writer.write_table(pa.Table.from_batches(held), _GROUP_ROWS)
    return schema, rows


def _blocks(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    return pa.Array.from_buffers(kind, len(column), [None, pa.py_buffer(one_length_bytes(column, kind.byte_width))])


def _text(blocks: pa.Array) -> pa.Array:
    width = blocks.type.byte_width
    offsets = np.arange(len(blocks) + 1, dtype=np.int32) * np.int32(width)
    return pa.Array.from_buffers(pa.string(), len(blocks), [None, pa.py_buffer(offsets), blocks.buffers()[1].slice(blocks.offset * width)])


def _repeats(column: pa.Array) -> bool:
    return len(column) > _REPEATED * len(column.unique())


@contextmanager
def _decrypting(uri: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError):  # pyarrow reports a wrong key, a wrong AAD and a broken file as OSError
        raise Tampered("the artifact does not decrypt under this run's key and name", where=uri) from None


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
