"""Random whole numbers for the few values of a category: codes that mean something within one run and nothing outside it.

Each distinct value gets a number from 0 up, in an order that nobody can foresee: the order of the values' CMACs under a key that is drawn at
random for the run and kept nowhere (for a pseudorandom function, each order is as likely as any other). So no state holds a value, batches can
be treated in any order and in several processes that share the key, and the numbers are the same:

    key = codes.new_key()
    tags = [codes.tag(batch, key) for batch in column]      # in any process
    found = codes.Codes.merged(codes.Codes.of(each) for each in tags)
    numbers = [found.encode(each) for each in tags]

A thousand and more distinct values are no category; a number for each would be a pseudonym without a key.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.errors import DataRefused, InputError
from prefect_gatehouse.tokens.cmac import mac
from prefect_gatehouse.tokens.columns import canonical_text, over_values, text_bytes

LIMIT = 1000
"""A column has fewer distinct values than this."""

TAG = pa.binary(16)
"""The type of tags: fixed-size binary."""

_KEY_BYTES = 32


def new_key() -> bytes:
    """A key for the codes of one run, 32 bytes of the operating system's randomness."""
    return secrets.token_bytes(_KEY_BYTES)


def tag(array: pa.Array | pa.ChunkedArray, key: bytes) -> pa.Array:
    """A tag of 16 bytes for each value of a batch; nulls stay null.

    Raises:
        DataRefused: The column's type has no single text form.
        InputError: The key is not 32 bytes.
    """
    if len(key) != _KEY_BYTES:
        raise InputError("a key of codes is 32 bytes", where="key")

    def tags_of(text: pa.Array) -> pa.Array:
        data, edges = text_bytes(text.drop_null())
        tags = pa.Array.from_buffers(TAG, len(edges) - 1, [None, pa.py_buffer(np.ascontiguousarray(mac(key, data, edges)))])
        there = text.is_valid().to_numpy(zero_copy_only=False)
        return tags.take(pa.array(np.cumsum(there) - 1, mask=~there)) if text.null_count else tags

    return over_values(array, tags_of)


@dataclass(frozen=True)
class Codes:
    """The distinct values of a column, as tags; it holds no value and no key.

    Attributes:
        tags: Fewer than ``LIMIT``, ascending: the place of each is its value's code.
    """

    tags: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if len(self.tags) >= LIMIT:
            raise DataRefused(f"at least {len(self.tags)} distinct values are too many for codes", advice="use scheme cmac")

    @classmethod
    def of(cls, tags: pa.Array) -> Codes:
        """What one batch holds.

        Raises:
            DataRefused: ``LIMIT`` or more distinct values; the message holds their number.
        """
        return cls(tuple(sorted(tags.unique().drop_null().to_pylist())))

    @classmethod
    def merged(cls, parts: Iterable[Codes]) -> Codes:
        """What several batches hold together, whatever their order.

        Raises:
            DataRefused: ``LIMIT`` or more distinct values; the message holds their number.
        """
        whole = cls()
        for part in parts:
            whole = whole.merge(part)
        return whole

    def merge(self, other: Codes) -> Codes:
        """What both hold together; codes are final only when nothing is left to merge.

        Raises:
            DataRefused: ``LIMIT`` or more distinct values; the message holds their number.
        """
        return self if set(other.tags) <= set(self.tags) else Codes(tuple(sorted({*self.tags, *other.tags})))

    def encode(self, tags: pa.Array) -> pa.Array:
        """The codes of a batch, ``int64``; nulls stay null.

        Raises:
            InputError: The batch holds a value that was not merged.
        """
        codes = pc.index_in(tags, pa.array(self.tags, TAG), skip_nulls=True).cast(pa.int64())
        if codes.null_count != tags.null_count:
            raise InputError("a batch holds values that the codes do not know", where="codes", advice="merge every batch before encoding one")
        return codes


def tokenise(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Codes of a whole column at once, under a key of their own.

    Raises:
        DataRefused: ``LIMIT`` or more distinct values, or the column's type has no single text form.
    """
    tags = tag(canonical_text(array), new_key())
    return Codes.of(tags).encode(tags)
