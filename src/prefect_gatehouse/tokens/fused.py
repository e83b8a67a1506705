"""The compiled tier of CMAC, its spelling, and telling values apart; imported only when ``tier.Fused`` has found that it pays.

Each function does in one pass over the rows what numpy does in twenty passes over memory. OpenSSL encrypts between them, as in the other
tier: there is no cipher here. Two-dimensional arrays come in flat, so that the distance between rows is known when the function is compiled.
"""

from __future__ import annotations

import numpy as np

from prefect_gatehouse.tokens.base32hex import Bytes
from prefect_gatehouse.tokens.compiled import kernel
from prefect_gatehouse.tokens.kernels import Written, helper, inlined, load64, store64, swap64
from prefect_gatehouse.tokens.lockstep import Edges, Numbers, Rows, Words

# An index of this kind is never taken for one counted from the end, which would have to be asked about at each access.
_U = np.uint64


@helper
def tail_at(data: Bytes, at: int, end: int) -> tuple[np.uint64, np.uint64]:
    """The last bytes of a text, at most 16, as two numbers."""
    low, high = np.uint64(0), np.uint64(0)
    for index in range(min(8, end - at)):
        low |= np.uint64(data[at + index]) << np.uint64(8 * index)
    for index in range(8, end - at):
        high |= np.uint64(data[at + index]) << np.uint64(8 * index - 64)
    return low, high


@inlined
def block_at(data: Bytes, at: int, end: int) -> tuple[np.uint64, np.uint64]:
    """16 bytes as two numbers; what lies behind ``end`` is not read."""
    if at + 16 <= end:
        return load64(data, at), load64(data, at + 8)
    return tail_at(data, at, end)


@kernel
def first_blocks(data: Bytes, edges: Edges, ends: Numbers, whole: bool, ready: Written[Numbers], rows: Written[Rows]) -> int:
    """The first block of every message.

    This loop and the two below decide nothing about a message, they only look up and add: which way it would go is chance, and a processor
    that guesses wrong loses more time than a block takes.

    Args:
        data: All messages, one behind the other.
        edges: Where each message starts and the last one ends.
        ends: What is added to a message's first block and which of its bytes count, see ``lockstep.by_rest``.
        whole: Whether padding always follows.
        ready: Out: what to encrypt, two numbers a message.
        rows: Out: the messages that have another block.

    Returns:
        How many have another block.
    """
    size, more, going = len(data), 15 if whole else 16, _U(0)
    for row in range(len(edges) - 1):
        rest = edges[row + 1] - edges[row]
        low, high = block_at(data, edges[row], size)
        kind, place = _U(min(rest, 33)) * _U(4), _U(row) * _U(2)
        low, high = (low & ends[kind]) ^ ends[kind + _U(2)], (high & ends[kind + _U(1)]) ^ ends[kind + _U(3)]
        ready[place], ready[place + _U(1)] = low, high
        rows[going] = row
        going += _U(rest > more)
    return int(going)


@kernel
def next_blocks(step: int, data: Bytes, edges: Edges, ends: Numbers, rows: Rows, count: int, macs: Numbers, ready: Written[Numbers]) -> None:
    """Block ``step`` of some messages, and what the blocks before have come to.

    Args:
        step: Which block, from 1.
        data: All messages, one behind the other.
        edges: Where each message starts and the last one ends.
        ends: As in ``first_blocks``, for a block that is not the first.
        rows: The messages that have this block.
        count: How many they are.
        macs: What the blocks before have come to, two numbers a message.
        ready: Out: what to encrypt, in the order of ``rows``.
    """
    size = len(data)
    for index in range(count):
        row = _U(rows[index])
        at = edges[row] + (step << 4)
        low, high = block_at(data, at, size)
        kind, state, place = _U(min(edges[row + _U(1)] - at, 33)) * _U(4), row * _U(2), _U(index) * _U(2)
        low = (low & ends[kind]) ^ ends[kind + _U(2)] ^ macs[state]
        high = (high & ends[kind + _U(1)]) ^ ends[kind + _U(3)] ^ macs[state + _U(1)]
        ready[place], ready[place + _U(1)] = low, high


