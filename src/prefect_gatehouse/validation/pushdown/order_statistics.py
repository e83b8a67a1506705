"""The value at a rank of a column, exactly and in flat memory: a radix selection over the bits of the numbers.

Numbers are mapped to 64-bit keys of the same order (IEEE 754 bit patterns, negative ones turned over). Each pass counts one digit of
16 bits below the digits that are known; as soon as few enough keys share them, the next pass collects these. So a rank takes two
passes over its column as a rule, and never more than four.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prefect_gatehouse.validation.pushdown.view import Numbers

Keys = npt.NDArray[np.uint64]

_DIGIT = 16
_BITS = 64
_SIGN = np.uint64(1 << 63)
COLLECTED = 1 << 20
"""Keys; 8 MiB."""


def keys_of(numbers: Numbers) -> Keys:
    """Keys in the order of the numbers; 0.0 and -0.0 have one key."""
    bits = (numbers.astype(np.float64) + 0.0).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def number_of(key: int) -> float:
    """The number of a key."""
    bits = key ^ (1 << 63) if key >> 63 else ~key & ((1 << 64) - 1)
    return float(np.array([bits], dtype=np.uint64).view(np.float64)[0])


class Selection:
    """The search for the number at one rank."""

    def __init__(self) -> None:
        self.rank = 0
        self.found: float | None = None
        self._known = 0  # bits
        self._prefix = 0
        self._counts: npt.NDArray[np.int64] | None = np.zeros(1 << _DIGIT, dtype=np.int64)
        self._collected: list[Keys] = []

    def at(self, rank: int) -> Selection:
        """A search for this rank that goes on from what one pass has counted."""
        other = Selection()
        other.rank, other._counts = rank, self._counts
        return other

    def update(self, keys: Keys) -> None:
        """Takes the keys of one batch into account."""
        if self.found is not None:
            return
        if self._known:
            keys = keys[keys >> np.uint64(_BITS - self._known) == np.uint64(self._prefix)]
        if self._counts is None:
            self._collected.append(keys)
            return
        digits = (keys >> np.uint64(_BITS - self._known - _DIGIT)) & np.uint64((1 << _DIGIT) - 1)
        self._counts += np.bincount(digits.astype(np.int64), minlength=1 << _DIGIT)

    def again(self) -> bool:
        """Called after a pass: whether one more is needed."""
        if self.found is not None:
            return False
        if self._counts is None:
            collected = np.concatenate(self._collected)
            self._collected = []
            self.found = number_of(int(np.partition(collected, self.rank)[self.rank]))
            return False
        ends = np.cumsum(self._counts)
        digit = int(np.searchsorted(ends, self.rank, side="right"))
        here = int(self._counts[digit])
        self.rank -= int(ends[digit]) - here
        self._prefix = self._prefix << _DIGIT | digit
        self._known += _DIGIT
        if self._known == _BITS:
            self.found = number_of(self._prefix)
            return False
        self._counts = None if here <= COLLECTED else np.zeros(1 << _DIGIT, dtype=np.int64)
        return True
