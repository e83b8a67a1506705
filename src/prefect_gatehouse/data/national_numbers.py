"""Numbers that states and card networks give to persons: their forms, their check digits, and how often chance passes the check.

A table: a kind is one entry. ``form`` says which digit strings of the right length could be such a number at all, ``passes`` applies
the check digit, ``chance`` is the share of numbers of that form that pass although they are none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from prefect_gatehouse.data.check_digits import Answers, Digits, date, luhn, mod_11_10, value, verhoeff, weighted


@dataclass(frozen=True)
class NumberKind:
    """One kind of number that is digits alone.

    Attributes:
        name: As a message names it.
        lengths: How many digits it may have.
        form: Which rows of digits have the form.
        passes: Which rows pass the check.
        chance: Share of numbers of the form that pass by chance.
        written: Pattern of the usual way of writing it in groups.
        alone: Whether one bare number that passes is enough in a text where such numbers are rare.
    """

    name: str
    lengths: tuple[int, ...]
    form: Callable[[Digits], Answers]
    passes: Callable[[Digits], Answers]
    chance: float
    written: str | None = None
    alone: bool = False


def _always(digits: Digits) -> Answers:
    return np.ones(len(digits), np.bool_)


def _varied(digits: Digits) -> Answers:
    """Not one digit over and over: 000000000 passes most checks and is nobody's number."""
    return np.asarray((digits != digits[:, :1]).any(axis=1))


def _card(digits: Digits) -> Answers:
    """Issuer ranges of the large networks by length (ISO/IEC 7812)."""
    length = digits.shape[1]
    two, four = value(digits[:, :2]), value(digits[:, :4])
    visa = (digits[:, 0] == 4) & (length in (13, 16, 19))
    master = (((two >= 51) & (two <= 55)) | ((four >= 2221) & (four <= 2720))) & (length == 16)
    amex = ((two == 34) | (two == 37)) & (length == 15)
    diners = ((two == 36) | (two == 38) | (two == 30)) & (length == 14)
    others = ((four == 6011) | (two == 65) | (two == 62) | (two == 35)) & (length >= 16)
    maestro = ((two == 50) | ((two >= 56) & (two <= 58)) | (two == 67)) & (length in (16, 18, 19))
    return np.asarray(visa | master | amex | diners | others | maestro) & _varied(digits)


def _nhs(digits: Digits) -> Answers:
    check = (11 - weighted(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2), 11)) % 11
    return np.asarray(check == digits[:, 9])


def _german_form(digits: Digits) -> Answers:
    """Among the first ten digits one occurs two or three times and the others at most once; no leading zero."""
    counts = (digits[:, :10, None] == np.arange(10)).sum(axis=1)
    most = counts.max(axis=1)
    return np.asarray((digits[:, 0] != 0) & ((most == 2) | (most == 3)) & ((counts > 1).sum(axis=1) == 1))


def _french_form(digits: Digits) -> Answers:
    month = value(digits[:, 3:5])
    return np.asarray((digits[:, 0] >= 1) & (digits[:, 0] <= 2) & (((month >= 1) & (month <= 12)) | ((month >= 20) & (month <= 42))))


def _french(digits: Digits) -> Answers:
    return np.asarray(97 - value(digits[:, :13]) % 97 == value(digits[:, 13:15]))


def _bsn(digits: Digits) -> Answers:
    return np.asarray(weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1), 11) == 0)


def _swedish_form(digits: Digits) -> Answers:
    if digits.shape[1] == 12:
        century = value(digits[:, :2])
        return np.asarray((century >= 18) & (century <= 20)) & _swedish_form(digits[:, 2:])
    day = value(digits[:, 4:6])
    return date(value(digits[:, :2]), value(digits[:, 2:4]), np.where(day > 60, day - 60, day))


def _cpf(digits: Digits) -> Answers:
    first = weighted(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2), 11)
    second = weighted(digits, (11, 10, 9, 8, 7, 6, 5, 4, 3, 2), 11)
    return np.asarray((np.where(first < 2, 0, 11 - first) == digits[:, 9]) & (np.where(second < 2, 0, 11 - second) == digits[:, 10]))


