"""The permutation's steps as compiled functions; only the compiled tier imports this module.

Arrays are flat, so that the compiler makes vectors of the loops.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prefect_gatehouse.tokens.compiled import compiled

Words = npt.NDArray[np.uint32]


@compiled
def begin(numbers: Words, first: Words, second: Words, ready: Words, back: bool) -> None:
    """Numbers (pairs of words, the lower one first) as halves, and the blocks of the first round."""
    for at in range(len(first)):
        first[at] = numbers[2 * at]
        second[at] = numbers[2 * at + 1]
    other = first if back else second
    for at in range(len(other)):
        ready[4 * at] = other[at]


@compiled
def mix(target: Words, drawn: Words, ready: Words) -> None:
    """Adds what a round has drawn to a half, and makes the blocks of the next round of it."""
    for at in range(len(target)):
        word = target[at] ^ drawn[4 * at]
        target[at] = word
        ready[4 * at] = word
        # A whole block is one store, a quarter of it is four times as slow.
        ready[4 * at + 1] = 0
        ready[4 * at + 2] = 0
        ready[4 * at + 3] = 0


@compiled
def end(first: Words, second: Words, numbers: Words) -> None:
    """Halves as numbers."""
    for at in range(len(first)):
        numbers[2 * at] = first[at]
        numbers[2 * at + 1] = second[at]
