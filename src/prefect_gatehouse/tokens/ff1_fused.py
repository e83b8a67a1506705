"""FF1's steps as compiled functions: reading numerals out of text, the arithmetic of a round, writing numerals into text.

Only the compiled tier imports this module; ``ff1_rounds.py`` says what each step does. All numbers are unsigned and of 64 bits: numba turns
a mixture of signed and unsigned ones into doubles.
"""

from __future__ import annotations

import numpy as np

from prefect_gatehouse.tokens.base32hex import Bytes
from prefect_gatehouse.tokens.compiled import kernel
from prefect_gatehouse.tokens.ff1_columns import Counts, Edges, Rows
from prefect_gatehouse.tokens.ff1_rounds import Numbers
from prefect_gatehouse.tokens.kernels import Written, helper, load64, store64, swap64


@kernel
def measure(data: Bytes, edges: Edges, weights: Edges, counts: Written[Counts]) -> None:
    """For each value the number of its numerals, -1 where it holds a character that it must not.

    Args:
        data: All values, one behind the other.
        edges: Where each value starts and the last one ends.
        weights: For each byte what it adds, see ``Alphabet.weights``.
        counts: Out: the numbers.
    """
    for row in range(len(counts)):
        count = 0
        for place in range(np.uint64(edges[row]), np.uint64(edges[row + 1])):
            count += weights[data[place]]
        counts[row] = -1 if count >> 32 else count


@kernel
def read(
    data: Bytes, edges: Edges, rows: Rows, values: Bytes, radix: np.uint64, length: int, first: Written[Numbers], second: Written[Numbers]
) -> None:
    """The halves of some values of one length as numbers."""
    left = length // 2
    for at in range(len(rows)):
        row = rows[at]
        place = np.uint64(edges[row])
        number, other = np.uint64(0), np.uint64(0)
        if edges[row + 1] - edges[row] == length:
            # Both halves in turn: neither multiplication waits for the other.
            middle = place + np.uint64(left)
            for step in range(np.uint64(left)):
                number = number * radix + np.uint64(values[data[place + step]])
                other = other * radix + np.uint64(values[data[middle + step]])
            if left + left < length:
                other = other * radix + np.uint64(values[data[middle + np.uint64(left)]])
        else:
            seen = 0
            while seen < length:
                value = values[data[place]]
                place += np.uint64(1)
                if value < 254:
                    if seen < left:
                        number = number * radix + np.uint64(value)
                    else:
                        other = other * radix + np.uint64(value)
                    seen += 1
        first[at] = number
        second[at] = other


@kernel
def fill(other: Numbers, high: np.uint64, low: np.uint64, ready: Written[Numbers]) -> None:
    """The blocks of the first round; ``high`` and ``low`` are big-endian words."""
    for at in range(len(other)):
        ready[2 * at] = swap64(high)
        ready[2 * at + 1] = swap64(low ^ other[at])


@kernel
def step(
    target: Written[Numbers],
    drawn: Numbers,
    size: int,
    modulus: np.uint64,
    back: bool,
    high: np.uint64,
    low: np.uint64,
    ready: Written[Numbers],
) -> None:
    """Adds what a round has drawn to one half, or subtracts it, and makes the blocks of the next round.

    Each quotient comes from doubles and is wrong by at most one (IEEE 754): it is below 2^51 in the first case (the modulus is at least
    2^13) and below 2^33 in the others. So its remainder lies between -modulus and twice the modulus, which is below 2^63.
    """
    inverse = 1.0 / np.float64(modulus)
    before = swap64(high)
    # One loop each and flat arrays, so that the compiler makes vectors of them.
    if size == 12:
        for at in range(len(target)):
            rest = _rest(swap64(drawn[2 * at]), modulus, inverse)
            more = swap64(drawn[2 * at + 1]) >> np.uint64(32)
            quotient = np.uint64((np.float64(rest) * 4294967296.0 + np.float64(more)) * inverse)
            rest = _near(((rest << np.uint64(32)) | more) - quotient * modulus, modulus)
            number = _sum(target[at], rest, modulus, back)
            target[at] = number
            ready[2 * at] = before
            ready[2 * at + 1] = swap64(low ^ number)
    elif modulus >= np.uint64(1 << 13):
        for at in range(len(target)):
            rest = _rest(swap64(drawn[2 * at]), modulus, inverse)
            number = _sum(target[at], rest, modulus, back)
            target[at] = number
            ready[2 * at] = before
            ready[2 * at + 1] = swap64(low ^ number)
    else:
        for at in range(len(target)):
            word = swap64(drawn[2 * at])
            rest = _rest(word >> np.uint64(32), modulus, inverse)
            rest = _rest((rest << np.uint64(32)) | (word & np.uint64(0xFFFFFFFF)), modulus, inverse)
            number = _sum(target[at], rest, modulus, back)
            target[at] = number
            ready[2 * at] = before
            ready[2 * at + 1] = swap64(low ^ number)