def _pesel_form(digits: Digits) -> Answers:
    """The century is in the month: 1 to 12 for 19xx, 21 to 32 for 20xx, 81 to 92 for 18xx."""
    month = value(digits[:, 2:4]) % 20
    return date(value(digits[:, :2]), month, value(digits[:, 4:6]))


def _pesel(digits: Digits) -> Answers:
    return np.asarray((10 - weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3), 10)) % 10 == digits[:, 10])


def _norwegian_form(digits: Digits) -> Answers:
    day = value(digits[:, :2])
    return date(value(digits[:, 4:6]), value(digits[:, 2:4]), np.where(day > 40, day - 40, day))


def _norwegian(digits: Digits) -> Answers:
    first = (11 - weighted(digits, (3, 7, 6, 1, 8, 9, 4, 5, 2), 11)) % 11
    second = (11 - weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2), 11)) % 11
    return np.asarray((first == digits[:, 9]) & (second == digits[:, 10]))


def _belgian_form(digits: Digits) -> Answers:
    return date(value(digits[:, :2]), value(digits[:, 2:4]) % 20, value(digits[:, 4:6]))


def _belgian(digits: Digits) -> Answers:
    """Before the number of somebody born from 2000 on stands a 2."""
    number, check = value(digits[:, :9]), value(digits[:, 9:11])
    return np.asarray((97 - number % 97 == check) | (97 - (number + 2_000_000_000) % 97 == check))


def _swiss_form(digits: Digits) -> Answers:
    return np.asarray(value(digits[:, :3]) == 756)  # the country's number in EAN


def _ean(digits: Digits) -> Answers:
    return np.asarray((10 - weighted(digits, (1, 3) * 6, 10)) % 10 == digits[:, 12])


def _aadhaar_form(digits: Digits) -> Answers:
    return np.asarray(digits[:, 0] >= 2) & _varied(digits)


NUMBERS: tuple[NumberKind, ...] = (
    NumberKind(
        "payment card number",
        tuple(range(13, 20)),
        _card,
        luhn,
        0.1,
        r"\d{4}(?:[ -]\d{4}){3}(?:[ -]\d{1,3})?|3\d{3}[ -]\d{6}[ -]\d{4,5}",
        alone=True,
    ),
    NumberKind("British NHS number", (10,), _varied, _nhs, 1 / 11, r"\d{3}[ -]\d{3}[ -]\d{4}"),
    NumberKind("German tax number", (11,), _german_form, mod_11_10, 0.1, r"\d{2} \d{3} \d{3} \d{3}"),
    NumberKind("French insurance number", (15,), _french_form, _french, 1 / 97, r"[12] \d{2} \d{2} \d{2} \d{3} \d{3} \d{2}", alone=True),
    NumberKind("Dutch BSN", (9,), _varied, _bsn, 1 / 11, r"\d{4}\.\d{2}\.\d{3}"),
    NumberKind("Swedish personal number", (10, 12), _swedish_form, lambda digits: luhn(digits[:, -10:]), 0.1, r"(?:\d{2})?\d{6}[-+]\d{4}"),
    NumberKind("Indian Aadhaar number", (12,), _aadhaar_form, verhoeff, 0.1, r"\d{4}[ -]\d{4}[ -]\d{4}"),
    NumberKind("Canadian SIN", (9,), _varied, luhn, 0.1, r"\d{3}[ -]\d{3}[ -]\d{3}"),
    NumberKind("Brazilian CPF", (11,), _varied, _cpf, 0.01, r"\d{3}\.\d{3}\.\d{3}-\d{2}", alone=True),
    NumberKind("Polish PESEL", (11,), _pesel_form, _pesel, 0.1),
    NumberKind("Norwegian identity number", (11,), _norwegian_form, _norwegian, 1 / 121, r"\d{6} \d{5}", alone=True),
    NumberKind("Belgian register number", (11,), _belgian_form, _belgian, 2 / 97, r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", alone=True),
    NumberKind("Swiss insurance number", (13,), _swiss_form, _ean, 0.1, r"756\.\d{4}\.\d{4}\.\d{2}"),
)
"""Every kind of number that is digits alone."""
