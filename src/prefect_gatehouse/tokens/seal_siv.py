"""AES-SIV (RFC 5297) over many values at once: synthetic vectors in lock-step, one call of the cipher for all counter blocks.

The associated data are the same for a whole column, so what S2V makes of them is a constant of the key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from prefect_gatehouse.never_printed import NeverPrinted
from prefect_gatehouse.tokens import tier
from prefect_gatehouse.tokens.aes import BLOCK, BlockCipher, double, xor
from prefect_gatehouse.tokens.base32hex import Bytes, encode_in, room
from prefect_gatehouse.tokens.distinct import TellApart, prove
from prefect_gatehouse.tokens.lockstep import MARKS, MASKS, Edges, Ends, LockStep, Steps, Words, pieces
from prefect_gatehouse.tokens.token_format import by_size, filled, windows

SCHEME = "s"
"""What every token of this scheme begins with; the key's version follows."""

# The second part of the associated data of values that are not padded.
_UNPADDED = b"unpadded"
# The highest bit of each of the last two words of 32 bits, cleared so that counting never carries out of the last one (section 2.5).
_NO_CARRY = np.frombuffer(bytes.fromhex("ffffffffffffffff7fffffff7fffffff"), np.uint64)
_ENDS = np.concatenate([MARKS, MASKS]).reshape(-1)
_ROOM = 48


@dataclass(frozen=True)
class Kernels:
    """The compiled functions of this scheme."""

    steps: Steps
    counters: Callable[[Words, Edges, bool, Words], int]
    seal: Callable[[Bytes, Edges, bool, Words, Words, Words, Bytes, int, Bytes, Bytes, Edges], None]
    tell_apart: TellApart


