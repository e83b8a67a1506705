"""The compiled tier of making AES-SIV tokens (RFC 5297); imported only when ``tier.Fused`` has found that it pays."""

from __future__ import annotations

import numpy as np

from prefect_gatehouse.tokens.base32hex import Bytes
from prefect_gatehouse.tokens.compiled import kernel
from prefect_gatehouse.tokens.fused import block_at, spelt
from prefect_gatehouse.tokens.kernels import Written, load64, store64, swap64
from prefect_gatehouse.tokens.lockstep import Edges, Words


@kernel
def counters(macs: Words, edges: Edges, whole: bool, out: Written[Words]) -> int:
    """The counter blocks of every message (RFC 5297, section 2.5), one behind the other.

    Args:
        macs: The synthetic vectors.
        edges: Where each message starts and the last one ends.
        whole: Whether padding always follows.
        out: Out: the blocks.

    Returns:
        How many blocks there are.
    """
    made = 0
    for row in range(len(edges) - 1):
        length = edges[row + 1] - edges[row]
        blocks = (length + 16) >> 4 if whole else (length + 15) >> 4
        # The highest bit of each of the last two words of 32 bits is cleared, so that adding never carries out of the last one.
        low = macs[2 * row]
        high = swap64(macs[2 * row + 1]) & np.uint64(0x7FFFFFFF7FFFFFFF)
        for block in range(blocks):
            out[2 * made], out[2 * made + 1] = low, swap64(high + np.uint64(block))
            made += 1
    return made


@kernel
def seal(
    data: Bytes,
    edges: Edges,
    whole: bool,
    macs: Words,
    stream: Words,
    ends: Words,
    prefix: Bytes,
    begin: int,
    scratch: Written[Bytes],
    text: Written[Bytes],
    places: Edges,
) -> None:
    """The prefix and the characters of vector and ciphertext of every message.

    Args:
        data: All messages, one behind the other.
        edges: Where each message starts and the last one ends.
        whole: Whether padding always follows.
        macs: The synthetic vectors.
        stream: The encrypted counter blocks.
        ends: Padding and masks of a last block, by how many bytes it holds; 17 rows each.
        prefix: What each token begins with, filled up to 8 bytes.
        begin: How many of them count.
        scratch: Room for the longest ciphertext and 48 bytes more.
        text: Out: the tokens, one behind the other, and 8 bytes of room.
        places: Where each token starts.
    """
    used = 0
    end = edges[len(edges) - 1]
    for row in range(len(edges) - 1):
        start, length = edges[row], edges[row + 1] - edges[row]
        blocks = (length + 16) >> 4 if whole else (length + 15) >> 4
        store64(scratch, 0, macs[2 * row])
        store64(scratch, 8, macs[2 * row + 1])
        for block in range(blocks):
            low, high = block_at(data, start + (block << 4), end)
            one, other = stream[2 * used], stream[2 * used + 1]
            used += 1
            if block == blocks - 1:
                held = length - (block << 4)
                low, high = low & ends[34 + 2 * held], high & ends[35 + 2 * held]
                if whole:
                    low, high = low | ends[2 * held], high | ends[2 * held + 1]
                else:
                    one, other = one & ends[34 + 2 * held], other & ends[35 + 2 * held]
            store64(scratch, 16 + (block << 4), low ^ one)
            store64(scratch, 24 + (block << 4), high ^ other)
        size = 16 + (blocks << 4) if whole else 16 + length
        # The last group may hold fewer than five bytes: zeros stand behind them, and the characters behind its own are written over.
        store64(scratch, 16 + (blocks << 4), np.uint64(0))
        at = places[row]
        store64(text, at, load64(prefix, 0))
        at += begin
        for group in range((size + 4) // 5):
            store64(text, at + group * 8, spelt(swap64(load64(scratch, group * 5)) >> np.uint64(24)))
