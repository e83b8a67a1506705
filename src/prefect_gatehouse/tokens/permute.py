"""A keyed permutation of the whole numbers of 64 bits: six rounds of a Feistel network with AES-256 as the round functions.

A number becomes another one, no two the same, and the key's holder can turn it back; joins, indexes and columns of integers stay what they
are. The two halves of 32 bits take turns (Luby and Rackoff 1988); each round encrypts one half, in a block of zeros, under a key of its own
and adds the first 32 bits to the other. For round functions drawn at random, six rounds can't be told from a random permutation of
2^64 numbers by anyone who may ask for far fewer than 2^32 of them, in both directions (Patarin, "Security of Random Feistel Schemes with 5 or
more Rounds", CRYPTO 2004). FF1 with radix 2 and length 64 has ten rounds and costs that much more.

One tier only: of 20 ns a number the cipher takes 13, and compiled code saved one.

A token is a number and has no room for the key's version: whoever turns it back must know which one made it.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.errors import DataRefused, InputError, Tampered
from prefect_gatehouse.tokens.aes import BlockCipher
from prefect_gatehouse.tokens.base32hex import Bytes
from prefect_gatehouse.tokens.columns import flat, is_text, text_bytes
from prefect_gatehouse.tokens.keys import RootKey, derive_key

ROUNDS = 6

_KEY_BYTES = 32
# Values in one step: the blocks in and out (512 KiB) stay in the second cache, and a call of the cipher or of numpy costs little.
_ROWS = 1 << 14
# Whole numbers up to here are exact in a double (IEEE 754, 53 bits).
_EXACT = 2**53
_NIBBLES = np.zeros(256, np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)
_HEX_DIGITS = 16
_IS_HEX = r"\A[0-9a-f]{16}\z"
_IS_WHOLE = r"\A(?:0|-?[1-9][0-9]{0,18})\z"

Words = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.int64]


class Tokeniser:
    """Tokens of one tenant and join domain; made once, called for each batch.

    Threads may share one. It can't be pickled: another process makes its own from the root key.

    Args:
        root: The root key.
        tenant: Tokens of different tenants never match.
        join_domain: Columns with the same join domain get the same tokens.
        version: The root key's version, the current one unless given.

    Raises:
        InputError: The tenant or the join domain is empty, or the version is unknown.
    """

    def __init__(self, root: RootKey, *, tenant: str, join_domain: str, version: int | None = None) -> None:
        self._key = root.derive(tenant, join_domain, "permute", version)
        self._own = threading.local()

    def __repr__(self) -> str:
        return "Tokeniser(**********)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a tokeniser is never pickled")

    def __call__(self, array: pa.Array | pa.ChunkedArray) -> pa.Array:
        """A number of type ``int64`` for each value; nulls stay null.

        Args:
            array: Whole numbers of any width, or doubles that all are whole numbers; equal numbers of different types get one token.

        Raises:
            DataRefused: The column holds something else, or numbers beyond 64 bits with sign.
        """
        return self._turn(_whole(array), back=False)

    def text(self, array: pa.Array | pa.ChunkedArray) -> pa.Array:
        """The same as text: 16 hexadecimal digits in lower case, of the number in two's complement."""
        return to_hex(self(array))

    def back(self, array: pa.Array | pa.ChunkedArray) -> pa.Array:
        """The number behind each token, given as a number or as text; nulls stay null.

        Every number is a token under every key: with another key, other numbers come back.

        Raises:
            Tampered: The column holds neither ``int64`` nor such text.
        """
        array = flat(array)
        if pa.types.is_null(array.type):
            array = array.cast(pa.int64())
        if not pa.types.is_int64(array.type):
            array = from_hex(array)
        return self._turn(array, back=True)

    def _turn(self, array: pa.Array, *, back: bool) -> pa.Array:
        numbers = self._permutation.turn(_numbers(array), back=back)
        if array.null_count:
            # What stands under a null is no value: no token of it stays in the buffer.
            numbers[array.is_null().to_numpy(zero_copy_only=False)] = 0
        validity = array.is_valid().buffers()[1] if array.null_count else None
        return pa.Array.from_buffers(pa.int64(), len(numbers), [validity, pa.py_buffer(numbers)])

    @property
    def _permutation(self) -> Permutation:
        """The thread's own ciphers and memory."""
        if not hasattr(self._own, "permutation"):
            self._own.permutation = Permutation(self._key)
        permutation: Permutation = self._own.permutation
        return permutation


