"""How tokens are written: scheme, key version, ``_``, base32hex; and Arrow string columns made of them without a pass over Python values."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from prefect_gatehouse.tokens import columns
from prefect_gatehouse.tokens.aes import BLOCK
from prefect_gatehouse.tokens.base32hex import Bytes, characters, spell
from prefect_gatehouse.tokens.lockstep import Edges, Rows


def prefix(scheme: str, version: int) -> bytes:
    """What the tokens of one scheme and key version begin with; a token of another version is another token."""
    return f"{scheme}{version}_".encode()


def filled(mark: bytes) -> Bytes:
    """A prefix filled up to the 8 bytes that compiled code writes at once; version numbers end before it is longer."""
    return np.frombuffer(mark.ljust(8, b"\0"), np.uint8)


def spell_fixed(blocks: Bytes, size: int, mark: bytes, text: Bytes) -> None:
    """A prefix and the characters of the first ``size`` bytes of each of n blocks.

    Args:
        blocks: The blocks (16 bytes each) and 7 bytes more.
        size: 15 or 16.
        mark: The prefix.
        text: Out: n rows of prefix and characters, contiguous.
    """
    rows, width = text.shape
    groups, over = divmod(size, 5)
    # A group of five bytes is read as eight; of the last one only some count.
    eights = np.ndarray((rows, groups + (over > 0)), ">u8", blocks.data, 0, (BLOCK, 5)).astype(np.uint64)
    if over:
        eights[:, -1] &= np.uint64((1 << 64) - (1 << (64 - 8 * over)))
    text[:, : len(mark)] = np.frombuffer(mark, np.uint8)
    # The characters of a row as one item, which numpy copies at once.
    spelt = spell(eights)
    kind = f"V{characters(size)}"
    places = np.ndarray((rows,), kind, text.data, len(mark), (width,))
    places[:] = np.ndarray((rows,), kind, spelt.data, 0, (spelt.shape[1],))


def fixed_column(text: Bytes, width: int, like: pa.Array) -> pa.Array:
    """As ``column``, of texts that all have ``width`` bytes."""
    if len(text) <= columns.TEXT_LIMIT:
        return column(text, np.arange(0, len(text) + 1, width, dtype=np.int32), like)
    return column(text, np.arange(0, len(text) + 1, width, dtype=np.int64), like)


def column(text: Bytes, edges: Edges | Rows, like: pa.Array) -> pa.Array:
    """A string column of texts in the places of the values that are there; nulls stay null.

    Args:
        text: The texts of the values that are there, one behind the other; bytes behind the last one are left out.
        edges: Where each of them starts and the last one ends.
        like: The column whose nulls are taken over.

    Returns:
        A column of type ``string``, or ``large_string`` where the texts exceed 2 GiB.
    """
    end = int(edges[-1])
    kind, offset = (pa.string(), np.int32) if end <= columns.TEXT_LIMIT else (pa.large_string(), np.int64)
    validity = None
    if like.null_count:
        there = like.is_valid()
        edges = edges[np.concatenate([[0], np.cumsum(there.to_numpy(zero_copy_only=False))])]
        validity = there.buffers()[1]
    buffers = [validity, pa.py_buffer(edges.astype(offset, copy=False)), pa.py_buffer(text[:end])]
    return pa.Array.from_buffers(kind, len(like), buffers, null_count=like.null_count)


def windows(text: Bytes, width: int) -> npt.NDArray[np.void]:
    """``width`` bytes from every place of a text on, as one item each: a view."""
    return np.ndarray((max(0, len(text) - width + 1),), f"V{width}", text.data, 0, (1,))


def by_size(sizes: npt.NDArray[np.int64]) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Each size that occurs, with the rows that have it in ascending order."""
    # Numbers of 16 bits are sorted by their digits, several times faster.
    order = np.argsort(sizes.astype(np.uint16) if sizes.max(initial=0) < 1 << 16 else sizes, kind="stable")
    distinct, first = np.unique(sizes[order], return_index=True)
    yield from zip(distinct.tolist(), np.split(order, first[1:]), strict=True) if len(distinct) else ()
