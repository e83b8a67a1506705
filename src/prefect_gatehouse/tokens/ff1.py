"""Tokens that keep the form of a number: FF1 (NIST SP 800-38G Rev. 1) with AES-256, in lock-step over whole columns.

Digits become digits and letters become letters, as many as there were; spaces and punctuation stay in place. The key's holder can turn a
token back. A token has no room for the key's version: whoever turns it back must know which one made it. The tweak of the tokens is empty,
since the key already belongs to one tenant, join domain and version.

FF1 is deterministic and of the size of its domain: 10^6 values of six digits are few, so equal values show, and whoever may ask for tokens
of chosen values can make a table. FF3 is not offered: NIST has withdrawn it.
"""

from __future__ import annotations

import threading
from types import ModuleType

import numpy as np
import pyarrow as pa

from prefect_gatehouse.errors import DataRefused, InputError, Tampered
from prefect_gatehouse.manifest.columns import Alphabet as Name
from prefect_gatehouse.never_printed import NeverPrinted
from prefect_gatehouse.plurals import counted
from prefect_gatehouse.tokens import ff1_columns, tier
from prefect_gatehouse.tokens.columns import canonical_text, flat, is_text, text_bytes
from prefect_gatehouse.tokens.ff1_alphabet import LONGEST, Alphabet, named
from prefect_gatehouse.tokens.ff1_columns import Text
from prefect_gatehouse.tokens.keys import RootKey
from prefect_gatehouse.tokens.token_format import column

_LONGEST_TWEAK = 1 << 16


def _load() -> ModuleType:
    from prefect_gatehouse.tokens import ff1_fused

    # Lengths of every path: small, middle and wide moduli, odd and even, with characters that stay in between.
    for characters in ("0123456789", "abcdefghijklmnopqrstuvwxyz", "".join(map(chr, range(48, 112)))):
        sample = Alphabet(characters)
        texts = [(characters * 5)[:size] for size in range(sample.shortest, 20)]
        data = np.frombuffer("".join([*texts, *(f"{text[:3]} {text[3:]}" for text in texts)]).encode(), np.uint8)
        edges = np.cumsum([0, *map(len, texts), *(len(text) + 1 for text in texts)])
        for back in (False, True):
            results = []
            for fused in (None, ff1_fused):
                text = Text(bytes(range(32)), b"", sample)
                results.append(text.turn(data, edges, ff1_columns.measure(data, edges, sample, fused), back=back, fused=fused).tobytes())
            if results[0] != results[1]:
                raise AssertionError("the compiled tier differs from numpy")
    return ff1_fused


# Measured: loading takes 0.06 s of CPU time (2.1 s where nothing is in the cache yet) and then saves about 250 ns a value.
FUSED = tier.Fused(_load, pays_after=1_500_000)
"""The compiled tier."""


class Tokeniser(NeverPrinted):
    """Tokens of one tenant, join domain and alphabet; made once, called for each batch.

    Threads may share one. It can't be pickled: another process makes its own from the root key.

    Args:
        root: The root key.
        tenant: Tokens of different tenants never match.
        join_domain: Columns with the same join domain get the same tokens.
        alphabet: Characters that become others; all other letters and digits are refused.
        version: The root key's version, the current one unless given.

    Raises:
        InputError: The tenant or the join domain is empty, or the version or the alphabet is unknown.
    """

    def __init__(self, root: RootKey, *, tenant: str, join_domain: str, alphabet: Name = "digits", version: int | None = None) -> None:
        self._turn = _Turn(root.derive(tenant, join_domain, "ff1", version), b"", named(alphabet))

    def __call__(self, array: pa.Array | pa.ChunkedArray) -> pa.Array:
        """A token for each value; nulls stay null.

        Args:
            array: A column of text or whole numbers, which are taken in decimal digits.

        Returns:
            Text, since a token may begin with zeros: ``string``, or ``large_string`` from 2 GiB on.

        Raises:
            DataRefused: Some values have no token (the message counts them), or the column's type has no single text form.
        """
        return self._turn(array, back=False)

    def back(self, array: pa.Array | pa.ChunkedArray) -> pa.Array:
        """The text behind each token; nulls stay null.

        FF1 can't tell whether a token was made with this key: with another one, other values come back.

        Raises:
            Tampered: Some texts can't be tokens of this alphabet; the message counts them.
        """
        return self._turn(array, back=True)


def tokenise(
    array: pa.Array | pa.ChunkedArray,
    root: RootKey,
    *,
    tenant: str,
    join_domain: str,
    alphabet: Name = "digits",
    version: int | None = None,
) -> pa.Array:
    """A token for each value, see ``Tokeniser``."""
    return Tokeniser(root, tenant=tenant, join_domain=join_domain, alphabet=alphabet, version=version)(array)


