"""Tokens that the key's holder can turn back: AES-SIV (RFC 5297) with AES-256 and the join domain as associated data.

Values are padded to whole blocks of 16 bytes first (ISO/IEC 7816-4: 0x80, then zeros), so that the length of a token does not
tell the length of a name or an address.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.tokens.base32hex import decode, encode
from prefect_gatehouse.tokens.columns import canonical_text, flat, groups, is_text, over_unique, text_bytes
from prefect_gatehouse.tokens.keys import RootKey

PREFIX = "s1_"
"""Scheme and version; a token of another version is another token."""

VERSION = 1
_BLOCK = 16


def tokenise(array: pa.Array | pa.ChunkedArray, root: RootKey, *, tenant: str, join_domain: str) -> pa.Array:
    """A reversible token for each value; equal values of one tenant and join domain get equal tokens, nulls stay null.

    Raises:
        DataRefused: The column's type has no single text form.
        InputError: The tenant or the join domain is empty.
    """
    cipher, domain = AESSIV(root.derive(tenant, join_domain, "siv", VERSION)), [join_domain.encode()]

    def tokens_of(values: pa.Array) -> pa.Array:
        sealed = [cipher.encrypt(_pad(value.encode()), domain) for value in values.to_pylist()]
        return pa.array(_spell(sealed), pa.string())

    return over_unique(canonical_text(array), tokens_of)


def detokenise(array: pa.Array | pa.ChunkedArray, root: RootKey, *, tenant: str, join_domain: str) -> pa.Array:
    """The text behind each token, as ``tokenise`` canonicalised it; nulls stay null.

    Raises:
        Tampered: At least one value is not a token of this key; the message holds their number and no value.
        InputError: The tenant or the join domain is empty.
    """
    array = flat(array)
    if pa.types.is_null(array.type):
        return array.cast(pa.string())
    if not is_text(array.type):
        raise Tampered("the column does not hold reversible tokens", where="detokenise")
    cipher, domain = AESSIV(root.derive(tenant, join_domain, "siv", VERSION)), [join_domain.encode()]

    def values_of(tokens: pa.Array) -> pa.Array:
        values = [_open(cipher, sealed, domain) for sealed in _read(tokens)]
        bad = sum(value is None for value in values)
        if bad:
            raise Tampered(
                f"{bad} of {len(values)} distinct tokens were not made with this key",
                where="detokenise",
                advice="check the root key's version, the tenant and the join domain",
            )
        return pa.array(values, pa.string())

    return over_unique(array.cast(pa.string()), values_of)


def _pad(value: bytes) -> bytes:
    return value + b"\x80" + bytes(-(len(value) + 1) % _BLOCK)


def _open(cipher: AESSIV, sealed: bytes | None, domain: list[bytes]) -> str | None:
    if sealed is None:
        return None
    try:
        value, mark, zeros = cipher.decrypt(sealed, domain).rpartition(b"\x80")
        return value.decode() if mark and len(zeros) < _BLOCK and not any(zeros) else None
    except (InvalidTag, ValueError):  # ValueError: too short for a vector, or not UTF-8
        return None


def _spell(sealed: list[bytes]) -> list[str]:
    """Ciphertexts as text, all of one length at once."""
    texts = [""] * len(sealed)
    for size, rows in groups(np.array([len(item) for item in sealed], np.int64)):
        data = np.frombuffer(b"".join(sealed[row] for row in rows), np.uint8).reshape(-1, size)
        for row, characters in zip(rows, encode(data), strict=True):
            texts[row] = PREFIX + characters.tobytes().decode("ascii")
    return texts


def _read(tokens: pa.Array) -> list[bytes | None]:
    """Ciphertexts of tokens, None where a text is not spelt as a token."""
    data, edges = text_bytes(tokens)
    sealed: list[bytes | None] = [None] * len(tokens)
    mark = np.frombuffer(PREFIX.encode(), np.uint8)
    for size, rows in groups(np.diff(edges)):
        if size <= len(mark):
            continue
        texts = data[edges[:-1][rows][:, None] + np.arange(size)]
        values, good = decode(texts[:, len(mark) :])
        good &= np.all(texts[:, : len(mark)] == mark, axis=1)
        for row, value in zip(rows[good], values[good], strict=True):
            sealed[row] = value.tobytes()
    return sealed