@kernel
def settle(step: int, edges: Edges, whole: bool, rows: Written[Rows], count: int, state: Numbers, macs: Written[Numbers]) -> int:
    """Puts what a step has come to where it belongs.

    Args:
        step: Which block it was, from 1.
        edges: Where each message starts and the last one ends.
        whole: Whether padding always follows.
        rows: The messages that had this block; on return those that have another.
        count: How many they were.
        state: What came of it, in the order of ``rows``.
        macs: Out: the same, two numbers a message.

    Returns:
        How many have another block.
    """
    more, going = (step << 4) + (15 if whole else 16), _U(0)
    for index in range(count):
        row, place = _U(rows[index]), _U(index) * _U(2)
        low, high = state[place], state[place + _U(1)]
        macs[row * _U(2)], macs[row * _U(2) + _U(1)] = low, high
        rows[going] = row
        going += _U(edges[row + _U(1)] - edges[row] > more)
    return int(going)


@inlined
def spelt(forty: np.uint64) -> np.uint64:
    """Eight characters of base32hex, in order of memory, of 40 bits."""
    halves = (forty >> np.uint64(20)) | ((forty & np.uint64(0xFFFFF)) << np.uint64(32))
    quarters = ((halves >> np.uint64(10)) & np.uint64(0x000003FF000003FF)) | ((halves & np.uint64(0x000003FF000003FF)) << np.uint64(16))
    fives = ((quarters >> np.uint64(5)) & np.uint64(0x001F001F001F001F)) | ((quarters & np.uint64(0x001F001F001F001F)) << np.uint64(8))
    letters = ((fives + np.uint64(0x7676767676767676)) >> np.uint64(7)) & np.uint64(0x0101010101010101)
    return fives + np.uint64(0x3030303030303030) + letters * np.uint64(39)


@kernel
def spell_fixed(macs: Numbers, prefix: Bytes, size: int, scratch: Written[Numbers], text: Written[Bytes]) -> None:
    """The prefix and 24 characters for the first 15 bytes of each MAC.

    Args:
        macs: The MACs, two numbers each.
        prefix: What each token begins with, filled up to 8 bytes.
        size: How many of them count.
        scratch: Room for three numbers of each token that is spelt at a time.
        text: Out: the tokens, one behind the other.
    """
    width, begin = size + 24, load64(prefix, 0)
    # Eight characters of many tokens at a time: the compiler makes vector instructions of the first loop, since nothing in it is unaligned.
    most = len(scratch) // 3
    first, second, third = scratch[:most], scratch[most : 2 * most], scratch[2 * most :]
    count = len(text) // width
    for start in range(0, count, most):
        run = min(most, count - start)
        some = macs[2 * start : 2 * (start + run)]
        for row in range(run):
            low, high = swap64(some[2 * row]), swap64(some[2 * row + 1])
            first[row] = spelt(low >> np.uint64(24))
            second[row] = spelt(((low & np.uint64(0xFFFFFF)) << np.uint64(16)) | (high >> np.uint64(48)))
            third[row] = spelt((high >> np.uint64(8)) & np.uint64(0xFFFFFFFFFF))
        at = start * width
        for row in range(run):
            store64(text, at, begin)
            store64(text, at + size, first[row])
            store64(text, at + size + 8, second[row])
            store64(text, at + size + 16, third[row])
            at += width


@helper
def spell(blocks: Bytes, held: int, prefix: Bytes, size: int, text: Written[Bytes]) -> None:
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


@kernel
def spell_blocks(blocks: Bytes, prefix: Bytes, size: int, text: Written[Bytes]) -> None:
    """As ``spell``, for all 16 bytes of each block: 26 characters."""
    spell(blocks, 16, prefix, size, text)


@kernel
def tell_apart(
    data: Bytes, edges: Edges, masks: Words, slots: Written[Rows], heads: Written[Words], firsts: Written[Edges], codes: Written[Rows]
) -> int:
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
        low, high = low & masks[2 * held], high & masks[2 * held + 1]
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
                heads[2 * known], heads[2 * known + 1] = low, high
                firsts[known] = row
                code = known
                known += 1
            elif heads[2 * code] != low or heads[2 * code + 1] != high:
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
