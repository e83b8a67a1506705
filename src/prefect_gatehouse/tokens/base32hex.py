"""Base32 with the extended hex alphabet (RFC 4648, section 7), lower case, without padding, over whole columns.

Lower case and digits only, because a database that compares without case must not take two tokens for one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]

_ALPHABET = np.frombuffer(b"0123456789abcdefghijklmnopqrstuv", np.uint8)
_INVALID = 255
_VALUES = np.full(256, _INVALID, np.uint8)
_VALUES[_ALPHABET] = np.arange(32, dtype=np.uint8)

# Splitting 40 bits into eight fives by halving: how far, and which bits of each part stay low and which move up.
_HALVES = ((20, 0xFFFFF, 32), (10, 0x000003FF000003FF, 16), (5, 0x001F001F001F001F, 8))
_EACH_BYTE = 0x0101010101010101
# Added to a five, this carries into the eighth bit exactly where the character is a letter: 118 + 10 = 128.
_FROM_TEN = 118 * _EACH_BYTE


def characters(width: int) -> int:
    """How many characters ``width`` bytes have."""
    return -(-width * 8 // 5)


def encode(data: Bytes) -> Bytes:
    """Characters (n, ceil(8 b / 5)) of n values of b bytes each."""
    rows, width = data.shape
    groups = -(-width // 5)
    # Each group of 5 bytes is read as 8, so the last one needs 3 more behind it.
    padded = np.zeros((rows, groups * 5 + 3), np.uint8)
    padded[:, :width] = data
    eights = np.ndarray((rows, groups), ">u8", padded.data, 0, (padded.shape[1], 5)).astype(np.uint64)
    return spell(eights)[:, : characters(width)]


def spell(eights: Words) -> Bytes:
    """Characters (n, 8 g) of n rows of g numbers, whose 40 highest bits count; the numbers are used up.

    All eight characters of a group are made at once, each in its own byte of a 64-bit number.
    """
    eights >>= np.uint64(24)
    low = np.empty_like(eights)
    for right, mask, left in _HALVES:
        np.bitwise_and(eights, np.uint64(mask), out=low)
        low <<= np.uint64(left)
        eights >>= np.uint64(right)
        eights &= np.uint64(mask)
        eights |= low
    np.add(eights, np.uint64(_FROM_TEN), out=low)
    low >>= np.uint64(7)
    low &= np.uint64(_EACH_BYTE)
    low *= np.uint64(ord("a") - ord("9") - 1)
    eights += low
    eights += np.uint64(ord("0") * _EACH_BYTE)
    return eights.astype("<u8", copy=False).view(np.uint8)


def decode(characters: Bytes) -> tuple[Bytes, npt.NDArray[np.bool_]]:
    """Bytes (n, floor(5 c / 8)) of n texts of c characters each, and which of them are exactly what ``encode`` gives."""
    rows, length = characters.shape
    width = length * 5 // 8
    groups = -(-length // 8)
    values = np.zeros((rows, groups * 8), np.uint8)
    values[:, :length] = _VALUES[characters]
    good = values.max(axis=1, initial=0) != _INVALID
    if -(-width * 8 // 5) != length:
        good[:] = False
    fives = values.view("<u8").astype(np.uint64)
    high = np.empty_like(fives)
    for right, mask, left in reversed(_HALVES):
        np.bitwise_and(fives, np.uint64(mask), out=high)
        high <<= np.uint64(right)
        fives >>= np.uint64(left)
        fives &= np.uint64(mask)
        fives |= high
    data = fives.astype(">u8").view(np.uint8).reshape(rows, groups, 8)[:, :, 3:].reshape(rows, groups * 5)
    good &= ~np.any(data[:, width:], axis=1)
    return np.ascontiguousarray(data[:, :width]), good
