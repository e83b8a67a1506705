"""Base32 with the extended hex alphabet (RFC 4648, section 7), lower case, without padding, over whole columns.

Lower case and digits only, because a database that compares without case must not take two tokens for one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

_ALPHABET = np.frombuffer(b"0123456789abcdefghijklmnopqrstuv", np.uint8)
_INVALID = 255
_VALUES = np.full(256, _INVALID, np.uint8)
_VALUES[_ALPHABET] = np.arange(32, dtype=np.uint8)


def encode(data: Bytes) -> Bytes:
    """Characters (n, ceil(8 b / 5)) of n values of b bytes each."""
    rows, width = data.shape
    length = -(-width * 8 // 5)
    bits = np.zeros((rows, length * 5), np.uint8)
    bits[:, : width * 8] = np.unpackbits(data, axis=1)
    fives = np.zeros((rows, length, 8), np.uint8)
    fives[:, :, 3:] = bits.reshape(rows, length, 5)
    return _ALPHABET[np.packbits(fives, axis=2)[:, :, 0]]


def decode(characters: Bytes) -> tuple[Bytes, npt.NDArray[np.bool_]]:
    """Bytes (n, floor(5 c / 8)) of n texts of c characters each, and which of them are exactly what ``encode`` gives."""
    rows, length = characters.shape
    values = _VALUES[characters]
    width = length * 5 // 8
    bits = np.unpackbits(values[:, :, None], axis=2)[:, :, 3:].reshape(rows, length * 5)
    good = np.all(values != _INVALID, axis=1) & ~np.any(bits[:, width * 8 :], axis=1)
    if -(-width * 8 // 5) != length:
        good[:] = False
    return np.packbits(bits[:, : width * 8], axis=1), good
