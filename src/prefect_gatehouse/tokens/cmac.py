"""Tokens that can't be turned back: AES-CMAC (NIST SP 800-38B, RFC 4493) with a 256-bit key, in lock-step over whole columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from prefect_gatehouse.tokens import tier
from prefect_gatehouse.tokens.base32hex import Bytes, characters
from prefect_gatehouse.tokens.columns import Canonical
from prefect_gatehouse.tokens.distinct import TellApart, prove
from prefect_gatehouse.tokens.keys import RootKey
from prefect_gatehouse.tokens.lockstep import Edges, LockStep, Numbers, Steps, pieces
from prefect_gatehouse.tokens.text_tokens import TextTokeniser
from prefect_gatehouse.tokens.token_format import filled, fixed_column, prefix, spell_fixed

SCHEME = "c"
"""What every token of this scheme begins with; the key's version follows."""

# 120 bits: 24 characters exactly, and among 10^9 values a collision has the probability 4e-19 (n^2 / 2^121).
TOKEN_BYTES = 15

# Tokens spelt at a time: what is kept of them, 3 KiB, stays in the nearest cache.
_RUN = 128

_CHARACTERS = characters(TOKEN_BYTES)


@dataclass(frozen=True)
class Kernels:
    """The compiled functions of this scheme."""

    steps: Steps
    spell: Callable[[Numbers, Bytes, int, Numbers, Bytes], None]
    tell_apart: TellApart


def _load() -> Kernels:
    from prefect_gatehouse.tokens import fused

    kernels = Kernels(Steps(fused.first_blocks, fused.next_blocks, fused.settle), fused.spell_fixed, fused.tell_apart)
    data, edges = _sample()
    key = bytes(range(32))
    if _tokens(LockStep.of_cmac(key), data, edges, b"c1_", kernels).tobytes() != _tokens(LockStep.of_cmac(key), data, edges, b"c1_", None).tobytes():
        raise AssertionError("the compiled tier differs from numpy")
    prove(kernels.tell_apart)
    return kernels


def _sample() -> tuple[Bytes, Edges]:
    """Texts of every length from 0 to 69 bytes, more of them than are spelt at a time."""
    edges = np.concatenate([[0], np.cumsum(np.arange(210, dtype=np.int64) % 70)])
    return (np.arange(edges[-1]) % 251).astype(np.uint8), edges


# Measured: loading takes 0.05 s of CPU time (2.7 s where nothing is in the cache yet) and then saves about 45 ns a value.
FUSED = tier.Fused(_load, pays_after=8_000_000)
"""The compiled tier."""


class Tokeniser(TextTokeniser[Kernels, LockStep]):
    """Tokens of one tenant and join domain under the root key's current version; made once, called for each batch.

    Threads may share one. It can't be pickled: another process makes its own from the root key.

    Args:
        root: The root key.
        tenant: Tokens of different tenants never match.
        join_domain: Columns with the same join domain get the same tokens.
        canonical: What counts as the same value, see ``columns.canonical_text``.

    Raises:
        InputError: The tenant or the join domain is empty.
    """

    def __init__(self, root: RootKey, *, tenant: str, join_domain: str, canonical: Canonical = "text") -> None:
        super().__init__(FUSED, canonical)
        self._key = root.derive(tenant, join_domain, "cmac")
        self._prefix = prefix(SCHEME, root.current)

    def _cipher(self) -> LockStep:
        return LockStep.of_cmac(self._key)

    def _tokens(self, cipher: LockStep, data: Bytes, edges: Edges, kernels: Kernels | None, array: pa.Array) -> pa.Array:
        return fixed_column(_tokens(cipher, data, edges, self._prefix, kernels), len(self._prefix) + _CHARACTERS, array)


def tokenise(array: pa.Array | pa.ChunkedArray, root: RootKey, *, tenant: str, join_domain: str, canonical: Canonical = "text") -> pa.Array:
    """A token for each value; equal values of one tenant and join domain get equal tokens, nulls stay null.

    For many batches make one ``Tokeniser``.

    Raises:
        DataRefused: The column's type has no single text form.
        InputError: The tenant or the join domain is empty.
    """
    return Tokeniser(root, tenant=tenant, join_domain=join_domain, canonical=canonical)(array)


def mac(key: bytes, data: Bytes, edges: Edges) -> Bytes:
    """The CMAC (n, 16) of each of n messages.

    Args:
        key: 16, 24 or 32 bytes.
        data: All messages, one behind the other.
        edges: Where each message starts and the last one ends, n + 1 offsets into ``data``.
    """
    kernels = FUSED.for_rows(len(edges) - 1, tier.wanted())
    return LockStep.of_cmac(key).all_macs(data, edges, kernels.steps if kernels else None).view(np.uint8)


def _tokens(lock_step: LockStep, data: Bytes, edges: Edges, mark: bytes, kernels: Kernels | None) -> Bytes:
    """The tokens of all messages, one behind the other."""
    width = len(mark) + _CHARACTERS
    text = np.empty((len(edges) - 1) * width, np.uint8)
    scratch = np.empty(3 * _RUN, np.uint64)
    for piece in pieces(edges):
        macs = lock_step.macs(data, edges[piece.start : piece.stop + 1], kernels.steps if kernels else None)
        part = text[piece.start * width : piece.stop * width]
        if kernels:
            kernels.spell(macs.reshape(-1), filled(mark), len(mark), scratch, part)
        else:
            spell_fixed(macs.reshape(-1).view(np.uint8), TOKEN_BYTES, mark, part.reshape(-1, width))
    return text
