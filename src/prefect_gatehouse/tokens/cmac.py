"""Tokens that can't be turned back: AES-CMAC (NIST SP 800-38B, RFC 4493) with a 256-bit key, in lock-step over whole columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from prefect_gatehouse.tokens.base32hex import Bytes, encode
from prefect_gatehouse.tokens.columns import canonical_text, groups, over_unique, text_bytes
from prefect_gatehouse.tokens.keys import RootKey

PREFIX = "c1_"
"""Scheme and version; a token of another version is another token."""

VERSION = 1
# 120 bits: 24 characters exactly, and among 10^9 values a collision has the probability 4e-19 (n^2 / 2^121).
TOKEN_BYTES = 15

_BLOCK = 16
# The last byte of the field polynomial for a 128-bit block (SP 800-38B, section 5.3).
_R128 = 0x87
# Bytes of padded text that one step holds at once: small enough for the cache, large enough for one call of the cipher.
_STEP = 1 << 20


def tokenise(array: pa.Array | pa.ChunkedArray, root: RootKey, *, tenant: str, join_domain: str) -> pa.Array:
    """A token for each value; equal values of one tenant and join domain get equal tokens, nulls stay null.

    Raises:
        DataRefused: The column's type has no single text form.
        InputError: The tenant or the join domain is empty.
    """
    key = root.derive(tenant, join_domain, "cmac", VERSION)

    def tokens_of(values: pa.Array) -> pa.Array:
        data, edges = text_bytes(values)
        return _texts(encode(mac(key, data, edges)[:, :TOKEN_BYTES]))

    return over_unique(canonical_text(array), tokens_of)


def mac(key: bytes, data: Bytes, edges: npt.NDArray[np.int64]) -> Bytes:
    """The CMAC (n, 16) of each of n messages.

    Args:
        key: 16, 24 or 32 bytes.
        data: All messages, one behind the other.
        edges: Where each message starts and the last one ends, n + 1 offsets into ``data``.
    """
    cipher = Cipher(AES(key), ECB()).encryptor()  # noqa: S305  CMAC is made of the bare block cipher
    whole_key = _double(cipher.update(bytes(_BLOCK)))
    padded_key = _double(whole_key.tobytes())
    starts, lengths = edges[:-1], np.diff(edges)
    macs = np.empty((len(starts), _BLOCK), np.uint8)
    for blocks, rows in groups(np.maximum(1, -(-lengths // _BLOCK))):
        at_once = max(1, _STEP // (blocks * _BLOCK))
        for first in range(0, len(rows), at_once):
            part = rows[first : first + at_once]
            text = _padded(data, starts[part], lengths[part], blocks * _BLOCK)
            whole = (lengths[part] == blocks * _BLOCK)[:, None]
            text[:, -_BLOCK:] ^= np.where(whole, whole_key, padded_key)
            macs[part] = _chain(cipher, text)
    return macs


def _double(block: bytes) -> Bytes:
    """Multiplication by x in the field of the block: the subkeys K1 and K2 (SP 800-38B, section 6.1)."""
    number = int.from_bytes(block, "big") << 1
    carry = number >> 128
    return np.frombuffer(((number ^ (_R128 * carry)) & ((1 << 128) - 1)).to_bytes(_BLOCK, "big"), np.uint8)


def _padded(data: Bytes, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], width: int) -> Bytes:
    """The messages as rows of one matrix, each with a single 1 bit behind it where it does not fill its last block."""
    places = np.arange(width)
    index = np.minimum(starts[:, None] + places, max(len(data) - 1, 0))
    text: Bytes = (data[index] if len(data) else np.zeros(index.shape, np.uint8)) * (places < lengths[:, None])
    short = np.flatnonzero(lengths < width)
    text[short, lengths[short]] = 0x80
    return text


def _chain(cipher: CipherContext, text: Bytes) -> Bytes:
    """CBC over the blocks of every row at once; the last state is the MAC."""
    state = np.zeros((len(text), _BLOCK), np.uint8)
    for at in range(0, text.shape[1], _BLOCK):
        state = np.frombuffer(cipher.update((state ^ text[:, at : at + _BLOCK]).tobytes()), np.uint8).reshape(-1, _BLOCK)
    return state


def _texts(characters: Bytes) -> pa.Array:
    """An Arrow string column of the prefix and each row of characters, written straight into its buffer."""
    rows, length = characters.shape
    width = len(PREFIX) + length
    text = np.empty((rows, width), np.uint8)
    text[:, : len(PREFIX)] = np.frombuffer(PREFIX.encode(), np.uint8)
    text[:, len(PREFIX) :] = characters
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(width)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(text))
