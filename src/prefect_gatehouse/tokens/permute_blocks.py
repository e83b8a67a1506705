"""Whole numbers of 64 bits as one block of AES-256 each (FIPS 197): 16 bytes, or text that says its key's version.

A block is the number beside eight bytes of zeros. The cipher is a permutation of all blocks, so no two numbers share a token. A block that was
not made with the key decrypts to zeros in that place once in 2^64 times: what opens is authentic (encode-then-encipher, Bellare and Rogaway,
ASIACRYPT 2000). Where tokens must stay numbers of 64 bits, ``permute`` makes them; they have no room for either proof.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.errors import InputError, Tampered
from prefect_gatehouse.never_printed import NeverPrinted
from prefect_gatehouse.tokens import tier
from prefect_gatehouse.tokens.aes import BLOCK, BlockCipher
from prefect_gatehouse.tokens.base32hex import Bytes, characters, decode
from prefect_gatehouse.tokens.columns import flat, is_text, text_bytes
from prefect_gatehouse.tokens.int64_values import Numbers, numbers_of, whole
from prefect_gatehouse.tokens.keys import RootKey
from prefect_gatehouse.tokens.token_format import filled, fixed_column, prefix, spell_fixed, windows

SCHEME = "p"
"""What every token of this scheme begins with, as text; the key's version follows."""

TOKEN = pa.binary(BLOCK)
"""The type of tokens that are no text: fixed-size binary."""

_KEY_BYTES = 32
_CHARACTERS = characters(BLOCK)
# Values in one step: the blocks in and out (256 KiB) stay in the second cache, and a call of the cipher or of numpy costs little.
_ROWS = 8192
# Bytes behind the last token: the compiled tier writes 8 characters at once, the cipher asks for 15 bytes more than it writes.
_ROOM = 16

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Kernels:
    """The compiled functions of this scheme."""

    spell: Callable[[Bytes, Bytes, int, Bytes], None]


def _load() -> Kernels:
    from prefect_gatehouse.tokens import fused

    kernels = Kernels(fused.spell_blocks)
    sample = np.arange(-500, 500, dtype=np.int64)
    blocks = Blocks(bytes(range(_KEY_BYTES)))
    if blocks.spelt(sample, b"p1_", kernels).tobytes() != blocks.spelt(sample, b"p1_", None).tobytes():
        raise AssertionError("the compiled tier differs from numpy")
    return kernels


# Measured: loading takes 0.04 s of CPU time (2.3 s where nothing is in the cache yet) and then saves about 20 ns a value that becomes text.
FUSED = tier.Fused(_load, pays_after=15_000_000)
"""The compiled tier."""


