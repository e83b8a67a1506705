"""One canonical form and one digest for everything that is signed, chained or compared: RFC 8785 and SHA-256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Union

import rfc8785

Json = Union[None, bool, int, float, str, Sequence["Json"], Mapping[str, "Json"]]  # noqa: UP007 - a recursive alias in 3.11

# RFC 8785 serialises numbers as IEEE 754 doubles; up to here every whole number has a double of its own (RFC 7493, section 2.2).
EXACT = 2**53 - 1


def _portable(value: Json) -> Json:
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int):
        return value if -EXACT <= value <= EXACT else str(value)
    if isinstance(value, float):
        return value
    if isinstance(value, Mapping):
        return {key: _portable(item) for key, item in value.items()}
    return [_portable(item) for item in value]


def canonical(value: Json) -> bytes:
    """The RFC 8785 form of a JSON value; whole numbers of 2^53 and beyond travel as strings."""
    return rfc8785.dumps(_portable(value))


def parse(text: str | bytes) -> Json:
    """The value of a canonical form: its canonical form is the same again.

    A number of 2^53 or beyond is a double, also where it is written without a point; as a whole number it would be a string.

    Raises:
        ValueError: The text is not JSON.
    """
    parsed: Json = json.loads(text, parse_int=_whole)
    return parsed


def _whole(digits: str) -> int | float:
    number = int(digits)
    return number if -EXACT <= number <= EXACT else float(digits)


def digest(value: Json) -> str:
    """SHA-256 over the canonical form, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces of 1 MiB, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
