"""A digest of a table's content that depends neither on the order of its rows, nor on chunks, nor on how it is stored.

Definition: the rows are sorted by all columns in their order; SHA-256 runs over the RFC 8785 form of the list of (name, type),
then over blocks of 65,536 sorted rows, column by column: which rows are null (one bit each, most significant first), and the
values. Fixed-width values are little-endian with zeros for nulls; text is the byte lengths (int64, little-endian) and then the
UTF-8 bytes; decimals are text; floats are doubles, negative zero counts as zero and every NaN as one.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.tokens.columns import is_text, is_time, text_bytes

_BLOCK = 1 << 16


def table_digest(table: pa.Table) -> str:
    """SHA-256 of a table's content, 64 hexadecimal digits; equal for the same rows in any order.

    Raises:
        DataRefused: A column is neither text, number, boolean nor date, or a name occurs twice.
    """
    if len(set(table.column_names)) != len(table.column_names):
        raise DataRefused("two columns have the same name", where="digest")
    table = pa.table({name: _plain(name, table[name]) for name in table.column_names}) if table.num_columns else table
    sha256 = hashlib.sha256(canonical([[field.name, str(field.type)] for field in table.schema]))
    keys = [(field.name, "ascending") for field in table.schema if not pa.types.is_null(field.type)]
    order = pc.sort_indices(table, sort_keys=keys) if keys else pa.array(range(table.num_rows), pa.int64())
    for first in range(0, table.num_rows, _BLOCK):
        rows = order.slice(first, _BLOCK)
        for column in table.columns:
            block = column.take(rows).combine_chunks()
            for part in _bytes(block):
                sha256.update(part)
    return sha256.hexdigest()


def _plain(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """One representation of each logical type."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if is_text(kind):
        return column.cast(pa.string())
    if pa.types.is_floating(kind):
        return pa.chunked_array([_one_zero(chunk.cast(pa.float64())) for chunk in column.chunks], pa.float64())
    if pa.types.is_decimal(kind):
        return column.cast(pa.string())
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind) or is_time(kind):
        return column
    advice = "keep flat columns of text, numbers and dates"
    raise DataRefused(f"the type {kind} has no digest", where=f"column '{name}'", advice=advice)


def _one_zero(chunk: pa.Array) -> pa.Array:
    values = chunk.fill_null(0.0).to_numpy(zero_copy_only=False)
    missing = chunk.is_null().to_numpy(zero_copy_only=False)
    return pa.array(np.where(np.isnan(values), np.nan, values) + 0.0, mask=missing)


def _bytes(block: pa.Array) -> list[bytes]:
    missing = np.packbits(block.is_null().to_numpy(zero_copy_only=False)).tobytes()
    if pa.types.is_null(block.type):
        return [missing]
    if pa.types.is_string(block.type):
        data, edges = text_bytes(block.fill_null(""))
        return [missing, np.diff(edges).astype("<i8").tobytes(), data[edges[0] : edges[-1]].tobytes()]
    if pa.types.is_boolean(block.type):
        return [missing, np.packbits(block.fill_null(False).to_numpy(zero_copy_only=False)).tobytes()]
    if is_time(block.type):
        block = block.view(pa.int32() if block.type.bit_width == 32 else pa.int64())
    values = block.fill_null(0).to_numpy(zero_copy_only=False)
    return [missing, values.astype(values.dtype.newbyteorder("<")).tobytes()]