class Permutation:
    """The permutation under one key; one thread at a time, never pickled.

    Args:
        key: 32 bytes.

    Raises:
        InputError: The key is of another length.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise InputError("a key of the permutation is 32 bytes", where="key")
        keys = derive_key(key, ROUNDS * _KEY_BYTES, ("gatehouse permutation", "rounds"))
        self._ciphers = [BlockCipher(keys[at : at + _KEY_BYTES]) for at in range(0, len(keys), _KEY_BYTES)]
        # The first of four words of a block is a half, the others stay zero.
        self._ready = np.zeros((_ROWS, 4), "<u4")
        # The cipher asks for 15 bytes more than it writes.
        self._drawn = np.empty((_ROWS + 1, 4), "<u4")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a cipher is never pickled")

    def turn(self, numbers: Numbers, *, back: bool) -> Numbers:
        """Another number for each number, or the number behind it.

        Args:
            numbers: Any numbers of 64 bits.
            back: Decrypt.
        """
        out = np.empty(len(numbers), "<i8")
        order = range(ROUNDS - 1, -1, -1) if back else range(ROUNDS)
        for at in range(0, len(numbers), _ROWS):
            part = np.ascontiguousarray(numbers[at : at + _ROWS], "<i8").view("<u4").reshape(-1, 2)
            rows = len(part)
            ready, drawn = self._ready[:rows], self._drawn[:rows]
            # Round i adds to the lower half if i is even and to the upper one if it is odd, so nothing is ever swapped.
            halves = part[:, 0].copy(), part[:, 1].copy()
            for number in order:
                target, other = halves[number % 2], halves[1 - number % 2]
                ready[:, 0] = other
                self._ciphers[number].encrypt(_bytes(ready), _bytes(self._drawn[: rows + 1]))
                np.bitwise_xor(target, drawn[:, 0], out=target)
            words = out[at : at + _ROWS].view("<u4").reshape(-1, 2)
            words[:, 0], words[:, 1] = halves
        return out.astype(np.int64, copy=False)


def tokenise(array: pa.Array | pa.ChunkedArray, root: RootKey, *, tenant: str, join_domain: str, version: int | None = None) -> pa.Array:
    """A number for each number, see ``Tokeniser``."""
    return Tokeniser(root, tenant=tenant, join_domain=join_domain, version=version)(array)


def detokenise(array: pa.Array | pa.ChunkedArray, root: RootKey, *, tenant: str, join_domain: str, version: int | None = None) -> pa.Array:
    """The number behind each token, see ``Tokeniser.back``; ``version`` is the one that made the tokens."""
    return Tokeniser(root, tenant=tenant, join_domain=join_domain, version=version).back(array)


def to_hex(array: pa.Array) -> pa.Array:
    """Numbers of type ``int64`` as 16 hexadecimal digits each, in two's complement; nulls stay null."""
    numbers = _numbers(array)
    text, table = np.empty(len(numbers) * 4, np.uint32), _four_digits()
    for at in range(0, len(numbers), _ROWS):
        places = numbers[at : at + _ROWS].astype(">i8").view(">u2").astype(np.intp)
        # Every place is in the table; "clip" spares numpy a buffer.
        table.take(places, out=text[4 * at : 4 * at + len(places)], mode="clip")
    offsets = np.arange(len(numbers) + 1, dtype=np.int64) * _HEX_DIGITS
    validity = array.is_valid().buffers()[1] if array.null_count else None
    small = offsets[-1] < 1 << 31
    buffers = [validity, pa.py_buffer(offsets.astype(np.int32) if small else offsets), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.string() if small else pa.large_string(), len(numbers), buffers)


@lru_cache(maxsize=1)
def _four_digits() -> Words:
    """The text of each number of 16 bits, as four bytes."""
    return np.array([f"{number:04x}".encode() for number in range(1 << 16)], "S4").view(np.uint32)


def from_hex(array: pa.Array) -> pa.Array:
    """The inverse of ``to_hex``.

    Raises:
        Tampered: A text is not 16 hexadecimal digits in lower case; the message counts them.
    """
    if not is_text(array.type):
        raise Tampered("the column does not hold permuted numbers", where="detokenise", advice="give int64, or text of 16 hexadecimal digits")
    array = array.cast(pa.large_string())
    good = pc.fill_null(pc.match_substring_regex(array, _IS_HEX), True)
    bad = len(array) - (pc.sum(good).as_py() or 0)
    if bad:
        raise Tampered(f"{bad} of {len(array)} values are not permuted numbers", where="detokenise", advice="check the column")
    data, edges = text_bytes(array.drop_null())
    nibbles = _NIBBLES[data[edges[0] : edges[-1]]].reshape(-1, 2)
    numbers = (nibbles[:, 0] << 4 | nibbles[:, 1]).reshape(-1).view(">i8").astype(np.int64)
    there = array.is_valid().to_numpy(zero_copy_only=False)
    return pa.array(numbers).take(pa.array(np.cumsum(there) - 1, mask=~there))


def _whole(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column as ``int64``."""
    array = flat(array)
    kind = array.type
    try:
        if pa.types.is_integer(kind) or pa.types.is_null(kind):
            return array.cast(pa.int64())
        if pa.types.is_floating(kind):
            return _of_doubles(array.cast(pa.float64()))
        if is_text(kind):
            return _of_text(array)
    except pa.ArrowInvalid:  # its text quotes a value
        raise DataRefused("numbers do not fit 64 bits with sign", advice="use scheme siv or cmac") from None
    raise DataRefused(f"values of type {kind} are not whole numbers", advice="use scheme siv or cmac")


def _of_doubles(array: pa.Array) -> pa.Array:
    values = array.drop_null().to_numpy(zero_copy_only=False)
    good = (values == np.rint(values)) & (np.abs(values) <= _EXACT)
    bad = len(values) - int(np.count_nonzero(good))
    if bad:
        raise DataRefused(f"{bad} of {len(values)} values are not whole numbers", advice="round them at their source")
    return array.cast(pa.int64())


def _of_text(array: pa.Array) -> pa.Array:
    """Decimal digits, as the columns of a CSV hold them; 007 is refused, since 7 would come back."""
    array = array.cast(pa.large_string())
    good = pc.fill_null(pc.match_substring_regex(array, _IS_WHOLE), True)
    bad = len(array) - (pc.sum(good).as_py() or 0)
    if bad:
        advice = "use scheme ff1 for numbers with leading zeros, siv or cmac for other text"
        raise DataRefused(f"{bad} of {len(array) - array.null_count} values are not whole numbers in decimal digits", advice=advice)
    return array.cast(pa.int64())


def _numbers(array: pa.Array) -> Numbers:
    numbers: Numbers = (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)
    return numbers


def _bytes(words: npt.NDArray[np.uint32]) -> Bytes:
    return words.reshape(-1).view(np.uint8)
