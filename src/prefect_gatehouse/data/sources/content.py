"""The digest of a source that is no file: of its content, in the order read.

Definition: SHA-256 over the RFC 8785 form of the list of [name, Arrow type], then over blocks of 65,536 rows (the last one shorter),
column by column: which rows are null (one bit each, most significant first), and the values. Fixed-width values are little-endian with
zeros for nulls; truth values are bits; text is the byte lengths (int64, little-endian) and then the UTF-8 bytes.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.tokens.columns import is_text


class ContentHash:
    """Feeds on record batches of one schema of text, truth values, numbers, dates and times; each but the last has 65,536 rows."""

    def __init__(self, schema: pa.Schema) -> None:
        self._sha256 = hashlib.sha256(canonical([[field.name, str(field.type)] for field in schema]))

    def update(self, batch: pa.RecordBatch) -> None:
        """Takes in one block of rows."""
        for column in batch.columns:
            self._sha256.update(np.packbits(column.is_null().to_numpy(zero_copy_only=False)).tobytes())
            if pa.types.is_null(column.type):
                continue
            if is_text(column.type):
                self._text(column.cast(pa.large_string()).fill_null(""))
            elif pa.types.is_boolean(column.type):
                self._sha256.update(np.packbits(column.fill_null(False).to_numpy(zero_copy_only=False)).tobytes())
            else:
                self._fixed(column)

    def _text(self, column: pa.Array) -> None:
        self._sha256.update(pc.binary_length(column).to_numpy().astype("<i8").tobytes())
        edges = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column) + 1]
        data = column.buffers()[2]
        if data is not None:
            self._sha256.update(data.slice(int(edges[0]), int(edges[-1] - edges[0])))

    def _fixed(self, column: pa.Array) -> None:
        width = column.type.bit_width // 8
        values = np.frombuffer(column.buffers()[1], np.uint8)[column.offset * width : (column.offset + len(column)) * width].reshape(-1, width)
        if column.null_count:  # what stands in the place of a null is anything
            values = np.where(column.is_null().to_numpy(zero_copy_only=False)[:, None], np.uint8(0), values)
        self._sha256.update(np.ascontiguousarray(values).data)

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return self._sha256.hexdigest()
