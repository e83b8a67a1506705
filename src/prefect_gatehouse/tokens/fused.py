"""The compiled tier of CMAC, AES-SIV and their spelling; imported only when ``tier.Fused`` has found that it pays.

Each function does in one pass over the rows what numpy does in twenty passes over memory. OpenSSL encrypts between them, as in the other
tier: there is no cipher here.
"""

from __future__ import annotations

import numpy as np

from prefect_gatehouse.tokens.base32hex import Bytes
from prefect_gatehouse.tokens.compiled import compiled, load64, store64, swap64
from prefect_gatehouse.tokens.lockstep import Edges, Rows, Words

# Rows of LockStep's table: only, last, before, masks, 17 each, and a row of zeros.
_LAST, _BEFORE, _MASK, _NOTHING = 17, 34, 51, 68


@compiled
def block_at(data: Bytes, at: int, end: int) -> tuple[np.uint64, np.uint64]:
    """16 bytes as two numbers; what lies behind ``end`` is not read."""
    low, high = np.uint64(0), np.uint64(0)
    if at + 16 <= end:
        return load64(data, at), load64(data, at + 8)
    for index in range(min(8, end - at)):
        low |= np.uint64(data[at + index]) << np.uint64(8 * index)
    for index in range(8, end - at):
        high |= np.uint64(data[at + index]) << np.uint64(8 * index - 64)
    return low, high


@compiled
def absorb(step: int, data: Bytes, edges: Edges, table: Words, whole: bool, rows: Rows, count: int, state: Words, ready: Words, macs: Words) -> int:
    """Block ``step`` of every message that has one goes on its state; a message that has none is done.

    Args:
        step: Which block, from 0.
        data: All messages, one behind the other.
        edges: Where each message starts and the last one ends.
        table: What is added to the last blocks and which of their bytes count, by how many they hold.
        whole: Whether padding always follows.
        rows: The messages that still go on, in the order of ``state``; on return those that go on after this step.
        count: How many they are.
        state: The ciphertext of the step before.
        ready: Out: what to encrypt next.
        macs: Out: the state of each message that is done.

    Returns:
        How many messages go on.
    """
    going = 0
    end = edges[len(edges) - 1]
    for place in range(count):
        row = rows[place]
        start, length = edges[row], edges[row + 1] - edges[row]
        last = length >> 4 if whole else max(0, (length - 1) >> 4)
        if last < step:
            macs[row, 0], macs[row, 1] = state[place, 0], state[place, 1]
            continue
        at = start + (step << 4)
        held = length - (last << 4)
        low, high = block_at(data, at, end)
        # Which way a message goes is chance, and a processor that guesses wrong loses more than these look-ups cost.
        ends = last == step
        mask = _MASK + (held if ends else 16)
        ending = (held if step == 0 else _LAST + held) if ends else (_BEFORE + held if last == step + 1 else _NOTHING)
        ready[going, 0] = state[place, 0] ^ (low & table[mask, 0]) ^ table[ending, 0]
        ready[going, 1] = state[place, 1] ^ (high & table[mask, 1]) ^ table[ending, 1]
        rows[going] = row
        going += 1
    return going


@compiled
def spelt(forty: np.uint64) -> np.uint64:
    """Eight characters of base32hex, in order of memory, of 40 bits."""
    halves = (forty >> np.uint64(20)) | ((forty & np.uint64(0xFFFFF)) << np.uint64(32))
    quarters = ((halves >> np.uint64(10)) & np.uint64(0x000003FF000003FF)) | ((halves & np.uint64(0x000003FF000003FF)) << np.uint64(16))
    fives = ((quarters >> np.uint64(5)) & np.uint64(0x001F001F001F001F)) | ((quarters & np.uint64(0x001F001F001F001F)) << np.uint64(8))
    letters = ((fives + np.uint64(0x7676767676767676)) >> np.uint64(7)) & np.uint64(0x0101010101010101)
    return fives + np.uint64(0x3030303030303030) + letters * np.uint64(39)


