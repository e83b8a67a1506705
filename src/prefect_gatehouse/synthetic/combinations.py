"""Combinations of few-valued columns that fewer than k rows of the source have: none may be in the output.

Up to eight columns: every combination of three of them (or of all, where there are fewer). Beyond: every pair. A combination that
no row of the source has is kept out alike: otherwise what is missing would tell which combinations are rare.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

FEW, ORDER = 8, 3
"""Up to so many columns every combination of three is looked at, beyond every pair."""

# Levels of all columns together, from which on further columns are left out, the ones with most levels first: the table of
# pairs takes the square of it.
_MOST_LEVELS = 4096
_BLOCK = 1 << 14


class Combinations:
    """Counts of the source's combinations.

    Args:
        codes: Level of each row in each column (rows x columns), from 0; -1 where it counts for none.
        sizes: Levels of each column.
        k: Fewest rows that make a combination common.
    """

    def __init__(self, codes: Array, sizes: list[int], k: int) -> None:
        order = sorted(range(len(sizes)), key=lambda column: sizes[column])
        kept = np.flatnonzero(np.cumsum([sizes[column] for column in order]) <= _MOST_LEVELS)
        self.columns = sorted(order[place] for place in kept)
        self.left_out = len(sizes) - len(self.columns)
        self._sizes = [sizes[column] for column in self.columns]
        self._few = len(self.columns) <= FEW
        self.order = min(len(self.columns), ORDER if self._few else 2)
        if self._few:
            self._sets = [(chosen, self._common(codes, chosen, k)) for chosen in combinations(range(len(self.columns)), self.order) if chosen]
            return
        self._offsets = np.concatenate([[0], np.cumsum(self._sizes)[:-1]])
        pairs = np.zeros((sum(self._sizes),) * 2, np.float64)
        for first in range(0, len(codes), _BLOCK):
            block = self._one_hot(codes[first : first + _BLOCK])
            pairs += block.T @ block
        self._rare = (pairs < k).astype(np.float32)

    def rare(self, codes: Array) -> Array:
        """Which rows have a combination that is rare in the source."""
        if self._few:
            found = np.zeros(len(codes), bool)
            for chosen, common in self._sets:
                found |= ~np.isin(self._packed(codes, chosen), common)
            return found
        parts = []
        for first in range(0, len(codes), _BLOCK):
            block = self._one_hot(codes[first : first + _BLOCK])
            parts.append(((block @ self._rare) * block).sum(axis=1) > 0)
        return np.concatenate(parts) if parts else np.zeros(0, bool)

    def blamed(self, codes: Array) -> Array:
        """For each column that was combined, in how many of these rows it takes part in a rare combination."""
        found = np.zeros(len(self.columns), np.int64)
        if self._few:
            for place in range(len(self.columns)):
                hit = np.zeros(len(codes), bool)
                for chosen, common in self._sets:
                    if place in chosen:
                        hit |= ~np.isin(self._packed(codes, chosen), common)
                found[place] = hit.sum()
            return found
        for first in range(0, len(codes), _BLOCK):
            block = self._one_hot(codes[first : first + _BLOCK])
            hits = (block @ self._rare) * block
            found += (np.add.reduceat(hits, self._offsets, axis=1) > 0).sum(axis=0)
        return found

    def _packed(self, codes: Array, chosen: tuple[int, ...]) -> Array:
        packed = np.zeros(len(codes), np.int64)
        for column in chosen:
            packed = packed * self._sizes[column] + codes[:, self.columns[column]]
        return packed

    def _common(self, codes: Array, chosen: tuple[int, ...], k: int) -> Array:
        whole = (codes[:, [self.columns[column] for column in chosen]] >= 0).all(axis=1)
        values, counts = np.unique(self._packed(codes[whole], chosen), return_counts=True)
        return values[counts >= k]

    def _one_hot(self, codes: Array) -> Array:
        block = np.zeros((len(codes), sum(self._sizes)), np.float32)
        rows = np.arange(len(codes))
        for place, column in enumerate(self.columns):
            known = codes[:, column] >= 0
            block[rows[known], self._offsets[place] + codes[known, column]] = 1.0
        return block
