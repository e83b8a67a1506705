"""Check digits and written forms, against specimens that standards and offices publish."""

from __future__ import annotations

import numpy as np
import pytest

from prefect_gatehouse.data.check_digits import date, luhn, mod_11_10, verhoeff
from prefect_gatehouse.data.national_numbers import NUMBERS
from prefect_gatehouse.data.written_identifiers import WRITTEN, formed, held

# Numbers that issuers and standards print as examples; the Norwegian one is worked out by hand from its published weights.
SPECIMENS = {
    "payment card number": ["4111111111111111", "5555555555554444", "378282246310005", "30569309025904", "6011111111111117", "3530111333300000"],
    "British NHS number": ["9434765919"],
    "German tax number": ["86095742719"],
    "French insurance number": ["269054958815780"],
    "Dutch BSN": ["111222333"],
    "Swedish personal number": ["8112189876", "198112189876"],
    "Indian Aadhaar number": ["234123412346"],
    "Canadian SIN": ["046454286"],
    "Brazilian CPF": ["11144477735"],
    "Polish PESEL": ["44051401359"],
    "Norwegian identity number": ["01129955151"],
    "Belgian register number": ["85073003328"],
    "Swiss insurance number": ["7569217076985"],
}
WRITTEN_SPECIMENS = {
    "IBAN": ["GB82WEST12345698765432", "DE89 3704 0044 0532 0130 00", "FR1420041010050500013M02606", "NO9386011117947"],
    "US social security number": ["123-45-6789"],
    "British insurance number": ["AB123456C", "QQ 12 34 56 C".replace("QQ", "AB")],
    "Spanish DNI": ["12345678Z", "X1234567L", "Y-1234567-X"],
    "Italian codice fiscale": ["RSSMRA85T10A562S"],
    "Finnish identity code": ["131052-308T"],
    "Chinese resident number": ["11010519491231002X"],
}


def digits(*numbers: str) -> np.ndarray:
    return np.array([[int(character) for character in number] for number in numbers], np.int64)


@pytest.mark.parametrize("kind", NUMBERS, ids=lambda kind: kind.name)
def test_specimens_pass_and_their_neighbours_do_not(kind: object) -> None:
    """Each specimen has the form and passes; of the numbers that differ in the last digit alone, none passes."""
    for specimen in SPECIMENS[kind.name]:  # type: ignore[attr-defined]
        assert kind.form(digits(specimen))[0] and kind.passes(digits(specimen))[0], specimen  # type: ignore[attr-defined]
        others = digits(*(specimen[:-1] + str((int(specimen[-1]) + step) % 10) for step in range(1, 10)))
        assert not kind.passes(others).any(), specimen  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", NUMBERS, ids=lambda kind: kind.name)
def test_the_stated_chance_is_the_share_that_passes(kind: object) -> None:
    """Of random numbers that have the form, as many pass as the table says, so that verdicts about columns rest on true shares."""
    rng = np.random.default_rng(7)
    for length in kind.lengths:  # type: ignore[attr-defined]
        rows = rng.integers(0, 10, (60_000, length))
        if "Swiss" in kind.name:  # type: ignore[attr-defined]
            rows[:, :3] = (7, 5, 6)  # the form is one in a thousand
        rows = rows[kind.form(rows)]  # type: ignore[attr-defined]
        share = kind.passes(rows).mean()  # type: ignore[attr-defined]
        assert abs(share - kind.chance) < 5 * np.sqrt(kind.chance / len(rows)), (length, share)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", WRITTEN_SPECIMENS)
def test_written_specimens(name: str) -> None:
    """What is told by its writing: specimens hold, and with another last character they do not (where there is a check character)."""
    kind = next(each for each in WRITTEN if each.name == name)
    for specimen in WRITTEN_SPECIMENS[name]:
        assert formed(kind, [specimen]) == held(kind, [specimen]) == [True], specimen
        if name not in ("US social security number", "British insurance number"):
            last = specimen[-1]
            other = chr(ord("A") + (ord(last) - ord("A") + 1) % 26) if last.isalpha() else str((int(last) + 1) % 10)
            assert held(kind, [specimen[:-1] + other]) == [False], specimen


def test_luhn_verhoeff_and_mod_11_10_find_every_wrong_digit() -> None:
    """Examples of the standards, and no single wrong digit passes any of the three."""
    for check, good in ((luhn, "79927398713"), (verhoeff, "2363"), (mod_11_10, "07945")):
        assert check(digits(good))[0]
        for place, character in enumerate(good):
            wrong = [good[:place] + other + good[place + 1 :] for other in "0123456789" if other != character]
            assert not check(digits(*wrong)).any()


def test_days_of_the_calendar() -> None:
    """Months have their days; a 29th of February counts in any year."""
    assert date(*(np.array(each) for each in ([80, 80, 80, 80], [2, 13, 4, 1], [29, 1, 31, 0]))).tolist() == [True, False, False, False]