@compiled
def spell(blocks: Bytes, held: int, prefix: Bytes, size: int, text: Bytes) -> None:
    """The prefix and the characters of the first ``held`` bytes of each block.

    Args:
        blocks: The blocks (16 bytes each) and 8 bytes more.
        held: How many bytes of each count.
        prefix: What each token begins with, filled up to 8 bytes.
        size: How many of them count.
        text: Out: the tokens, one behind the other, and less than a token of room where ``held`` is no multiple of 5.
    """
    groups = (held + 4) // 5
    width = size + (held * 8 + 4) // 5
    # Of the last group only some bytes count. The characters behind its own are written over by the next token.
    last = np.uint64(0xFFFFFFFFFF) ^ ((np.uint64(1) << np.uint64(8 * (5 * groups - held))) - np.uint64(1))
    begin = load64(prefix, 0)
    for row in range(len(text) // width):
        at = row * width
        store64(text, at, begin)
        at += size
        for group in range(groups - 1):
            store64(text, at + group * 8, spelt(swap64(load64(blocks, row * 16 + group * 5)) >> np.uint64(24)))
        forty = swap64(load64(blocks, row * 16 + (groups - 1) * 5)) >> np.uint64(24)
        store64(text, at + (groups - 1) * 8, spelt(forty & last))


@compiled
def spell_fixed(macs: Bytes, prefix: Bytes, size: int, text: Bytes) -> None:
    """As ``spell``, for the first 15 bytes of each MAC: 24 characters."""
    spell(macs, 15, prefix, size, text)


@compiled
def spell_blocks(blocks: Bytes, prefix: Bytes, size: int, text: Bytes) -> None:
    """As ``spell``, for all 16 bytes of each block: 26 characters."""
    spell(blocks, 16, prefix, size, text)


@compiled
def counters(macs: Words, edges: Edges, whole: bool, out: Words) -> int:
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
        low = macs[row, 0]
        high = swap64(macs[row, 1]) & np.uint64(0x7FFFFFFF7FFFFFFF)
        for block in range(blocks):
            out[made, 0], out[made, 1] = low, swap64(high + np.uint64(block))
            made += 1
    return made


@compiled
def seal(
    data: Bytes,
    edges: Edges,
    whole: bool,
    macs: Words,
    stream: Words,
    ends: Words,
    prefix: Bytes,
    begin: int,
    scratch: Bytes,
    text: Bytes,
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
        store64(scratch, 0, macs[row, 0])
        store64(scratch, 8, macs[row, 1])
        for block in range(blocks):
            low, high = block_at(data, start + (block << 4), end)
            one, other = stream[used, 0], stream[used, 1]
            used += 1
            if block == blocks - 1:
                held = length - (block << 4)
                low, high = low & ends[17 + held, 0], high & ends[17 + held, 1]
                if whole:
                    low, high = low | ends[held, 0], high | ends[held, 1]
                else:
                    one, other = one & ends[17 + held, 0], other & ends[17 + held, 1]
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


@compiled
def tell_apart(data: Bytes, edges: Edges, masks: Words, slots: Rows, heads: Words, firsts: Edges, codes: Rows) -> int:
    """Numbers equal texts alike, in order of their first row: a hash table of a few entries that fits the cache.

    Args:
        data: All texts, one behind the other.
        edges: Where each text starts and the last one ends.
        masks: Which bytes of a block count, by how many it holds.
        slots: The table, -1 where free; its length is a power of two.
        heads: Out: the first 16 bytes of each distinct text.
        firsts: Out: the first row of each distinct text; its length is how many there may be.
        codes: Out: the number of each row's text.

    Returns:
        How many distinct texts there are; -1 if they are too many, or if too many of them share a place in the table.
    """
    known = 0
    end = edges[len(edges) - 1]
    for row in range(len(edges) - 1):
        start, length = edges[row], edges[row + 1] - edges[row]
        low, high = block_at(data, start, end)
        held = min(length, 16)
        low, high = low & masks[held, 0], high & masks[held, 1]
        mixed = (low ^ (high * np.uint64(0x9E3779B97F4A7C15)) ^ np.uint64(length)) * np.uint64(0xD6E8FEB86659FD93)
        if length > 16:
            tail, other = block_at(data, start + length - 16, end)
            mixed = (mixed ^ tail ^ (other * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xD6E8FEB86659FD93)
        place = np.int64((mixed >> np.uint64(40)) & np.uint64(len(slots) - 1))
        for _ in range(32):
            code = slots[place]
            if code < 0:
                if known == len(firsts):
                    return -1
                slots[place] = known
                heads[known, 0], heads[known, 1] = low, high
                firsts[known] = row
                code = known
                known += 1
            elif heads[code, 0] != low or heads[code, 1] != high:
                place = (place + 1) & (len(slots) - 1)
                continue
            else:
                begin = edges[firsts[code]]
                same = edges[firsts[code] + 1] - begin == length
                for at in range(16, length if same else 0):
                    same = same and data[begin + at] == data[start + at]
                if not same:
                    place = (place + 1) & (len(slots) - 1)
                    continue
            codes[row] = code
            break
        else:
            return -1
    return known
