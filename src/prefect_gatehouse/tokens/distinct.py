"""Telling a few distinct values of a column apart, with the compiled tier where it is loaded and with Arrow's dictionaries elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from prefect_gatehouse.tokens.base32hex import Bytes
from prefect_gatehouse.tokens.columns import by_dictionary, text_bytes
from prefect_gatehouse.tokens.lockstep import MASKS, Edges, Rows, Words

TellApart = Callable[[Bytes, Edges, Words, Rows, Words, Edges, Rows], int]
"""``tell_apart`` in ``fused.py``, with the arguments it names."""

# More distinct values than this are Arrow's business: the table would leave the cache.
_MOST = 1024
_SLOTS = 4 * _MOST
_MASKS = MASKS.reshape(-1)


def distinct(array: pa.Array, tell_apart: TellApart | None) -> tuple[pa.Array, pa.Array]:
    """The distinct values of a text column, and the place of each row's value among them, null where the row is.

    Args:
        array: A column of type ``string`` or ``large_string``.
        tell_apart: The compiled tier, None for Arrow.
    """
    if tell_apart is not None and not array.null_count:
        data, edges = text_bytes(array)
        firsts, codes = np.empty(_MOST, np.int64), np.empty(len(array), np.int32)
        known = tell_apart(data, edges, _MASKS, np.full(_SLOTS, -1, np.int32), np.empty(2 * _MOST, np.uint64), firsts, codes)
        if known >= 0:
            return array.take(pa.array(firsts[:known])), pa.array(codes)
    return by_dictionary(array)


def prove(tell_apart: TellApart) -> None:
    """Compiles the function and compares it with Arrow on texts that repeat and are alike.

    Raises:
        AssertionError: It differs.
    """
    sample = pa.array(["", "a", "x" * 16, "x" * 17, "x" * 40, "x" * 20 + "y" + "x" * 19, "a", "", "x" * 40])
    if any(not ours.equals(theirs) for ours, theirs in zip(distinct(sample, tell_apart), by_dictionary(sample), strict=True)):
        raise AssertionError("the compiled tier differs from Arrow")
