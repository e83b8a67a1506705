"""FF1's steps as compiled functions: reading numerals out of text, the arithmetic of a round, writing numerals into text.

Only the compiled tier imports this module; ``ff1_rounds.py`` says what each step does. All numbers are unsigned and of 64 bits: numba turns
a mixture of signed and unsigned ones into doubles.
"""

from __future__ import annotations

import numpy as np

from prefect_gatehouse.tokens.base32hex import Bytes
from prefect_gatehouse.tokens.compiled import compiled, swap64
from prefect_gatehouse.tokens.ff1_columns import Counts, Edges, Rows
from prefect_gatehouse.tokens.ff1_rounds import Numbers


@compiled
def measure(data: Bytes, edges: Edges, values: Bytes, counts: Counts) -> None:
    """For each value the number of its numerals, -1 where it holds a character that it must not."""
    for row in range(len(counts)):
        count, refused = 0, 0
        for place in range(edges[row], edges[row + 1]):
            value = values[data[place]]
            count += value < 254
            refused |= value == 255
        counts[row] = -1 if refused else count


@compiled
def read(data: Bytes, edges: Edges, rows: Rows, values: Bytes, radix: np.uint64, length: int, first: Numbers, second: Numbers) -> None:
    """The halves of some values of one length as numbers."""
    left = length // 2
    for at in range(len(rows)):
        row = rows[at]
        place = edges[row]
        number, other = np.uint64(0), np.uint64(0)
        if edges[row + 1] - place == length:
            # Both halves in turn: neither multiplication waits for the other.
            middle = place + left
            for step in range(left):
                number = number * radix + np.uint64(values[data[place + step]])
                other = other * radix + np.uint64(values[data[middle + step]])
            if left + left < length:
                other = other * radix + np.uint64(values[data[place + length - 1]])
        else:
            seen = 0
            while seen < length:
                value = values[data[place]]
                place += 1
                if value < 254:
                    if seen < left:
                        number = number * radix + np.uint64(value)
                    else:
                        other = other * radix + np.uint64(value)
                    seen += 1
        first[at] = number
        second[at] = other


@compiled
def fill(other: Numbers, high: np.uint64, low: np.uint64, ready: Numbers) -> None:
    """The blocks of the first round; ``high`` and ``low`` are big-endian words."""
    for at in range(len(other)):
        ready[at, 0] = swap64(high)
        ready[at, 1] = swap64(low ^ other[at])


@compiled
def step(target: Numbers, drawn: Numbers, size: int, modulus: np.uint64, back: bool, high: np.uint64, low: np.uint64, ready: Numbers) -> None:
    """Adds what a round has drawn to one half, or subtracts it, and makes the blocks of the next round.

    Each quotient comes from doubles and is wrong by at most one (IEEE 754): it is below 2^51 in the first case (the modulus is at least
    2^13) and below 2^33 in the others. So its remainder lies between -modulus and twice the modulus, which is below 2^63.
    """
    inverse = 1.0 / np.float64(modulus)
    small = modulus < np.uint64(1 << 13)
    for at in range(len(target)):
        word = swap64(drawn[at, 0])
        if small:
            rest = _rest(word >> np.uint64(32), modulus, inverse)
            rest = _rest((rest << np.uint64(32)) | (word & np.uint64(0xFFFFFFFF)), modulus, inverse)
        else:
            rest = _rest(word, modulus, inverse)
            if size == 12:
                more = swap64(drawn[at, 1]) >> np.uint64(32)
                quotient = np.uint64((np.float64(rest) * 4294967296.0 + np.float64(more)) * inverse)
                rest = _near(((rest << np.uint64(32)) | more) - quotient * modulus, modulus)
        number = target[at]
        if back:
            number -= rest
            number = min(number, number + modulus)
        else:
            number += rest
            number = min(number, number - modulus)
        target[at] = number
        ready[at, 0] = swap64(high)
        ready[at, 1] = swap64(low ^ number)


@compiled
def _rest(number: np.uint64, modulus: np.uint64, inverse: float) -> np.uint64:
    return _near(number - np.uint64(np.float64(number) * inverse) * modulus, modulus)


@compiled
def _near(rest: np.uint64, modulus: np.uint64) -> np.uint64:
    """A remainder between -modulus and twice the modulus, brought into its range: what is below zero has wrapped to a huge number."""
    rest = min(rest, rest + modulus)
    return min(rest, rest - modulus)


@compiled
def write(first: Numbers, second: Numbers, rows: Rows, edges: Edges, values: Bytes, spelt: Bytes, length: int, out: Bytes) -> None:
    """Spells numbers over the numerals that ``out`` holds.

    Args:
        first: First halves.
        second: Second halves.
        rows: Which values of the text they are.
        edges: Offsets of all values.
        values: What each byte is.
        spelt: All texts of as many characters as a row has, in order.
        length: Numerals of a value.
        out: The text.
    """
    left = length // 2
    text = np.empty(length, np.uint8)
    for at in range(len(rows)):
        row = rows[at]
        place, end = edges[row], edges[row + 1]
        if end - place == length:
            _spell(first[at], spelt, out, place, place + left)
            _spell(second[at], spelt, out, place + left, end)
        else:
            _spell(first[at], spelt, text, 0, left)
            _spell(second[at], spelt, text, left, length)
            seen = 0
            while seen < length:
                if values[out[place]] < 254:
                    out[place] = text[seen]
                    seen += 1
                place += 1


@compiled
def _spell(number: np.uint64, spelt: Bytes, out: Bytes, start: int, end: int) -> None:
    width = spelt.shape[1]
    base = np.uint64(len(spelt))
    inverse = 1.0 / np.float64(base)
    while end - start >= width:
        # Wrong by at most one, see _TABLE in ff1_columns.py; below zero the remainder has wrapped to a huge number.
        quotient = np.uint64(np.float64(number) * inverse)
        rest = number - quotient * base
        if rest > base + base:
            quotient -= np.uint64(1)
            rest += base
        if rest >= base:
            quotient += np.uint64(1)
            rest -= base
        end -= width
        for place in range(width):
            out[end + place] = spelt[rest, place]
        number = quotient
    for place in range(end - start):
        out[start + place] = spelt[number, width - (end - start) + place]
