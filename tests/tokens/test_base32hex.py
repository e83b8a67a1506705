"""The text form of tokens."""

from __future__ import annotations

import base64

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prefect_gatehouse.tokens.base32hex import decode, encode


@given(st.integers(1, 40).flatmap(lambda width: st.lists(st.binary(min_size=width, max_size=width), min_size=1, max_size=5)))
def test_matches_the_standard_library_and_comes_back(values: list[bytes]) -> None:
    """Characters are those of RFC 4648 in lower case without padding, and decode to the same bytes."""
    characters = encode(np.frombuffer(b"".join(values), np.uint8).reshape(len(values), -1))
    assert [row.tobytes() for row in characters] == [base64.b32hexencode(value).rstrip(b"=").lower() for value in values]
    data, good = decode(characters)
    assert good.all()
    assert [row.tobytes() for row in data] == values


@given(st.binary(min_size=1, max_size=30))
def test_one_value_has_one_text(text: bytes) -> None:
    """Whatever decodes is exactly what encode gives: no second spelling of a token exists."""
    characters = np.frombuffer(text, np.uint8).reshape(1, -1)
    data, good = decode(characters)
    if good[0]:
        assert encode(data).tobytes() == text


def test_no_values() -> None:
    """A column without a row has no characters, and none to decode, whatever its width."""
    for width in (1, 15, 16, 40):
        characters = encode(np.empty((0, width), np.uint8))
        data, good = decode(characters)
        assert (len(characters), data.shape, good.shape) == (0, (0, width), (0,))


def test_upper_case_other_letters_and_loose_bits_are_refused() -> None:
    """'V' is not 'v', 'w' is not in the alphabet, 'vv' has bits behind its byte."""
    for text in (b"VO", b"w0", b"0-", b"vv", b"v"):
        assert not decode(np.frombuffer(text, np.uint8).reshape(1, -1))[1][0]
