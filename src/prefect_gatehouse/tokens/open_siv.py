"""Turning reversible tokens back, whole columns at once: every token is checked, a bad one is counted, and none is accepted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.tokens import tier
from prefect_gatehouse.tokens.aes import BLOCK
from prefect_gatehouse.tokens.base32hex import Bytes, decode
from prefect_gatehouse.tokens.columns import by_dictionary, flat, is_text, repeats, spread, text_bytes
from prefect_gatehouse.tokens.keys import RootKey
from prefect_gatehouse.tokens.open_compiled import FUSED, Flags, Kernels, opened
from prefect_gatehouse.tokens.seal_siv import SCHEME, Sealer, associated_data
from prefect_gatehouse.tokens.token_format import by_size, column, prefix, windows

# Tokens worked on at once: their matrices stay in the cache.
_ROWS = 8192

Rows = npt.NDArray[np.int64]


def detokenise(array: pa.Array | pa.ChunkedArray, root: RootKey, *, tenant: str, join_domain: str) -> pa.Array:
    """The text behind each token, as ``tokenise`` canonicalised it; nulls stay null.

    Tokens of all versions of the root key, padded and not, may stand in one column.

    Raises:
        Tampered: At least one value is not a token of this key; the message holds their number and no value.
        InputError: The tenant or the join domain is empty.
    """
    array = flat(array)
    if pa.types.is_null(array.type):
        return array.cast(pa.string())
    if not is_text(array.type):
        raise Tampered("the column does not hold reversible tokens", where="detokenise")
    opener = _Opener(root, tenant, join_domain)
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    if not repeats(array):
        return opener.open(array)
    values, places = by_dictionary(array)
    return spread(opener.open(values), places)


class _Opener:
    def __init__(self, root: RootKey, tenant: str, domain: str) -> None:
        keys = {version: root.derive(tenant, domain, "siv", version) for version in root.versions}
        # Padded ones first: nearly all are.
        self._sealers = [
            (prefix(SCHEME, version), Sealer(key, associated_data(domain, padded=padded), padded=padded))
            for version, key in keys.items()
            for padded in (True, False)
        ]
        self._tier = tier.wanted()

    def open(self, array: pa.Array) -> pa.Array:
        there = array.drop_null() if array.null_count else array
        opened = [self._some(there.slice(first, _ROWS)) for first in range(0, len(there), _ROWS)]
        good = np.concatenate([np.empty(0, np.bool_), *(flags for _, flags in opened)])
        if not good.all():
            # Only now are distinct ones told apart: it takes longer than to open them.
            bad, known = len(there.filter(pa.array(~good)).unique()), len(there.unique())
            raise Tampered(
                f"{bad} of {known} distinct tokens were not made with this key",
                where="detokenise",
                advice="check the root key's versions, the tenant and the join domain",
            )
        texts = pa.chunked_array([values for values, _ in opened], pa.large_string()).combine_chunks()
        data, edges = text_bytes(texts)
        return column(data, edges, array)

    def _some(self, tokens: pa.Array) -> tuple[pa.Array, Flags]:
        """The text of each token, empty where it is bad, and which are good."""
        kernels = FUSED.for_rows(len(tokens), self._tier)
        parts = [*(self._compiled(tokens, kernels) if kernels else self._in_numpy(tokens))]
        if len(parts) == 1 and len(parts[0][0]) == len(tokens):
            return parts[0][1], np.ones(len(tokens), np.bool_)
        good = np.zeros(len(tokens), np.bool_)
        for rows, _ in parts:
            good[rows] = True
        lost = np.flatnonzero(~good)
        order = np.argsort(np.concatenate([lost, *(rows for rows, _ in parts)]), kind="stable")
        values = pa.concat_arrays([pa.array([""] * len(lost), pa.large_string()), *(values for _, values in parts)])
        return values.take(pa.array(order)), good

    def _compiled(self, tokens: pa.Array, kernels: Kernels) -> Iterator[tuple[Rows, pa.Array]]:
        """Which rows open with each key, in ascending order, and what they hold."""
        left = np.arange(len(tokens))
        for mark, sealer in self._sealers:
            if not len(left):
                return
            data, edges = text_bytes(tokens if len(left) == len(tokens) else tokens.take(pa.array(left)))
            good, data, edges = opened(data, edges, mark, sealer, kernels)
            values = pa.LargeStringArray.from_buffers(len(left), pa.py_buffer(edges), pa.py_buffer(data))
            good &= _are_text(values)
            if good.any():
                yield left[good], values if good.all() else values.filter(pa.array(good))
            left = left[~good]

    def _in_numpy(self, tokens: pa.Array) -> Iterator[tuple[Rows, pa.Array]]:
        """The same, one length after the other."""
        data, edges = text_bytes(tokens)
        for size, rows in by_size(np.diff(edges)):
            text = np.empty((len(rows), size), np.uint8)
            if size:
                text.view(f"V{size}")[:, 0] = windows(data, size)[edges[:-1][rows]]
            for held, values in self._of_size(text):
                yield rows[held], values

    def _of_size(self, text: Bytes) -> Iterator[tuple[Rows, pa.Array]]:
        """Which of some texts of one length open, and what they hold."""
        left = np.arange(len(text))
        for mark, sealer in self._sealers:
            length = text.shape[1] - len(mark)
            rows = left[np.all(text[left, : len(mark)] == np.frombuffer(mark, np.uint8), axis=1)] if length > 0 else left[:0]
            if not len(rows) or not _may_be(length * 5 // 8 - BLOCK, sealer.padded):
                continue
            sealed, spelt = decode(text[rows, len(mark) :])
            rows = rows[spelt]
            held, values = _opened_in_numpy(sealer, sealed[spelt])
            if len(held):
                yield rows[held], values
                left = np.setdiff1d(left, rows[held], assume_unique=True)


def _may_be(size: int, padded: bool) -> bool:
    """Whether a ciphertext of this many bytes can be one of a kind."""
    return size >= BLOCK and size % BLOCK == 0 if padded else size >= 0


def _opened_in_numpy(sealer: Sealer, sealed: Bytes) -> tuple[Rows, pa.Array]:
    """Which of some vectors with ciphertexts of one size open, and the text of those."""
    vectors = np.ascontiguousarray(sealed[:, :BLOCK]).view(np.uint64)
    size = sealed.shape[1] - BLOCK
    plain = sealed[:, BLOCK:] ^ sealer.stream(vectors, size)
    edges = np.arange(len(plain) + 1, dtype=np.int64) * size
    good = np.all(sealer.check.all_macs(plain.reshape(-1), edges, None) == vectors, axis=1)
    lengths = np.full(len(plain), size, np.int64)
    if sealer.padded:
        # The padding begins at the last byte that is not zero.
        last = plain[:, : -BLOCK - 1 : -1]
        zeros = np.argmax(last != 0, axis=1)
        good &= last[np.arange(len(last)), zeros] == 0x80
        lengths -= zeros + 1
    held = np.flatnonzero(good)
    return _only_text(held, plain[held], lengths[held])


def _only_text(rows: Rows, plain: Bytes, lengths: npt.NDArray[np.int64]) -> tuple[Rows, pa.Array]:
    """Rows whose bytes are UTF-8, and their text."""
    values = _strings(plain, lengths)
    text = _are_text(values)
    return (rows, values) if text.all() else (rows[text], _strings(plain[text], lengths[text]))


def _are_text(values: pa.Array) -> Flags:
    """Which values of a text column are UTF-8; the holder of a key may have sealed something else with it."""
    try:
        values.validate(full=True)
    except pa.ArrowInvalid:
        return np.array([_is_utf8(value.as_buffer().to_pybytes()) for value in values.cast(pa.large_binary())], np.bool_)
    return np.ones(len(values), np.bool_)


def _strings(plain: Bytes, lengths: npt.NDArray[np.int64]) -> pa.Array:
    data = plain[np.arange(plain.shape[1]) < lengths[:, None]]
    edges = np.concatenate([[0], np.cumsum(lengths)])
    return pa.LargeStringArray.from_buffers(len(lengths), pa.py_buffer(edges), pa.py_buffer(data))


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