class Tokeniser(NeverPrinted):
    """Tokens of one tenant and join domain, as bytes or as text; made once, called for each batch.

    Threads may share one. It can't be pickled: another process makes its own from the root key.

    Args:
        root: The root key.
        tenant: Tokens of different tenants never match.
        join_domain: Columns with the same join domain get the same tokens.
        version: The root key's version that makes tokens, the current one unless given.

    Raises:
        InputError: The tenant or the join domain is empty, or the version is unknown.
    """

    def __init__(self, root: RootKey, *, tenant: str, join_domain: str, version: int | None = None) -> None:
        self._version = root.current if version is None else version
        # All versions, since text says which one made it; an unknown one is refused here.
        self._keys = {each: root.derive(tenant, join_domain, "permute_block", each) for each in (*root.versions, self._version)}
        self._tier = tier.wanted()
        self._own = threading.local()

    def binary(self, array: pa.Array | pa.ChunkedArray) -> pa.Array:
        """A token of 16 bytes for each value; nulls stay null.

        Args:
            array: Whole numbers, as ``whole.whole`` takes them; equal numbers of different types get one token.

        Raises:
            DataRefused: The column holds something else, or numbers beyond 64 bits with sign.
        """
        array = whole(array)
        size = len(array) * BLOCK
        memory = pa.allocate_buffer(size + _ROOM)
        tokens = np.frombuffer(memory, np.uint8)
        self._blocks(self._version).seal(numbers_of(array), tokens)
        validity = None
        if array.null_count:
            # What stands under a null is no value: no token of it stays in the buffer.
            tokens[:size].reshape(-1, BLOCK)[array.is_null().to_numpy(zero_copy_only=False)] = 0
            validity = array.is_valid().buffers()[1]
        return pa.Array.from_buffers(TOKEN, len(array), [validity, memory.slice(0, size)], null_count=array.null_count)

    def text(self, array: pa.Array | pa.ChunkedArray) -> pa.Array:
        """The same tokens as text: ``p``, the key's version, ``_`` and 26 characters of base32hex; nulls stay null.

        Args:
            array: As for ``binary``.

        Returns:
            A column of type ``string`` (``large_string`` where the tokens exceed 2 GiB).

        Raises:
            DataRefused: As for ``binary``.
        """
        array = whole(array)
        numbers = numbers_of(array.drop_null() if array.null_count else array)
        mark = prefix(SCHEME, self._version)
        text = self._blocks(self._version).spelt(numbers, mark, FUSED.for_rows(len(numbers), self._tier))
        return fixed_column(text, len(mark) + _CHARACTERS, array)

    def back(self, array: pa.Array | pa.ChunkedArray) -> pa.Array:
        """The number behind each token, ``int64``; nulls stay null.

        Text may mix versions of the root key, since it says which one made it; bytes must be of this tokeniser's version.

        Args:
            array: Tokens as ``binary`` or ``text`` made them.

        Raises:
            Tampered: At least one value is not a token of this key; the message holds their number and no value.
        """
        array = flat(array)
        if pa.types.is_null(array.type):
            return array.cast(pa.int64())
        if is_text(array.type):
            numbers, good = self._of_text(array)
        elif _is_bytes(array.type):
            numbers, good = self._of_bytes(array)
        else:
            raise Tampered("the column does not hold permuted numbers", where="detokenise", advice="give 16 bytes or text that begins with p")
        missing = array.is_null().to_numpy(zero_copy_only=False)
        bad = int(np.count_nonzero(~(good | missing)))
        if bad:
            raise Tampered(
                f"{bad} of {len(array) - array.null_count} values are not tokens of this key",
                where="detokenise",
                advice="check the root key's versions, the tenant and the join domain",
            )
        if not array.null_count:
            return pa.array(numbers)
        numbers[missing] = 0  # a token may stand under a null; its number does not come out
        return pa.array(numbers, mask=missing)

    def _of_bytes(self, array: pa.Array) -> tuple[Numbers, Flags]:
        """The number of each token of 16 bytes, and which are good."""
        if array.type != TOKEN:
            array = array.cast(pa.large_binary())
            sized = pc.fill_null(pc.equal(pc.binary_length(array), BLOCK), False)
            array = pc.if_else(sized, array, pa.scalar(bytes(BLOCK), pa.large_binary())).cast(TOKEN)
            fits = sized.to_numpy(zero_copy_only=False)
        else:
            fits = np.ones(len(array), np.bool_)
        data = array.buffers()[1]
        blocks = np.frombuffer(data, np.uint8)[array.offset * BLOCK :][: len(array) * BLOCK] if len(array) else np.zeros(0, np.uint8)
        numbers, good = self._blocks(self._version).open(blocks)
        return numbers, good & fits

    def _of_text(self, array: pa.Array) -> tuple[Numbers, Flags]:
        """The number of each token that is text, and which are good."""
        data, edges = text_bytes(array.cast(pa.large_string()))
        numbers, good = np.zeros(len(array), np.int64), np.zeros(len(array), np.bool_)
        sizes = np.diff(edges)
        for version in self._keys:
            mark = np.frombuffer(prefix(SCHEME, version), np.uint8)
            width = len(mark) + _CHARACTERS
            sized = np.flatnonzero(sizes == width)
            for at in range(0, len(sized), _ROWS):
                rows = sized[at : at + _ROWS]
                text = windows(data, width)[edges[rows]].view(np.uint8).reshape(-1, width)
                own = np.all(text[:, : len(mark)] == mark, axis=1)
                sealed, spelt = decode(text[own, len(mark) :])
                found, opened = self._blocks(version).open(sealed.reshape(-1))
                numbers[rows[own]] = found
                good[rows[own]] = opened & spelt
        return numbers, good

    def _blocks(self, version: int) -> Blocks:
        """The thread's own cipher and memory under one version of the key."""
        if not hasattr(self._own, "blocks"):
            self._own.blocks = {}
        held: dict[int, Blocks] = self._own.blocks
        if version not in held:
            held[version] = Blocks(self._keys[version])
        return held[version]


