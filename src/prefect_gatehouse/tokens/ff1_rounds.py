"""The rounds of FF1 (NIST SP 800-38G Rev. 1, algorithms 7 and 8) over many values of one length at once, in 64-bit arithmetic.

Two facts make a round one block of AES a value. The first block P and all of Q but its last block are the same for every value of a length,
so the state of the CBC chain behind them is computed once. And where half of a value stays below 2^62, its number takes at most 8 bytes
(b) of the last block, and the 8 or 12 bytes (d) that become y come from the one block that the chain ends with.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from prefect_gatehouse.tokens.aes import BLOCK, BlockCipher, xor
from prefect_gatehouse.tokens.base32hex import Bytes

Numbers = npt.NDArray[np.uint64]

ROUNDS = 10
ROWS = 8192
"""Values in one step: two blocks and two halves of each (384 KiB) stay in the second cache."""

LIMIT = 1 << 62
"""Half a value stays below it here: twice that is still a signed number of 64 bits, which the correction of a quotient needs."""

_HALF = 32


@dataclass(frozen=True, repr=False)
class Length:
    """What FF1 fixes for values of one length under one key and tweak.

    Attributes:
        cipher: AES under the key.
        tweak: The tweak.
        radix: Characters of the alphabet.
        length: Numerals of a value (n).
    """

    cipher: BlockCipher
    tweak: bytes
    radix: int
    length: int

    @property
    def left(self) -> int:
        """Numerals of the first half (u)."""
        return self.length // 2

    @property
    def right(self) -> int:
        """Numerals of the second half (v)."""
        return self.length - self.left

    @cached_property
    def number_bytes(self) -> int:
        """Bytes of a half as a number (b), that is of radix^v - 1."""
        return ((self.moduli[1] - 1).bit_length() + 7) // 8

    @property
    def drawn_bytes(self) -> int:
        """Bytes that a round draws from the cipher (d)."""
        return 4 * -(-self.number_bytes // 4) + 4

    @cached_property
    def moduli(self) -> tuple[int, int]:
        """What the first and the second half are reduced by: radix^u and radix^v."""
        first: int = self.radix**self.left
        second: int = self.radix**self.right
        return first, second

    @property
    def short(self) -> bool:
        """Whether the arithmetic of this module holds."""
        return self.moduli[1] <= LIMIT

    @cached_property
    def start(self) -> tuple[bytes, bytes]:
        """The state of the chain before the blocks that differ, and those blocks with round and number left zero."""
        first = bytes([1, 2, 1]) + self.radix.to_bytes(3, "big") + bytes([ROUNDS, self.left % 256])
        first += self.length.to_bytes(4, "big") + len(self.tweak).to_bytes(4, "big")
        width = self.number_bytes + 1
        text = self.tweak + bytes(-(len(self.tweak) + width) % BLOCK + width)
        # The number and the round differ; blocks before the one in which the round stands do not.
        constant = (len(text) - width) // BLOCK * BLOCK
        return self.cipher.chain(bytes(BLOCK), np.frombuffer(first + text[:constant], np.uint8)), text[constant:]

    @cached_property
    def blocks(self) -> Numbers:
        """The last block of each round with the chain's state and without the number: (10, 2), big-endian words."""
        state, block = self.start
        rounds = [xor(xor(state, block), (number << 8 * self.number_bytes).to_bytes(BLOCK, "big")) for number in range(ROUNDS)]
        return np.frombuffer(b"".join(rounds), ">u8").astype(np.uint64).reshape(ROUNDS, 2)


class Scratch:
    """The memory that a step works in; one thread at a time."""

    def __init__(self) -> None:
        self.ready = np.empty((ROWS, 2), np.uint64)
        # The cipher asks for 15 bytes more than it writes.
        self.drawn = np.empty((ROWS + 1, 2), np.uint64)

    def encrypt(self, cipher: BlockCipher, rows: int) -> None:
        """The cipher over the first blocks of ``ready``, into ``drawn``."""
        cipher.encrypt(_bytes(self.ready[:rows]), _bytes(self.drawn[: rows + 1]))


def turn(length: Length, halves: tuple[Numbers, Numbers], scratch: Scratch, *, back: bool) -> None:
    """All ten rounds, in place.

    Args:
        length: The constants; ``length.short`` holds.
        halves: The first and the second half of each value as numbers, up to ``ROWS`` of them.
        scratch: Memory to work in.
        back: Decrypt.
    """
    rows = len(halves[0])
    blocks = length.blocks
    for number in reversed(range(ROUNDS)) if back else range(ROUNDS):
        # Round i adds to the first half in even rounds and to the second in odd ones, so nothing is ever swapped.
        target, other = halves[number % 2], halves[1 - number % 2]
        modulus = length.moduli[number % 2]
        ready = scratch.ready[:rows]
        np.bitwise_xor(other, blocks[number, 1], out=ready[:, 1])
        ready[:, 0] = blocks[number, 0]
        _big_endian(ready)
        scratch.encrypt(length.cipher, rows)
        drawn = _remainders(scratch.drawn[:rows], length.drawn_bytes, modulus)
        # A number below zero has wrapped to a huge one, so of the two candidates the smaller is right.
        if back:
            np.subtract(target, drawn, out=target)
            np.minimum(target, target + np.uint64(modulus), out=target)
        else:
            np.add(target, drawn, out=target)
            np.minimum(target, target - np.uint64(modulus), out=target)


def _remainders(drawn: Numbers, size: int, modulus: int) -> Numbers:
    """The first 8 or 12 bytes of each block as a number, modulo ``modulus``."""
    divisor = np.uint64(modulus)
    rest = _native(drawn[:, 0])
    rest -= rest // divisor * divisor
    if size == 8:
        return rest
    low = _native(drawn[:, 1]) >> np.uint64(_HALF)
    # The quotient in doubles: below 2^32, so wrong by at most one (IEEE 754), and its remainder lies between -modulus and 2 modulus.
    quotient = ((rest * float(1 << _HALF) + low) * (1.0 / modulus)).astype(np.uint64)
    rest <<= np.uint64(_HALF)
    rest += low
    rest -= quotient * divisor
    np.minimum(rest, rest + divisor, out=rest)
    np.minimum(rest, rest - divisor, out=rest)
    return rest


def join(numerals: Bytes, radix: int) -> Numbers:
    """Numerals (n, m), most significant first, as numbers."""
    numbers = np.zeros(len(numerals), np.uint64)
    for column in np.ascontiguousarray(numerals.T):
        numbers *= np.uint64(radix)
        numbers += column
    return numbers


def split(numbers: Numbers, radix: int, out: Bytes) -> None:
    """Numbers as numerals, the inverse of ``join``, into ``out`` (n, m)."""
    for place in reversed(range(out.shape[1])):
        rest = numbers // np.uint64(radix)
        out[:, place] = numbers - rest * np.uint64(radix)
        numbers = rest


def _native(words: Numbers) -> Numbers:
    return np.asarray(words.byteswap() if np.little_endian else words.copy(), np.uint64)


def _big_endian(words: Numbers) -> None:
    if np.little_endian:
        words.byteswap(inplace=True)


def _bytes(words: Numbers) -> Bytes:
    return words.reshape(-1).view(np.uint8)
