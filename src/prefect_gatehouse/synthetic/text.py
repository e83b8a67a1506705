"""Made-up text: values of the same shapes and lengths as a column's, drawn from scratch, none of which the source holds.

A shape writes a value's letters as ``A`` and ``a``, its digits as ``9``, and keeps punctuation. Shapes that fewer than k rows have
are not used; a character stays only where every one of at least k different values of a shape has it at the same place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Array = np.ndarray[Any, np.dtype[Any]]

# Free text longer than this is made up at this length.
_LONGEST = 64
_MOST_SHAPES = 200
_TAIL = "aaaaaaaa"
_CLASSES = {"9": "0123456789", "A": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "a": "abcdefghijklmnopqrstuvwxyz"}
# One code point becomes one code point, so that places agree.
_STEPS = ((r"\p{Nd}", "9"), (r"\p{Lu}", "A"), (r"[^9A\p{P}\p{Z}\x00-\x20+=~^$|<>]", "a"))


def shapes_of(values: pa.Array) -> pa.Array:
    """The shape of each value."""
    for pattern, replacement in _STEPS:
        values = pc.replace_substring_regex(values, pattern, replacement)
    return values


@dataclass(frozen=True)
class Shape:
    """One shape, the share of rows that have it, and the characters that all its values have."""

    pattern: str
    share: float
    fixed: str  # the pattern, with a kept character where there is one, and NUL where there is none


@dataclass(frozen=True)
class MadeUp:
    """A maker of text.

    Attributes:
        shapes: Common shapes, or lengths of plain letters where no shape is common.
        known: The source's values, which are never made.
        unique: Whether every value has to be another one.
    """

    shapes: tuple[Shape, ...]
    known: pa.Array
    unique: bool

    @classmethod
    def of(cls, values: pa.Array, k: int) -> MadeUp:
        """The maker for a column's values, nulls left out."""
        known = pc.unique(values)
        patterns = shapes_of(values)
        counted = sorted(((item["counts"], item["values"]) for item in pc.value_counts(patterns).to_pylist()), reverse=True)
        common = [(count, pattern) for count, pattern in counted[:_MOST_SHAPES] if count >= k and len(pattern) <= _LONGEST]
        if sum(count for count, _ in common) < len(values) / 2:
            return cls(_lengths(values), known, len(known) == len(values))
        total = sum(count for count, _ in common)
        shapes = tuple(Shape(pattern, count / total, _fixed(values, patterns, pattern, k)) for count, pattern in common)
        return cls(shapes, known, len(known) == len(values))

    def draw(self, rng: np.random.Generator, rows: int) -> pa.Array:
        """New values: first with the characters that all share, then of the shape alone, then longer, until none is known."""
        chosen = rng.choice(len(self.shapes), size=rows, p=[shape.share for shape in self.shapes])
        made = np.full(rows, "", dtype=object)
        wanted = np.ones(rows, bool)
        for attempt in range(12):
            for number, shape in enumerate(self.shapes):
                places = np.flatnonzero(wanted & (chosen == number))
                template = shape.fixed if attempt < 4 else "\0" * len(shape.pattern)
                longer = _TAIL if attempt >= 8 and shape.pattern else ""
                made[places] = _fill(rng, shape.pattern + longer, template + "\0" * len(longer), len(places))
            wanted = self._bad(made)
            if not wanted.any():
                break
        return pa.array(made, pa.string())

    def _bad(self, made: Array) -> Array:
        values = pa.array(made, pa.string())
        bad: Array = pc.is_in(values, value_set=self.known).to_numpy(zero_copy_only=False)
        bad = bad & (made != "")  # the empty text says nothing of anybody
        if self.unique:
            codes = values.dictionary_encode().indices.to_numpy()
            first = np.zeros(len(codes), bool)
            first[np.unique(codes, return_index=True)[1]] = True
            bad = bad | ~first
        return bad


def _lengths(values: pa.Array) -> tuple[Shape, ...]:
    lengths = np.clip(pc.utf8_length(values).to_numpy(zero_copy_only=False), 1, _LONGEST)
    # Nine lengths in the middle of their distribution: none is an outlier's.
    chosen = np.quantile(lengths, np.linspace(0.05, 0.95, 9), method="nearest").astype(int)
    return tuple(Shape("a" * int(length), 1 / 9, "\0" * int(length)) for length in chosen)


def _fixed(values: pa.Array, patterns: pa.Array, pattern: str, k: int) -> str:
    group = values.filter(pc.equal(patterns, pattern))
    if pc.count_distinct(group).as_py() < k:
        return "\0" * len(pattern)
    kept = []
    for place in range(len(pattern)):
        letters = pc.utf8_slice_codeunits(group, place, place + 1)
        kept.append(letters[0].as_py() if pc.count_distinct(letters).as_py() == 1 else "\0")
    return "".join(kept)


def _fill(rng: np.random.Generator, pattern: str, fixed: str, rows: int) -> Array:
    """Random values of one shape: a matrix of code points, read as text."""
    if not pattern or not rows:
        return np.full(rows, "", dtype=object)
    points = np.empty((rows, len(pattern)), np.uint32)
    for place, (kind, kept) in enumerate(zip(pattern, fixed, strict=True)):
        letters = np.array([ord(letter) for letter in _CLASSES.get(kind, kind)], np.uint32)
        points[:, place] = ord(kept) if kept != "\0" else rng.choice(letters, size=rows)
    return points.view(f"<U{len(pattern)}").ravel().astype(object)