class Blocks(NeverPrinted):
    """Numbers as blocks under one key, and back; one thread at a time, never pickled.

    Args:
        key: 32 bytes.

    Raises:
        InputError: The key is of another length.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise InputError("a key of permuted blocks is 32 bytes", where="key")
        self._cipher = BlockCipher(key)
        # The first of two words of a block is the number, the other stays zero.
        self._ready = np.zeros((_ROWS, 2), "<i8")
        # One more: the cipher asks for 15 bytes more than it writes, and whoever spells reads 7 behind the last block.
        self._made = np.zeros((_ROWS + 1, 2), "<i8")

    def seal(self, numbers: Numbers, out: Bytes) -> None:
        """A block for each of n numbers.

        Args:
            numbers: Any numbers of 64 bits.
            out: Where to: 16 n bytes, and 15 more that stay what they are.
        """
        for at in range(0, len(numbers), _ROWS):
            part = numbers[at : at + _ROWS]
            self._ready[: len(part), 0] = part
            self._cipher.encrypt(_bytes(self._ready[: len(part)]), out[at * BLOCK :][: len(part) * BLOCK + BLOCK - 1])

    def open(self, blocks: Bytes) -> tuple[Numbers, Flags]:
        """The number in each block, and which blocks were made with the key.

        Args:
            blocks: A whole number of blocks, contiguous.
        """
        count = len(blocks) // BLOCK
        numbers, good = np.empty(count, np.int64), np.empty(count, np.bool_)
        for at in range(0, count, _ROWS):
            part = blocks[at * BLOCK : (at + _ROWS) * BLOCK]
            made = self._made[: len(part) // BLOCK]
            self._cipher.decrypt(part, _bytes(self._made))
            numbers[at : at + _ROWS] = made[:, 0]
            good[at : at + _ROWS] = made[:, 1] == 0
        return numbers, good

    def spelt(self, numbers: Numbers, mark: bytes, kernels: Kernels | None) -> Bytes:
        """The tokens of some numbers as text, one behind the other.

        Args:
            numbers: Any numbers of 64 bits.
            mark: What each token begins with.
            kernels: The compiled tier, None for numpy.
        """
        width = len(mark) + _CHARACTERS
        text = np.empty(len(numbers) * width + _ROOM, np.uint8)
        made = _bytes(self._made)
        for at in range(0, len(numbers), _ROWS):
            part = numbers[at : at + _ROWS]
            self.seal(part, made)
            here = text[at * width : (at + len(part)) * width + _ROOM]
            if kernels:
                kernels.spell(made, filled(mark), len(mark), here)
            else:
                spell_fixed(made, BLOCK, mark, here[:-_ROOM].reshape(-1, width))
        return text[:-_ROOM]


def tokenise(array: pa.Array | pa.ChunkedArray, root: RootKey, *, tenant: str, join_domain: str, version: int | None = None) -> pa.Array:
    """A token as text for each number, see ``Tokeniser.text``."""
    return Tokeniser(root, tenant=tenant, join_domain=join_domain, version=version).text(array)


def detokenise(array: pa.Array | pa.ChunkedArray, root: RootKey, *, tenant: str, join_domain: str, version: int | None = None) -> pa.Array:
    """The number behind each token, see ``Tokeniser.back``; ``version`` is the one that made tokens that are bytes."""
    return Tokeniser(root, tenant=tenant, join_domain=join_domain, version=version).back(array)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_binary(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _bytes(words: npt.NDArray[np.int64]) -> Bytes:
    return words.reshape(-1).view(np.uint8)
