"""Tables in a pipe: one Arrow IPC stream of a schema and record batches, nothing compressed, nothing nested, no metadata.

Arrow's reader is written to be given anything, and what it reads is validated to the last value. What it does on the way is bounded here: a
compressed buffer may say that it is larger than any memory, a batch of columns without a value that it has any number of rows, and a million
batches of a row cost as much as a million tables. So the headers are looked at first (``Message.fbs``, ``RecordBatch``).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from prefect_gatehouse.workload.frame import is_plain
from prefect_gatehouse.workload.runner.wire import NotInForm

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMNS = 10_000
_ROWS = 8  # a byte: a row takes a bit at least of some column, or nobody could tell it from the next one
_BATCHES = 1000
_CELLS = 1 << 26  # of columns that hold no value at all, which take no room in the pipe and some in every library
_HEADER, _LENGTH, _COMPRESSION = 2, 0, 3  # places of fields in Message and in RecordBatch


def pack(table: pa.Table) -> bytes:
    """A table as a stream."""
    import pyarrow as pa

    table = table.combine_chunks()  # one batch
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema.remove_metadata(), options=pa.ipc.IpcWriteOptions(compression=None)) as writer:
        writer.write_table(table.replace_schema_metadata(None))
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def unpack(data: bytes) -> pa.Table:
    """A table from a stream that anybody may have written.

    Raises:
        NotInForm: It is no stream of plain columns.
    """
    import pyarrow as pa

    try:
        _refuse_bombs(data)
        reader = pa.ipc.open_stream(data, options=pa.ipc.IpcReadOptions(use_threads=False))
        names = reader.schema.names
        if len(names) > _COLUMNS or len(set(names)) != len(names) or not all(is_plain(each.type) for each in reader.schema):
            raise NotInForm
        table = reader.read_all()
        table.validate(full=True)
        if not table.num_rows or table.num_rows * sum(pa.types.is_null(each.type) for each in table.schema) > _CELLS:
            raise NotInForm
        return pa.table([column.combine_chunks() for column in table.columns], names=names)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError, struct.error, UnicodeDecodeError):
        raise NotInForm from None


def _refuse_bombs(data: bytes) -> None:
    """Stops a stream that would be larger in memory than it is here.

    Raises:
        NotInForm: It is one, or another stream than of a schema and some batches.
    """
    import pyarrow as pa

    rows = 0
    for number, message in enumerate(pa.ipc.MessageReader.open_stream(data)):
        if number > _BATCHES or message.type != ("record batch" if number else "schema"):
            raise NotInForm
        if number:
            header = _field_at(message.metadata.to_pybytes())
            length = _field(header, _LENGTH)
            rows += struct.unpack_from("<q", header[0], length)[0] if length else 0
            if _field(header, _COMPRESSION) or not 0 <= rows <= _ROWS * len(data):
                raise NotInForm


def _field_at(metadata: bytes) -> tuple[bytes, int]:
    """The message's header as a flatbuffer's table."""
    (root,) = struct.unpack_from("<I", metadata, 0)
    place = _field((metadata, root), _HEADER)
    if not place:
        raise NotInForm
    (offset,) = struct.unpack_from("<I", metadata, place)
    return metadata, place + offset


def _field(table: tuple[bytes, int], number: int) -> int:
    """Where a field of a flatbuffer's table is; 0 if it has not been set."""
    data, start = table
    (back,) = struct.unpack_from("<i", data, start)
    virtual = start - back
    (size,) = struct.unpack_from("<H", data, virtual)
    at = 4 + 2 * number
    if at >= size:
        return 0
    (offset,) = struct.unpack_from("<H", data, virtual + at)
    return start + offset if offset else 0
