"""CMAC over many messages at once (NIST SP 800-38B): step j encrypts block j of every message that has one.

What happens to the end of a message (padding, subkey, and what AES-SIV adds before it) depends only on how many bytes its last block
holds, so it is looked up in a table of 17 rows: one exclusive or instead of a decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prefect_gatehouse.never_printed import NeverPrinted
from prefect_gatehouse.tokens.aes import BLOCK, BlockCipher, double, words, xor
from prefect_gatehouse.tokens.base32hex import Bytes

Words = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.uint64]
"""Blocks one behind the other, two numbers each."""
Edges = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int32]

ROWS = 8192
"""Messages in one step: their states (128 KiB) stay in the cache, and one call of the cipher is long enough to cost nothing."""

TEXT = 1 << 20
"""Bytes of text that the numpy tier copies at once."""

# A block as one item, which numpy moves in one piece: no number is computed with it.
_ONE = np.complex128

# From this many blocks on a few messages that outlast all others are chained one by one: a step costs about 2 us however few they are,
# a message about 5 us.
_MANY_BLOCKS, _FEW_MESSAGES = 64, 32

MARKS: Words = words([(bytes(held) + b"\x80").ljust(BLOCK, b"\0") for held in range(BLOCK)] + [bytes(BLOCK)])
"""The padding behind a block that holds this many bytes: a single 1 bit, nothing behind a full one."""

MASKS: Words = words([b"\xff" * held + bytes(BLOCK - held) for held in range(BLOCK + 1)])
"""Which bytes of a last block belong to the message, by how many it holds."""


@dataclass(frozen=True, repr=False)
class Ends:
    """What is added to the last blocks of a message, by how many bytes the last one holds (0 to 16, two words each).

    ``whole`` says that padding always follows, so that 16 bytes of text fill one block and begin another; ``only`` goes to the block of a
    message that has no other, ``last`` to the last block of every other, and ``before`` to the one before that.
    """

    whole: bool
    only: Words
    last: Words
    before: Words

    @classmethod
    def of_cmac(cls, cipher: BlockCipher) -> Ends:
        """The padding and the subkeys K1 and K2 (SP 800-38B, section 6.2)."""
        first, second = subkeys(cipher)
        last = words([xor(_mark(held), first if held == BLOCK else second) for held in range(BLOCK + 1)])
        return cls(False, last, last, np.zeros_like(last))

    @classmethod
    def of_siv(cls, cipher: BlockCipher, vector: bytes, *, padded: bool) -> Ends:
        """What S2V does with its last string (RFC 5297, section 2.4), and CMAC then with the result.

        Args:
            cipher: The block cipher under the first half of the key.
            vector: The state of S2V before the last string: the same for all strings with the same associated data.
            padded: Whether 0x80 and zeros fill each string to whole blocks, at least one byte.
        """
        first, second = subkeys(cipher)
        if padded:
            last = words([xor(_mark(held), xor(vector, first)) for held in range(BLOCK)] + [bytes(BLOCK)])
            return cls(True, last, last, np.zeros_like(last))
        # A string of 16 bytes or more: the vector goes on its last 16 bytes, which lie in two blocks unless the last one is full.
        parts = [(vector[BLOCK - held :].ljust(BLOCK, b"\0"), vector[: BLOCK - held].rjust(BLOCK, b"\0")) for held in range(BLOCK + 1)]
        last = words([xor(tail, xor(_mark(held), first if held == BLOCK else second)) for held, (tail, _) in enumerate(parts)])
        # A shorter one is padded first, so its block is full for CMAC.
        only = words([xor(_mark(held), xor(vector if held == BLOCK else double(vector), first)) for held in range(BLOCK + 1)])
        return cls(False, only, last, words([head for _, head in parts]))


def subkeys(cipher: BlockCipher) -> tuple[bytes, bytes]:
    """K1 and K2 (SP 800-38B, section 6.1)."""
    first = double(cipher.block(bytes(BLOCK)))
    return first, double(first)


def _mark(held: int) -> bytes:
    return bytes(MARKS[held])


def blocks_of(lengths: npt.NDArray[np.int64], whole: bool) -> npt.NDArray[np.int64]:
    """How many blocks messages of these lengths have, at least one."""
    return (lengths + BLOCK) // BLOCK if whole else np.maximum(1, (lengths + BLOCK - 1) // BLOCK)


def by_rest(whole: bool, last: Words, before: Words) -> Numbers:
    """What happens to a block of a message, by how many bytes of the message begin with it, up to 33: more make no difference.

    Args:
        whole: As in ``Ends``.
        last: What is added to a last block.
        before: What is added to the block before the last one.

    Returns:
        34 times four numbers: which bytes count, and what is added to them.
    """
    table = np.zeros((34, 2, 2), np.uint64)
    table[:, 0] = MASKS[BLOCK]
    # With padding always behind, 16 bytes are followed by another block, which holds none of the message.
    lasts = BLOCK if whole else BLOCK + 1
    table[:lasts, 0], table[:lasts, 1] = MASKS[:lasts], last[:lasts]
    table[lasts : lasts + BLOCK, 1] = before[lasts - BLOCK :][:BLOCK]
    return table.reshape(-1)


@dataclass(frozen=True)
class Steps:
    """The compiled tier's functions of one step, as ``fused.py`` names and explains them."""

    first_blocks: Callable[[Bytes, Edges, Numbers, bool, Numbers, Rows], int]
    next_blocks: Callable[[int, Bytes, Edges, Numbers, Rows, int, Numbers, Numbers], None]
    settle: Callable[[int, Edges, bool, Rows, int, Numbers, Numbers], int]


