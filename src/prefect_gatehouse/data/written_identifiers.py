"""Identifiers that are told by how they are written: addresses, telephone numbers, IBANs and numbers with letters in them.

A table: a kind is one entry. Patterns are bounded or possessive, so that no text makes them slow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Lengths by country (ISO 13616, the registry of SWIFT).
_IBAN_LENGTHS = {
    **dict.fromkeys(("NO",), 15),
    **dict.fromkeys(("BE",), 16),
    **dict.fromkeys(("DK", "FI", "FO", "GL", "NL", "FK", "SD"), 18),
    **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "XK", "MN"), 20),
    **dict.fromkeys(("CH", "CR", "HR", "LI", "LV"), 21),
    **dict.fromkeys(("BG", "BH", "DE", "GB", "GE", "IE", "ME", "RS", "VA"), 22),
    **dict.fromkeys(("AE", "GI", "IL", "IQ", "TL", "OM", "SO"), 23),
    **dict.fromkeys(("AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"), 24),
    **dict.fromkeys(("PT", "ST", "LY"), 25),
    **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("BI", "DJ", "FR", "GR", "IT", "MC", "MR", "SM"), 27),
    **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "GT", "HU", "LB", "PL", "SV", "NI"), 28),
    **dict.fromkeys(("BR", "EG", "PS", "QA", "UA", "HN"), 29),
    **dict.fromkeys(("JO", "KW", "MU", "YE"), 30),
    **dict.fromkeys(("MT", "SC"), 31),
    **dict.fromkeys(("LC",), 32),
    **dict.fromkeys(("RU",), 33),
}
_LETTERS_TO_NUMBERS = {ord(letter): str(10 + place) for place, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ")}
_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU = "0123456789ABCDEFHJKLMNPRSTUVWXY"
# Values of the characters in odd places of a codice fiscale (decree of 23 December 1976), 0 to 9 as A to J.
_ODD = dict(
    zip(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21),
        strict=True,
    )
)


# Neither in a word nor in a longer number, nor behind the point or comma of one.
BEFORE, BEHIND = r"(?<!\w)(?<!\d[.,])", r"(?!\w)(?![.,]\d)"


@dataclass(frozen=True)
class WrittenKind:
    """One kind of identifier that its writing gives away.

    Attributes:
        name: As a message names it.
        pattern: What is looked for, without a capturing group.
        holds: Whether what was found is one, None if the pattern alone says so.
        form: Whether what was found has the form at all, None if the pattern alone says so.
        chance: Share of texts of this form that are none and pass; 0 where one is enough.
        before: What must not stand before it.
        behind: What must not stand behind it.
        hint: A simpler pattern that it never escapes, where its own is not for RE2.
    """

    name: str
    pattern: str
    holds: Callable[[str], bool] | None = None
    chance: float = 0.0
    form: Callable[[str], bool] | None = None
    before: str = BEFORE
    behind: str = BEHIND
    hint: str = ""

    @property
    def whole(self) -> str:
        """The pattern with what must not stand before and behind it."""
        return f"{self.before}(?:{self.pattern}){self.behind}"

    @property
    def quick(self) -> str:
        """What every text that holds one matches, for RE2, which knows no conditions before and behind and no possessive pattern."""
        return self.hint or self.pattern


def _iban_form(text: str) -> bool:
    text, length = text.upper(), _IBAN_LENGTHS.get(text[:2].upper(), 0)
    # The pattern takes words behind the number as well; the number must end where one of its groups ends.
    ends = {len(text[:place].replace(" ", "")) for place, character in enumerate(text + " ") if character == " "}
    return length in ends


def _iban(text: str) -> bool:
    text = text.replace(" ", "").upper()
    text = text[: _IBAN_LENGTHS[text[:2]]]
    return int((text[4:] + text[:4]).translate(_LETTERS_TO_NUMBERS)) % 97 == 1  # ISO/IEC 7064, modulo 97,10


def _dni(text: str) -> bool:
    text = text.replace("-", "").replace(".", "").replace(" ", "").upper()
    return _DNI[int(text[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")) % 23] == text[-1]


def _codice_fiscale(text: str) -> bool:
    text = text.upper()
    total = sum(_ODD[each] for each in text[0:15:2]) + sum(ord(each) - (48 if each.isdigit() else 65) for each in text[1:15:2])
    return chr(65 + total % 26) == text[15]


def _hetu(text: str) -> bool:
    text = text.upper()
    return 1 <= int(text[:2]) <= 31 and 1 <= int(text[2:4]) <= 12 and _HETU[int(text[:6] + text[7:10]) % 31] == text[10]


def _ssn(text: str) -> bool:
    """What the Social Security Administration never gave: area 000, 666 and 900 on, group 00, serial 0000."""
    area, group, serial = re.split("[ -]", text)
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _address_v4(text: str) -> bool:
    """Not a version such as 10.2.3.4: some part has three digits."""
    parts = text.split(".")
    return all(int(part) <= 255 and (part == "0" or part[0] != "0") for part in parts) and any(len(part) == 3 for part in parts)


def _address_v6(text: str) -> bool:
    groups = text.split(":")
    return ("::" in text and sum(map(bool, groups)) >= 2 and len(groups) <= 8) or (len(groups) == 8 and all(groups))


def _resident(text: str) -> bool:
    """GB 11643: the weights are powers of 2 modulo 11."""
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(text[:17]))
    return 1 <= int(text[10:12]) <= 12 and 1 <= int(text[12:14]) <= 31 and "10X98765432"[total % 11] == text[17].upper()


def _either(*patterns: str) -> str:
    return "|".join(patterns)


_PHONE = _either(
    r"\+[1-9](?:[ .-]?\(?\d\)?){7,14}",  # ITU-T E.164, 8 to 15 digits
    r"00[1-9]\d?[ /-]\d(?:[ /-]?\d){6,11}",  # the same behind the usual prefix
    r"\(?[2-9]\d{2}\)?[ .-]{1,2}[2-9]\d{2}[ .-]\d{4}",  # North America
    r"0[1-9](?:[ .-]\d{2}){4}",  # France
    r"\(?0[1-9]\d{1,4}\)?(?: ?[ /-] ?)\d{3,8}(?:[ -]\d{2,5}){0,3}",  # Germany, United Kingdom, Italy: area in front
)


def _phone(text: str) -> bool:
    """10 digits at least where the number is national: shorter ones are parts and dates."""
    return text.startswith("+") or sum(map(str.isdigit, text)) >= 10


WRITTEN: tuple[WrittenKind, ...] = (
    # Possessive, and only from the start of a word on: otherwise a long word would be tried from each of its letters.
    WrittenKind("e-mail address", r"[\w.+%'-]++@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}", before=r"(?<![\w.+%'-])", behind=r"(?!\w)", hint="@"),
    WrittenKind(
        "address with a password", r"[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s/:@]{1,128}:[^\s/@]{1,128}@", before=r"(?<!\w)", behind="", hint="://"
    ),
    WrittenKind("telephone number", _PHONE, _phone, before=r"(?<![\w+/-])(?<!\d[.,])", behind=r"(?![\w-])(?![.,]\d)"),
    WrittenKind("IBAN", r"[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]){11,30}", _iban, 1 / 97, _iban_form, hint=r"[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]){11}"),
    WrittenKind("US social security number", r"\d{3}-\d{2}-\d{4}|\d{3} \d{2} \d{4}", _ssn, before=r"(?<![\w-])", behind=r"(?![\w-])"),
    WrittenKind(
        "British insurance number",
        r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?\d{2}){3} ?[A-D]",
        lambda text: text[:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ"),
        0.06,
        lambda text: True,
    ),
    WrittenKind("Spanish DNI", r"(?:\d{8}|\d{2}\.\d{3}\.\d{3}|[XYZxyz][ -]?\d{7})[ -]?[A-Za-z]", _dni, 1 / 23),
    WrittenKind("Italian codice fiscale", r"[A-Za-z]{6}\d{2}[A-EHLMPRSTa-ehlmprst]\d{2}[A-Za-z]\d{3}[A-Za-z]", _codice_fiscale, 1 / 26),
    WrittenKind("Finnish identity code", r"\d{6}[-+A-FU-Ya-fu-y]\d{3}[0-9A-Za-z]", _hetu, 1 / 31),
    WrittenKind("French insurance number of Corsica", r"[12]\d{4}2[ABab]\d{8}"),
    WrittenKind("Chinese resident number", r"[1-9]\d{5}(?:18|19|20)\d{9}[0-9Xx]", _resident, 1 / 11),
    WrittenKind("network address", r"(?:\d{1,3}\.){3}\d{1,3}", _address_v4),
    WrittenKind(
        "network address",
        r"(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}",
        _address_v6,
        before=r"(?<![\w:.])",
        behind=r"(?![\w:.])",
        hint="::|(?:[0-9A-Fa-f]+:){7}",
    ),
    WrittenKind(
        "hardware address",
        r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}",
        lambda text: ":" in text or not text.replace("-", "").isdigit(),
        before=r"(?<![\w:-])",
        behind=r"(?![\w:-])",
    ),
)
"""Every kind told by its writing."""

# What a column of numbers, dates, times, UUIDs, digests or our own tokens consists of: looked at no further.
ORDINARY = _either(
    r"^-?\d{1,8}$",  # every kind of number has nine digits or more, or something besides
    r"^-?\d{0,17}[.,]\d+(?:[eE][+-]?\d{1,4})?$",
    r"^\d{4}-\d\d-\d\d(?:[T ][\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?$",
    r"^\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?$",
    r"^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$",
    r"^[0-9a-fA-F]{32,128}$",
    r"^[a-z]\d+_[0-9a-v]{24,}$",
)


def formed(kind: WrittenKind, texts: Sequence[str]) -> list[bool]:
    """Which of the found texts have the form of the kind."""
    return [True] * len(texts) if kind.form is None else [kind.form(text) for text in texts]


def held(kind: WrittenKind, texts: Sequence[str]) -> list[bool]:
    """Which texts of the form are of the kind."""
    return [True] * len(texts) if kind.holds is None else [kind.holds(text) for text in texts]