@helper
def _sum(number: np.uint64, rest: np.uint64, modulus: np.uint64, back: bool) -> np.uint64:
    """The sum or the difference modulo ``modulus``; of the two candidates the right one is the smaller, since below zero is huge."""
    number += modulus - rest if back else rest
    return min(number, number - modulus)


@helper
def _rest(number: np.uint64, modulus: np.uint64, inverse: float) -> np.uint64:
    return _near(number - np.uint64(np.float64(number) * inverse) * modulus, modulus)


@helper
def _near(rest: np.uint64, modulus: np.uint64) -> np.uint64:
    """A remainder between -modulus and twice the modulus, brought into its range: what is below zero has wrapped to a huge number."""
    rest = min(rest, rest + modulus)
    return min(rest, rest - modulus)


@kernel
def write(
    first: Numbers,
    second: Numbers,
    rows: Rows,
    edges: Edges,
    values: Bytes,
    spelt: Numbers,
    width: int,
    length: int,
    text: Written[Bytes],
    out: Written[Bytes],
) -> None:
    """Spells numbers over the numerals that ``out`` holds.

    Args:
        first: First halves.
        second: Second halves.
        rows: Which values of the text they are.
        edges: Offsets of all values.
        values: What each byte is.
        spelt: All texts of ``width`` characters in order, each as the last of 8 bytes.
        width: Characters of a text in ``spelt``.
        length: Numerals of a value.
        text: Room for a value and eight bytes in front, since each text is stored with what would stand before it.
        out: The text.
    """
    left = length // 2
    for at in range(len(rows)):
        row = rows[at]
        place, end = edges[row], edges[row + 1]
        _spell(second[at], length - left, spelt, width, text, length)
        _spell(first[at], left, spelt, width, text, left)
        if end - place == length and length >= 8:
            for step in range(0, length - 8, 8):
                store64(out, place + step, load64(text, 8 + step))
            store64(out, end - 8, load64(text, length))
        else:
            seen = 0
            while seen < length:
                if values[out[place]] < 254:
                    out[place] = text[8 + seen]
                    seen += 1
                place += 1


@helper
def _spell(number: np.uint64, count: int, spelt: Numbers, width: int, text: Written[Bytes], end: int) -> None:
    """``count`` characters of a number, so that the last of them is the one before ``text[8 + end]``."""
    base = np.uint64(len(spelt))
    inverse = 1.0 / np.float64(base)
    while count > width:
        # Wrong by at most one, see _TABLE in ff1_columns.py; below zero the remainder has wrapped to a huge number.
        quotient = np.uint64(np.float64(number) * inverse)
        rest = number - quotient * base
        if rest > base + base:
            quotient -= np.uint64(1)
            rest += base
        elif rest >= base:
            quotient += np.uint64(1)
            rest -= base
        store64(text, end, spelt[rest])
        number = quotient
        end -= width
        count -= width
    store64(text, end, spelt[number])