def detokenise(
    array: pa.Array | pa.ChunkedArray,
    root: RootKey,
    *,
    tenant: str,
    join_domain: str,
    alphabet: Name = "digits",
    version: int | None = None,
) -> pa.Array:
    """The text behind each token, see ``Tokeniser.back``; ``version`` is the one that made the tokens."""
    return Tokeniser(root, tenant=tenant, join_domain=join_domain, alphabet=alphabet, version=version).back(array)


def encrypt(values: pa.Array | pa.ChunkedArray, key: bytes, tweak: bytes, characters: str) -> pa.Array:
    """FF1 itself, as the standard's samples call it.

    Args:
        values: A column of text.
        key: 16, 24 or 32 bytes.
        tweak: Up to 65,535 bytes.
        characters: The alphabet, in order.

    Raises:
        DataRefused: Some values are too short, too long, or hold letters or digits that are not of the alphabet.
        InputError: The key, the tweak or the alphabet is none.
    """
    return _Turn(key, tweak, Alphabet(characters))(values, back=False)


def decrypt(tokens: pa.Array | pa.ChunkedArray, key: bytes, tweak: bytes, characters: str) -> pa.Array:
    """The inverse of ``encrypt``.

    Raises:
        Tampered: Some texts can't have come from ``encrypt``.
        InputError: The key, the tweak or the alphabet is none.
    """
    return _Turn(key, tweak, Alphabet(characters))(tokens, back=True)


def legal(array: pa.Array | pa.ChunkedArray, alphabet: Name = "digits") -> pa.Array:
    """Which values have a token, as booleans; null where there is no value. For whoever sets malformed rows aside.

    Raises:
        DataRefused: The column's type has no single text form.
    """
    chosen, text = named(alphabet), canonical_text(array)
    data, edges = text_bytes(text.drop_null())
    good = ff1_columns.legal(ff1_columns.measure(data, edges, chosen, None), chosen)
    there = text.is_valid().to_numpy(zero_copy_only=False)
    return pa.array(good).take(pa.array(np.cumsum(there) - 1, mask=~there))


class _Turn(NeverPrinted):
    """FF1 under one key over Arrow columns."""

    def __init__(self, key: bytes, tweak: bytes, alphabet: Alphabet) -> None:
        if len(key) not in (16, 24, 32):
            raise InputError("a key of FF1 is 16, 24 or 32 bytes", where="key")
        if len(tweak) >= _LONGEST_TWEAK:
            raise InputError(f"a tweak of FF1 is shorter than {_LONGEST_TWEAK} bytes", where="tweak")
        self._key, self._tweak, self._alphabet = key, tweak, alphabet
        self._tier = tier.wanted()
        self._own = threading.local()

    def __call__(self, array: pa.Array | pa.ChunkedArray, *, back: bool) -> pa.Array:
        array = flat(array)
        if back and not is_text(array.type) and not pa.types.is_null(array.type):
            raise Tampered("the column does not hold tokens of FF1, which are text", where="detokenise")
        text = canonical_text(array)
        values = text.drop_null() if text.null_count else text
        data, edges = text_bytes(values)
        fused = FUSED.for_rows(len(values), self._tier)
        counts = ff1_columns.measure(data, edges, self._alphabet, fused)
        found = ff1_columns.unfit(counts, self._alphabet)
        if found.short or found.long or found.foreign:
            raise _refusal(found, self._alphabet, len(values), back)
        turned = self._text.turn(data, edges, counts, back=back, fused=fused)
        return column(turned, edges - edges[0] if edges[0] else edges, text)

    @property
    def _text(self) -> Text:
        """The thread's own cipher and memory."""
        if not hasattr(self._own, "text"):
            self._own.text = Text(self._key, self._tweak, self._alphabet)
        text: Text = self._own.text
        return text


def _refusal(found: ff1_columns.Unfit, alphabet: Alphabet, values: int, back: bool) -> DataRefused | Tampered:
    reasons = [
        f"{count} {what}"
        for count, what in (
            (found.short, f"with fewer than {alphabet.shortest} characters of the alphabet"),
            (found.long, f"with more than {LONGEST} of them"),
            (found.foreign, "with letters, digits or signs beyond ASCII that are not of the alphabet and would stay in clear"),
        )
        if count
    ]
    count = found.short + found.long + found.foreign
    if back:
        message = f"{count} of {counted(values, 'value')} can't be tokens of FF1: {', '.join(reasons)}"
        return Tampered(message, where="detokenise", advice="check the column and its alphabet")
    message = f"{count} of {counted(values, 'value')} have no token of FF1: {', '.join(reasons)}"
    return DataRefused(message, advice="choose another alphabet, scheme siv or scheme cmac, or correct the source")
