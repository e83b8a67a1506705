"""FF1 over a column of text: values grouped by their number of numerals, each group in lock-step, the form left as it is.

The work is split in tiers: ``ff1_fused.py`` where compiled functions pay, numpy elsewhere, and limbs (``ff1_long.py``) for long values in
both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

import numpy as np
import numpy.typing as npt

from prefect_gatehouse.never_printed import NeverPrinted
from prefect_gatehouse.tokens import ff1_long, ff1_rounds
from prefect_gatehouse.tokens.aes import BlockCipher
from prefect_gatehouse.tokens.base32hex import Bytes
from prefect_gatehouse.tokens.ff1_alphabet import LONGEST, STAYS, Alphabet
from prefect_gatehouse.tokens.ff1_rounds import ROUNDS, ROWS, Length, Numbers, Scratch

Edges = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]

# Values that are sorted by length at once: enough that each length comes in long runs, few enough for the third cache.
_PIECE = 1 << 16
# Most texts that a table spells. The highest power of any radix below this is at least 41^2, so the quotient of half a value (below 2^62)
# by it is below 2^52 and in doubles wrong by at most one; 10^4 texts of digits are 40 KiB.
_TABLE = 1 << 16


@dataclass(frozen=True)
class Unfit:
    """How many values have no token, by reason.

    Attributes:
        short: Fewer numerals than the smallest domain takes.
        long: More than ``LONGEST`` numerals.
        foreign: A letter or digit that is not of the alphabet, or a character beyond ASCII.
    """

    short: int
    long: int
    foreign: int


class Text(NeverPrinted):
    """FF1 under one key, tweak and alphabet; one thread at a time, never pickled, never printed.

    Args:
        key: 16, 24 or 32 bytes.
        tweak: Up to 65,535 bytes that the tokens depend on as they do on the key.
        alphabet: The numerals.
    """

    def __init__(self, key: bytes, tweak: bytes, alphabet: Alphabet) -> None:
        self._cipher = BlockCipher(key)
        self._tweak = tweak
        self._alphabet = alphabet
        self._lengths: dict[int, Length] = {}
        self._scratch = Scratch()
        self._halves = np.empty((2, ROWS), np.uint64)

    def turn(self, data: Bytes, edges: Edges, counts: Counts, *, back: bool, fused: ModuleType | None) -> Bytes:
        """The text with every value encrypted or decrypted.

        Args:
            data: All values, one behind the other.
            edges: Where each value starts and the last one ends: n + 1 offsets into ``data``.
            counts: Numerals of each value as ``measure`` gives them, all legal.
            back: Decrypt.
            fused: ``ff1_fused``, or None for numpy.

        Returns:
            As many bytes as there are between the first and the last edge.
        """
        out = data[edges[0] : edges[-1]].copy()
        if edges[0]:
            edges = edges - edges[0]
        for first in range(0, len(counts), _PIECE):
            for count, rows in _groups(counts[first : first + _PIECE]):
                length = self._length(count)
                rows += first
                if not length.short:
                    self._long(length, out, edges, rows, back)
                    continue
                for at in range(0, len(rows), ROWS):
                    part = rows[at : at + ROWS]
                    if fused is None:
                        self._in_numpy(length, out, edges, part, back)
                    else:
                        self._compiled(fused, length, out, edges, part, back)
        return out

    def _length(self, count: int) -> Length:
        if count not in self._lengths:
            self._lengths[count] = Length(self._cipher, self._tweak, self._alphabet.radix, count)
        return self._lengths[count]

    def _in_numpy(self, length: Length, out: Bytes, edges: Edges, rows: Rows, back: bool) -> None:
        places = _places(out, edges, rows, length.length, self._alphabet.values)
        numerals = self._alphabet.values[out[places]]
        radix, left = length.radix, length.left
        halves = ff1_rounds.join(numerals[:, :left], radix), ff1_rounds.join(numerals[:, left:], radix)
        ff1_rounds.turn(length, halves, self._scratch, back=back)
        ff1_rounds.split(halves[0], radix, numerals[:, :left])
        ff1_rounds.split(halves[1], radix, numerals[:, left:])
        out[places] = self._alphabet.bytes[numerals]

    def _long(self, length: Length, out: Bytes, edges: Edges, rows: Rows, back: bool) -> None:
        for at in range(0, len(rows), ROWS):
            places = _places(out, edges, rows[at : at + ROWS], length.length, self._alphabet.values)
            out[places] = self._alphabet.bytes[ff1_long.turn(length, self._alphabet.values[out[places]], back=back)]

    def _compiled(self, fused: ModuleType, length: Length, out: Bytes, edges: Edges, rows: Rows, back: bool) -> None:
        halves = self._halves[:, : len(rows)]
        fused.read(out, edges, rows, self._alphabet.values, length.radix, length.length, halves[0], halves[1])
        blocks = length.blocks.tolist()
        order = list(reversed(range(ROUNDS))) if back else list(range(ROUNDS))
        ready, drawn = self._scratch.ready.reshape(-1), self._scratch.drawn.reshape(-1)
        fused.fill(halves[1 - order[0] % 2], *blocks[order[0]], ready)
        # The blocks made after the last round are not used.
        for number, following in zip(order, [*order[1:], order[-1]], strict=True):
            self._scratch.encrypt(self._cipher, len(rows))
            modulus = length.moduli[number % 2]
            fused.step(halves[number % 2], drawn, length.drawn_bytes, modulus, back, *blocks[following], ready)
        text = np.empty(length.length + 8, np.uint8)
        fused.write(halves[0], halves[1], rows, edges, self._alphabet.values, *self._spelt, length.length, text, out)

    @cached_property
    def _spelt(self) -> tuple[Numbers, int]:
        """All texts of as many characters as the table may hold, each as the last of 8 bytes, and that number of characters."""
        radix, width = self._alphabet.radix, 1
        while radix ** (width + 1) <= _TABLE and width < 8:
            width += 1
        numerals = np.zeros((radix**width, 8), np.uint8)
        ff1_rounds.split(np.arange(radix**width, dtype=np.uint64), radix, numerals[:, 8 - width :])
        return self._alphabet.bytes[numerals].view(np.uint64).reshape(-1), width


def measure(data: Bytes, edges: Edges, alphabet: Alphabet, fused: ModuleType | None) -> Counts:
    """For each value the number of its numerals, -1 where it holds a character that it must not."""
    counts = np.empty(len(edges) - 1, np.int32)
    if fused is not None:
        fused.measure(data, edges, alphabet.weights, counts)
        return counts
    for first in range(0, len(counts), _PIECE):
        part = edges[first : first + _PIECE + 1]
        values = alphabet.values[data[part[0] : part[-1]]]
        counts[first : first + _PIECE] = _sums(values < STAYS, part)
        counts[first : first + _PIECE][_sums(values > STAYS, part) > 0] = -1
    return counts


def unfit(counts: Counts, alphabet: Alphabet) -> Unfit:
    """How many values have no token; ``legal`` says which ones have."""
    foreign = int(np.count_nonzero(counts < 0))
    return Unfit(int(np.count_nonzero(counts < alphabet.shortest)) - foreign, int(np.count_nonzero(counts > LONGEST)), foreign)


def legal(counts: Counts, alphabet: Alphabet) -> npt.NDArray[np.bool_]:
    """Which values have a token."""
    good: npt.NDArray[np.bool_] = (counts >= alphabet.shortest) & (counts <= LONGEST)
    return good


def _sums(marks: npt.NDArray[np.bool_], edges: Edges) -> Edges:
    """How many marks each value has."""
    before = np.zeros(len(marks) + 1, np.int64)
    np.cumsum(marks, out=before[1:])
    sums: Edges = np.diff(before[edges - edges[0]])
    return sums


def _groups(counts: Counts) -> Iterator[tuple[int, Rows]]:
    """Each number of numerals that occurs, with the rows that have it in ascending order."""
    if len(counts) and np.all(counts == counts[0]):
        yield int(counts[0]), np.arange(len(counts))
        return
    # Sorting numbers of 16 bits is one pass for each byte.
    order = np.argsort(counts.astype(np.uint16), kind="stable")
    distinct, first = np.unique(counts[order], return_index=True)
    yield from zip(distinct.tolist(), np.split(order, first[1:]), strict=True)


def _places(text: Bytes, edges: Edges, rows: Rows, length: int, values: Bytes) -> Rows:
    """Where in the text the numerals of some values of one length stand: (rows, length)."""
    sizes = edges[rows + 1] - edges[rows]
    if np.all(sizes == length):
        places: Rows = edges[rows][:, None] + np.arange(length)
        return places
    ends = np.cumsum(sizes)
    # The places of all their characters, one behind the other, less those that stay.
    places = np.arange(ends[-1]) + np.repeat(edges[rows] - (ends - sizes), sizes)
    return places[values[text[places]] < STAYS].reshape(-1, length)
