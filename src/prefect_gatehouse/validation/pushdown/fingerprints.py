"""64-bit fingerprints of the values of a column: equal values have equal ones, and so do few others.

A number's is one to one (splitmix64's finaliser is a bijection), so that two equal ones prove two equal numbers. A text's is a keyed
multiply-and-mix over its 8-byte words; who wants collisions does not know the key, and a collision costs a second look, never a
wrong answer.
"""

from __future__ import annotations

import secrets

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from prefect_gatehouse.validation.pushdown.view import View

Prints = npt.NDArray[np.uint64]

_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # splitmix64, Steele and others, OOPSLA 2014
_WORD = 8
_MASKS = np.array([(1 << (8 * length)) - 1 for length in range(_WORD)], dtype=np.uint64)


class Fingerprints:
    """Fingerprints under a key of their own."""

    def __init__(self) -> None:
        self._key = np.uint64(secrets.randbits(64))

    def __repr__(self) -> str:
        return "Fingerprints()"

    def of(self, view: View) -> Prints:
        """Shape (count,): of the values that are present."""
        if view.kind in {"text", "category"}:
            return self._of_texts(view.texts)
        numbers = view.numbers
        bits = numbers.view(np.uint64) if numbers.dtype == np.int64 else (numbers + 0.0).view(np.uint64)
        return _mix(bits ^ self._key)

    def of_rows(self, views: list[View]) -> Prints:
        """Shape (rows,): of whole rows; a missing value is equal to another one."""
        rows = np.full(views[0].rows, self._key, dtype=np.uint64)
        for view in views:
            prints = np.zeros(view.rows, dtype=np.uint64)
            prints[view.present] = self.of(view)
            rows = _mix(rows * _MULTIPLIERS[1] + prints)
        return rows

    def _of_texts(self, texts: pa.Array) -> Prints:
        count = len(texts)
        _, offsets, data = texts.buffers()
        if count == 0:
            return np.empty(0, dtype=np.uint64)
        ends = np.frombuffer(offsets, dtype=np.int64, count=count + 1, offset=texts.offset * 8)
        start, stop = int(ends[0]), int(ends[-1])
        # A word behind the last byte, so that the last text can be read by words too.
        padded = np.zeros(stop - start + _WORD, dtype=np.uint8)
        if stop > start:
            padded[: stop - start] = np.frombuffer(data, dtype=np.uint8, count=stop - start, offset=start)
        words = np.ndarray((stop - start + 1,), dtype="<u8", buffer=padded.data, strides=(1,))
        places, left = ends[:-1] - start, np.diff(ends)
        prints: Prints = _mix(left.astype(np.uint64) ^ self._key)
        while len(left) and int(left.min()) >= _WORD:  # all of them: no index needed
            prints = _mix(prints * _MULTIPLIERS[1] + words[places])
            places, left = places + _WORD, left - _WORD
        return self._rest(prints, words, places, left)

    @staticmethod
    def _rest(prints: Prints, words: Prints, places: npt.NDArray[np.int64], left: npt.NDArray[np.int64]) -> Prints:
        rows = np.flatnonzero(left)
        places, left = places[rows], left[rows]
        while len(rows):
            full = left >= _WORD
            word = words[places]
            if not full.all():
                word = np.where(full, word, word & _MASKS[np.where(full, 0, left)])
            prints[rows] = _mix(prints[rows] * _MULTIPLIERS[1] + word)
            left = left - _WORD
            going = left > 0
            rows, places, left = rows[going], places[going] + _WORD, left[going]
        return prints


def _mix(bits: Prints) -> Prints:
    bits = (bits ^ (bits >> np.uint64(30))) * _MULTIPLIERS[0]
    bits = (bits ^ (bits >> np.uint64(27))) * _MULTIPLIERS[1]
    return bits ^ (bits >> np.uint64(31))
