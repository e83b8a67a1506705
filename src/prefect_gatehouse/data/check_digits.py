"""Check digits over whole columns: each function takes digits as a matrix (n, length) and gives n answers.

Luhn: ISO/IEC 7812-1, annex B. Modulo 11,10: ISO/IEC 7064. Verhoeff: J. Verhoeff, Error detecting decimal codes (1969), the
dihedral group D5. The weights of single countries stand with their numbers in ``national_numbers``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Digits = npt.NDArray[np.int64]
Answers = npt.NDArray[np.bool_]

# Multiplication in D5, and the permutation that each place from the right applies once more.
_D5 = np.array([[(b + a) % 5 + 5 * (b // 5) if a < 5 else ((a - b) % 5 + 5 * (b < 5)) for b in range(10)] for a in range(10)])
_TURN = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
_TURNS = np.array([list(range(10))] * 8)
for _row in range(1, 8):
    _TURNS[_row] = [_TURNS[_row - 1][_TURN[_digit]] for _digit in range(10)]


def luhn(digits: Digits) -> Answers:
    """Whether the last digit is the Luhn check digit of the others."""
    doubled = digits[:, -2::-2] * 2
    return np.asarray((digits[:, ::-2].sum(axis=1) + (doubled - 9 * (doubled > 9)).sum(axis=1)) % 10 == 0)


def weighted(digits: Digits, weights: tuple[int, ...], modulus: int) -> Digits:
    """The weighted sum of the first digits, modulo something."""
    return np.asarray(digits[:, : len(weights)] @ np.array(weights) % modulus)


def mod_11_10(digits: Digits) -> Answers:
    """Whether the last digit is the check digit of the hybrid system modulo 11,10."""
    product = np.full(len(digits), 10)
    for place in range(digits.shape[1] - 1):
        total = (digits[:, place] + product) % 10
        product = np.where(total == 0, 10, total) * 2 % 11
    return np.asarray((11 - product) % 10 == digits[:, -1])


def verhoeff(digits: Digits) -> Answers:
    """Whether the last digit is the Verhoeff check digit of the others."""
    state = np.zeros(len(digits), np.int64)
    for place in range(digits.shape[1]):
        state = _D5[state, _TURNS[place % 8, digits[:, -1 - place]]]
    return np.asarray(state == 0)


def value(digits: Digits) -> Digits:
    """The whole number that at most 18 digits spell."""
    return np.asarray(digits @ 10 ** np.arange(digits.shape[1] - 1, -1, -1, dtype=np.int64))


def date(year: Digits, month: Digits, day: Digits) -> Answers:
    """Whether three columns of numbers are a day of the calendar; a two-digit year is as any."""
    longest = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])[np.clip(month, 0, 12)]
    return np.asarray((month >= 1) & (month <= 12) & (day >= 1) & (day <= longest) & (year >= 0))