class Sealer(NeverPrinted):
    """AES-SIV under one key with one set of associated data, and the memory that it works in; one thread at a time, never pickled.

    Args:
        key: 64 bytes: the first half makes the vectors, the second encrypts.
        associated: The associated data, the same for all values.
        padded: Whether values are padded to whole blocks.
    """

    def __init__(self, key: bytes, associated: Sequence[bytes], *, padded: bool) -> None:
        half = len(key) // 2
        authentic = BlockCipher(key[:half])
        vector = s2v(key[:half], associated)
        self._macs = LockStep(authentic, Ends.of_siv(authentic, vector, padded=padded))
        # What a padded value is, once it is padded, is a string like any other.
        self.check = self._macs if not padded else LockStep(authentic, Ends.of_siv(authentic, vector, padded=False))
        self._cipher = BlockCipher(key[half:])
        self.padded = padded

    def seal(self, data: Bytes, edges: Edges, mark: bytes, kernels: Kernels | None) -> tuple[Bytes, Edges]:
        """The tokens of some values, one behind the other, and where each starts and the last one ends.

        Args:
            data: All values, one behind the other.
            edges: Where each value starts and the last one ends.
            mark: What each token begins with.
            kernels: The compiled tier, None for numpy.
        """
        lengths = np.diff(edges)
        sizes = (lengths + BLOCK) // BLOCK * BLOCK if self.padded else lengths
        places = np.concatenate([[0], np.cumsum(len(mark) + -(-(sizes + BLOCK) * 8 // 5))])
        text = np.empty(int(places[-1]) + 8, np.uint8)
        for piece in pieces(edges):
            here = edges[piece.start : piece.stop + 1]
            macs = self._macs.macs(data, here, kernels.steps if kernels else None)
            if kernels:
                self._compiled(data, here, macs, mark, text, places[piece], sizes[piece], kernels)
            else:
                self._in_numpy(data, here, macs, mark, text, places[piece], sizes[piece])
        return text, places

    def _compiled(
        self, data: Bytes, edges: Edges, macs: Words, mark: bytes, text: Bytes, places: Edges, sizes: npt.NDArray[np.int64], kernels: Kernels
    ) -> None:
        counting = np.empty((int((sizes + BLOCK - 1).sum()) // BLOCK + len(sizes), 2), np.uint64)
        vectors = macs.reshape(-1)
        used = kernels.counters(vectors, edges, self.padded, counting.reshape(-1))
        stream = self.encrypted(counting[:used]).reshape(-1)
        scratch = np.empty(int(sizes.max(initial=0)) + BLOCK + _ROOM, np.uint8)
        kernels.seal(data, edges, self.padded, vectors, stream, _ENDS, filled(mark), len(mark), scratch, text, places)

    def _in_numpy(self, data: Bytes, edges: Edges, macs: Words, mark: bytes, text: Bytes, places: Edges, sizes: npt.NDArray[np.int64]) -> None:
        lengths = np.diff(edges)
        first, end = int(edges[0]), int(edges[-1])
        values = np.zeros(end - first + int(sizes.max(initial=0)), np.uint8)
        values[: end - first] = data[first:end]
        starts = edges[:-1] - first
        for size, rows in by_size(sizes):
            vectors = macs.take(rows, axis=0)
            sealed = np.zeros((len(rows), room(BLOCK + size)), np.uint8)
            sealed[:, :BLOCK] = vectors.view(np.uint8)
            cipher = sealed[:, BLOCK : BLOCK + size]
            if size:
                cipher.view(f"V{size}")[:, 0] = windows(values, size)[starts[rows]]
            if self.padded:
                held = lengths[rows] - (size - BLOCK)
                last = cipher[:, -BLOCK:]
                last &= MASKS.take(held, axis=0).view(np.uint8)
                last |= MARKS.take(held, axis=0).view(np.uint8)
            cipher ^= self.stream(vectors, size)
            spelt = encode_in(sealed, BLOCK + size)
            text_at = places[rows]
            windows(text, len(mark))[text_at] = np.frombuffer(mark, f"V{len(mark)}")
            windows(text, spelt.shape[1])[text_at + len(mark)] = spelt.view(f"V{spelt.shape[1]}")[:, 0]

    def stream(self, vectors: Words, size: int) -> Bytes:
        """The key stream (n, size) of n vectors."""
        blocks = -(-size // BLOCK)
        counting = np.repeat((vectors & _NO_CARRY)[:, None, :], blocks, axis=1)
        counting.view(">u4")[:, :, 3] += np.arange(blocks, dtype=np.uint32)
        return self.encrypted(counting.reshape(-1, 2)).view(np.uint8).reshape(len(vectors), blocks * BLOCK)[:, :size]

    def encrypted(self, counting: Words) -> Words:
        """Counter blocks, encrypted."""
        out = np.empty((len(counting) + 1, 2), np.uint64)  # the cipher asks for room behind
        self._cipher.encrypt(counting.reshape(-1).view(np.uint8), out.reshape(-1).view(np.uint8))
        return out[:-1]


def associated_data(domain: str, *, padded: bool) -> list[bytes]:
    """The join domain, and a second part where values are not padded."""
    return [domain.encode()] if padded else [domain.encode(), _UNPADDED]


def s2v(key: bytes, associated: Sequence[bytes]) -> bytes:
    """The state of S2V before its last string (RFC 5297, section 2.4)."""
    state = _cmac(key, bytes(BLOCK))
    for part in associated:
        state = xor(double(state), _cmac(key, part))
    return state


def _cmac(key: bytes, message: bytes) -> bytes:
    one = CMAC(AES(key))
    one.update(message)
    return one.finalize()


def _load() -> Kernels:
    from prefect_gatehouse.tokens import fused, seal_fused

    kernels = Kernels(Steps(fused.first_blocks, fused.next_blocks, fused.settle), seal_fused.counters, seal_fused.seal, fused.tell_apart)
    edges = np.concatenate([[0], np.cumsum(np.arange(70, dtype=np.int64))])
    data = (np.arange(edges[-1]) % 251).astype(np.uint8)
    for padded in (True, False):
        sealer = Sealer(bytes(range(64)), [b"proof"], padded=padded)
        ours, theirs = (sealer.seal(data, edges, b"s1_", tier_)[0] for tier_ in (kernels, None))
        if ours[:-8].tobytes() != theirs[:-8].tobytes():
            raise AssertionError("the compiled tier differs from numpy")
    prove(kernels.tell_apart)
    return kernels


# Measured: loading takes 0.05 s of CPU time (2.9 s where nothing is in the cache yet) and then saves about 150 ns a value.
FUSED = tier.Fused(_load, pays_after=2_500_000)
"""The compiled tier."""
