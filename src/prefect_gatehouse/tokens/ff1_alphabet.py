"""The alphabets of FF1: which characters are numerals, which stay in place, and which a value must not hold.

A numeral is a character of the alphabet, and its value is its place there. ASCII spaces and punctuation stay where they are: they are the
form of a value, "12-34 5678". Everything else would leave in clear: the other ASCII letters and digits, and all of Unicode beyond ASCII,
whose letters and digits are no fewer; a value that holds any of it is refused.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.columns import Alphabet as Name
from prefect_gatehouse.tokens.base32hex import Bytes

STAYS = 254
"""In ``Alphabet.values``: a character that keeps its place."""

REFUSED = 255
"""In ``Alphabet.values``: a character that no value may hold."""

LONGEST = 128
"""Most numerals of a value. The standard allows 2^32; the work grows with the square, and no identifier is longer."""

# Fewest values of a domain that FF1 may be used on (SP 800-38G Rev. 1, section 5.1).
_SMALLEST_DOMAIN = 1_000_000

CHARACTERS: dict[Name, str] = {
    "digits": string.digits,
    "lower": string.ascii_lowercase,
    "upper": string.ascii_uppercase,
    "letters": string.ascii_uppercase + string.ascii_lowercase,
    "alphanumeric": string.digits + string.ascii_uppercase + string.ascii_lowercase,
}
"""The manifest's alphabets. Their order is part of every token: never change it."""


@dataclass(frozen=True)
class Alphabet:
    """The characters of a radix.

    Attributes:
        characters: 2 to 128 distinct ASCII characters.
    """

    characters: str

    def __post_init__(self) -> None:
        if not self.characters.isascii() or not 2 <= len(self.characters) == len(set(self.characters)):
            raise InputError("an alphabet of FF1 is two or more distinct ASCII characters", where="alphabet")

    @property
    def radix(self) -> int:
        """How many characters there are."""
        return len(self.characters)

    @cached_property
    def shortest(self) -> int:
        """Fewest numerals of a value: with fewer, a table of all values would be small."""
        length = 2
        while self.radix**length < _SMALLEST_DOMAIN:
            length += 1
        return length

    @cached_property
    def values(self) -> Bytes:
        """For each byte its numeral, ``STAYS`` or ``REFUSED``; 256 of them."""
        values = np.full(256, REFUSED, np.uint8)
        for byte in range(128):
            if not chr(byte).isalnum():
                values[byte] = STAYS
        values[np.frombuffer(self.characters.encode(), np.uint8)] = np.arange(self.radix, dtype=np.uint8)
        return values

    @cached_property
    def weights(self) -> npt.NDArray[np.int64]:
        """For each byte 1 if it is a numeral, 2^32 if it is refused, else 0: their sum counts both."""
        return np.where(self.values < STAYS, 1, np.where(self.values == REFUSED, 1 << 32, 0))

    @cached_property
    def bytes(self) -> Bytes:
        """The characters."""
        return np.frombuffer(self.characters.encode(), np.uint8)


@lru_cache(maxsize=64)
def named(name: Name) -> Alphabet:
    """An alphabet of the manifest.

    Raises:
        InputError: There is no such alphabet.
    """
    if name not in CHARACTERS:
        raise InputError("the alphabet is unknown", where="alphabet", advice=f"use one of {', '.join(CHARACTERS)}")
    return Alphabet(CHARACTERS[name])