class LockStep(NeverPrinted):
    """CMAC under one key, with the memory that it works in; one thread at a time, never pickled.

    Args:
        cipher: The block cipher under the key.
        ends: What is added to the last blocks.
    """

    def __init__(self, cipher: BlockCipher, ends: Ends) -> None:
        self._cipher = cipher
        self._ends = ends
        self._first, self._later = by_rest(ends.whole, ends.only, ends.before), by_rest(ends.whole, ends.last, ends.before)
        self._ready = np.empty((ROWS, 2), np.uint64)
        # The cipher asks for 15 bytes more than it writes.
        self._state, self._macs = np.empty((ROWS + 1, 2), np.uint64), np.empty((ROWS + 1, 2), np.uint64)
        self._rows = np.empty(ROWS, np.int32)
        self._text = np.zeros(TEXT + BLOCK, np.uint8)

    @classmethod
    def of_cmac(cls, key: bytes) -> LockStep:
        """Plain CMAC under a key of 16, 24 or 32 bytes."""
        cipher = BlockCipher(key)
        return cls(cipher, Ends.of_cmac(cipher))

    def macs(self, data: Bytes, edges: Edges, steps: Steps | None) -> Words:
        """The MACs of some messages, two words each.

        Args:
            data: All messages, one behind the other.
            edges: Where each message starts and the last one ends: n + 1 offsets into ``data``, n at most ``ROWS``.
            steps: The compiled tier, None for numpy.

        Returns:
            n + 1 rows, overwritten by the next call: the last one is room for whoever reads a MAC in pieces of 8 bytes.
        """
        macs = self._macs[: len(edges)]
        if steps is None:
            self._in_numpy(data, edges, macs[:-1])
        else:
            self._compiled(data, edges, macs, steps)
        return macs

    def all_macs(self, data: Bytes, edges: Edges, steps: Steps | None) -> Words:
        """The MACs (n, 2) of any number of messages, kept; the arguments are those of ``macs``."""
        macs = np.empty((len(edges) - 1, 2), np.uint64)
        for piece in pieces(edges):
            macs[piece] = self.macs(data, edges[piece.start : piece.stop + 1], steps)[:-1]
        return macs

    def _encrypt(self, count: int, out: Words) -> None:
        self._cipher.encrypt(_bytes(self._ready[:count]), _bytes(out[: count + 1]))

    def _compiled(self, data: Bytes, edges: Edges, macs: Words, steps: Steps) -> None:
        whole, rows = self._ends.whole, self._rows
        ready, state, done = self._ready.reshape(-1), self._state.reshape(-1), macs.reshape(-1)
        count = steps.first_blocks(data, edges, self._first, whole, ready, rows)
        self._encrypt(len(edges) - 1, macs)
        step = 1
        while count:
            if _few_long(step, count):
                for row in rows[:count].tolist():
                    macs[row] = self._chained(data[edges[row] : edges[row + 1]], step, macs[row])
                return
            steps.next_blocks(step, data, edges, self._later, rows, count, done, ready)
            self._encrypt(count, self._state)
            count = steps.settle(step, edges, whole, rows, count, state, done)
            step += 1

    def _in_numpy(self, data: Bytes, edges: Edges, macs: Words) -> None:
        lengths = np.diff(edges)
        blocks = blocks_of(lengths, self._ends.whole)
        most = int(blocks.max(initial=0))
        # Longest first: the messages that go on are always the first ones.
        fewer = most - blocks
        order = np.argsort(fewer.astype(np.uint16) if most < 1 << 16 else fewer, kind="stable")
        fewer, starts, lengths = fewer[order], edges[:-1][order], lengths[order]
        windows, base = self._windows(data, edges)
        done = np.empty_like(macs)
        reaches_back = bool(self._ends.before.any())
        now, step = len(macs), 0
        then = int(np.searchsorted(fewer, most - 1))  # how many have a block after this one
        while now:
            after = int(np.searchsorted(fewer, most - step - 2))  # and how many have two
            block = windows[starts[:now] + (step * BLOCK - base)].view(np.uint64).reshape(-1, 2)
            held = lengths[then:now] - step * BLOCK
            block[then:now] &= MASKS.take(held, axis=0)
            block[then:now] ^= (self._ends.last if step else self._ends.only).take(held, axis=0)
            if reaches_back and after < then:
                block[after:then] ^= self._ends.before.take(lengths[after:then] - (step + 1) * BLOCK, axis=0)
            if step:
                block ^= self._state[:now]
            self._ready[:now] = block
            self._encrypt(now, self._state)
            done[then:now] = self._state[then:now]
            now, then, step = then, after, step + 1
            if now and _few_long(step, now):
                for place in range(now):
                    message = data[starts[place] : starts[place] + lengths[place]]
                    done[place] = self._chained(message, step, self._state[place])
                break
        macs.view(_ONE)[order, 0] = done.view(_ONE)[:, 0]

    def _windows(self, data: Bytes, edges: Edges) -> tuple[npt.NDArray[np.bytes_], int]:
        """Sixteen bytes from every place of the text on: a view of a copy with room behind it, and where in ``data`` the copy begins."""
        first, end = int(edges[0]), int(edges[-1])
        # A single text that is longer than all others gets memory of its own, which is not kept.
        text = self._text if end - first <= TEXT else np.empty(end - first + BLOCK, np.uint8)
        text[: end - first] = data[first:end]
        return np.ndarray((end - first + 1,), f"S{BLOCK}", text.data, 0, (1,)), first

    def _chained(self, message: Bytes, step: int, state: Words) -> Words:
        """The MAC of one message whose first ``step`` blocks are in the state, and which has more."""
        blocks = int(blocks_of(np.array([len(message)]), self._ends.whole)[0])
        held = len(message) - (blocks - 1) * BLOCK
        rest = np.zeros(((blocks - step), 2), np.uint64)
        _bytes(rest)[: len(message) - step * BLOCK] = message[step * BLOCK :]
        rest[-1] ^= self._ends.last[held]
        if blocks - step > 1:
            rest[-2] ^= self._ends.before[held]
        return np.frombuffer(self._cipher.chain(state.tobytes(), _bytes(rest)), np.uint64)


def _bytes(numbers: Words) -> Bytes:
    return numbers.reshape(-1).view(np.uint8)


def _few_long(step: int, count: int) -> bool:
    return step >= _MANY_BLOCKS and count <= _FEW_MESSAGES


def pieces(edges: Edges) -> Iterator[slice]:
    """Cuts messages into runs of at most ``ROWS``, and of at most ``TEXT`` bytes where a single message is not longer."""
    first = 0
    while first < len(edges) - 1:
        end = int(np.searchsorted(edges, edges[first] + TEXT, side="right")) - 1
        end = max(first + 1, min(end, first + ROWS, len(edges) - 1))
        yield slice(first, end)
        first = end
