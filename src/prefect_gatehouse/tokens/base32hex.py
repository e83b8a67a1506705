"""Base32 with the extended hex alphabet (RFC 4648, section 7), lower case, without padding, over whole columns.

Lower case and digits only, because a database that compares without case must not take two tokens for one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]

# Splitting 40 bits into eight fives by halving: how far, and which bits of each part stay low and which move up.
_HALVES = ((20, 0xFFFFF, 32), (10, 0x000003FF000003FF, 16), (5, 0x001F001F001F001F, 8))
_EACH_BYTE = 0x0101010101010101
# Added to a five, this carries into the eighth bit exactly where the character is a letter: 118 + 10 = 128.
_FROM_TEN = 118 * _EACH_BYTE


def characters(width: int) -> int:
    """How many characters ``width`` bytes have."""
    return -(-width * 8 // 5)


def room(width: int) -> int:
    """How many bytes ``encode_in`` needs to read for ``width`` bytes: groups of 5, the last one read as 8."""
    return -(-width // 5) * 5 + 3


def encode(data: Bytes) -> Bytes:
    """Characters (n, ceil(8 b / 5)) of n values of b bytes each."""
    rows, width = data.shape
    padded = np.zeros((rows, room(width)), np.uint8)
    padded[:, :width] = data
    return encode_in(padded, width)


def encode_in(padded: Bytes, width: int) -> Bytes:
    """Characters (n, ceil(8 b / 5)) of the first b bytes of n contiguous rows of ``room(b)`` bytes each, zero behind the b."""
    rows, length = padded.shape
    eights = np.ndarray((rows, -(-width // 5)), ">u8", padded.data, 0, (length, 5)).astype(np.uint64)
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


def decode(text: Bytes) -> tuple[Bytes, npt.NDArray[np.bool_]]:
    """Bytes (n, floor(5 c / 8)) of n texts of c characters each, and which of them are exactly what ``encode`` gives."""
    rows, length = text.shape
    width = length * 5 // 8
    if characters(width) != length:
        return np.zeros((rows, width), np.uint8), np.zeros(rows, np.bool_)
    groups = -(-length // 8)
    padded = np.full((rows, groups * 8), ord("0"), np.uint8)
    padded[:, :length] = text
    eights = padded.view("<u8").astype(np.uint64, copy=False)
    # Bit 6 tells letters from digits: "0" has 16 in its lower five bits, "a" has 1 and stands for 10.
    part = eights >> np.uint64(6)
    part &= np.uint64(_EACH_BYTE)
    part *= np.uint64(25)
    eights &= np.uint64(0x1F * _EACH_BYTE)
    eights += part
    eights -= np.uint64(16 * _EACH_BYTE)
    for right, mask, left in reversed(_HALVES):
        np.bitwise_and(eights, np.uint64(mask), out=part)
        part <<= np.uint64(right)
        eights >>= np.uint64(left)
        eights &= np.uint64(mask)
        eights |= part
    data = eights.astype(">u8").view(np.uint8).reshape(rows, groups, 8)[:, :, 3:].reshape(rows, groups * 5)[:, :width]
    # Other characters came out as something: what does not give the same text again was none.
    return data, np.all(encode(data) == text, axis=1)
