"""The bare block cipher over many blocks at once (AES, FIPS 197, as OpenSSL computes it), and arithmetic on its blocks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB

from prefect_gatehouse.never_printed import NeverPrinted
from prefect_gatehouse.tokens.base32hex import Bytes

BLOCK = 16
# The last byte of the field polynomial for a 128-bit block (SP 800-38B, section 5.3).
_R128 = 0x87


class BlockCipher(NeverPrinted):
    """AES under one key; never printed, never pickled, one thread at a time.

    Args:
        key: 16, 24 or 32 bytes.
    """

    __slots__ = ("_back", "_ecb", "_key")

    def __init__(self, key: bytes) -> None:
        self._key = AES(key)
        self._ecb = Cipher(self._key, ECB()).encryptor()  # noqa: S305  the modes on top are made of the bare cipher
        self._back: CipherContext | None = None

    def encrypt(self, blocks: Bytes, out: Bytes) -> None:
        """Encrypts each block on its own.

        Args:
            blocks: A whole number of blocks, contiguous.
            out: Where to; at least 15 bytes longer than ``blocks``, as OpenSSL's interface asks.
        """
        self._ecb.update_into(blocks.data, out.data)

    def decrypt(self, blocks: Bytes, out: Bytes) -> None:
        """The inverse of ``encrypt``, with the same arguments."""
        if self._back is None:  # most schemes never go back this way
            self._back = Cipher(self._key, ECB()).decryptor()  # noqa: S305  as above
        self._back.update_into(blocks.data, out.data)

    def block(self, block: bytes) -> bytes:
        """One block, encrypted."""
        return self._ecb.update(block)

    def chain(self, state: bytes, text: Bytes) -> bytes:
        """The last block of the text in CBC mode from a state: for a single long text faster than block by block."""
        return bytes(Cipher(self._key, CBC(state)).encryptor().update(text.tobytes())[-BLOCK:])


def double(block: bytes) -> bytes:
    """Multiplication by x in the field of the block (SP 800-38B, section 6.1; RFC 5297, section 2.3)."""
    number = int.from_bytes(block, "big") << 1
    carry = number >> 128
    return ((number ^ (_R128 * carry)) & ((1 << 128) - 1)).to_bytes(BLOCK, "big")


def xor(one: bytes, other: bytes) -> bytes:
    """The sum of two blocks in the field."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")


def words(blocks: list[bytes]) -> npt.NDArray[np.uint64]:
    """Blocks as rows of two numbers in the machine's byte order, which the exclusive or does not mind."""
    return np.frombuffer(b"".join(blocks), np.uint64).reshape(-1, 2)
