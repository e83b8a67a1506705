"""The canonical form: RFC 8785 to the letter, and one digest for one content."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_gatehouse.canonical import Json, canonical, digest, parse, sha256_bytes, sha256_file

EXACT = 2**53
"""Below it, whole numbers and doubles are the same."""

# RFC 8785, appendix B: the bits of a double and how it is written.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}

# RFC 8785, section 3.2.2: the example as it is given, and its bytes from section 3.2.4.
EXAMPLE = r"""
{
  "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}
"""
EXAMPLE_BYTES = bytes.fromhex("""
    7b 22 6c 69 74 65 72 61 6c 73 22 3a 5b 6e 75 6c 6c 2c 74 72
    75 65 2c 66 61 6c 73 65 5d 2c 22 6e 75 6d 62 65 72 73 22 3a
    5b 33 33 33 33 33 33 33 33 33 2e 33 33 33 33 33 33 33 2c 31
    65 2b 33 30 2c 34 2e 35 2c 30 2e 30 30 32 2c 31 65 2d 32 37
    5d 2c 22 73 74 72 69 6e 67 22 3a 22 e2 82 ac 24 5c 75 30 30
    30 66 5c 6e 41 27 42 5c 22 5c 5c 5c 5c 5c 22 2f 22 7d
""")

# RFC 8785, section 3.2.3: keys that sort otherwise by code point (the emoji, beyond 16 bits, would be last) or by locale.
SORTED = ["Carriage Return", "One", "Control", "Latin Small Letter O With Diaeresis", "Euro Sign", "Emoji: Grinning Face", "Hebrew Letter Dalet"]
UNSORTED = {
    "\u20ac": "Euro Sign",
    "\r": "Carriage Return",
    "\ufb33": "Hebrew Letter Dalet",
    "1": "One",
    "\U0001f600": "Emoji: Grinning Face",
    "\u0080": "Control",
    "\u00f6": "Latin Small Letter O With Diaeresis",
}

WHOLE = st.integers(-EXACT + 1, EXACT - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
# ECMAScript writes doubles below 1e21 without an exponent, so those from 2^53 on read back as whole numbers, which have another form.
READ_BACK = FINITE.filter(lambda number: not EXACT <= abs(number) < 1e21)
VALUES = st.recursive(
    st.none() | st.booleans() | WHOLE | READ_BACK | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=6), inner, max_size=5),
    max_leaves=25,
)


def utf16(text: str) -> bytes:
    """What RFC 8785 sorts by."""
    return text.encode("utf-16-be")


@pytest.mark.parametrize("bits", NUMBERS)
def test_rfc_8785_numbers(bits: str) -> None:
    """Every finite double of appendix B is written as published, and reads back as the same double."""
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical(number) == NUMBERS[bits].encode()
    assert float(canonical(number)) == number


@pytest.mark.parametrize("bits", ["7fffffffffffffff", "7ff0000000000000", "fff0000000000000"], ids=["nan", "infinity", "minus-infinity"])
@pytest.mark.parametrize("wrap", [lambda item: item, lambda item: [0, item], lambda item: {"a": {"b": item}}], ids=["bare", "list", "object"])
def test_what_is_no_number_has_no_form(bits: str, wrap: Any) -> None:
    """NaN and the infinities of appendix B are refused, wherever they stand: there is no JSON for them to be signed as."""
    with pytest.raises(ValueError, match="not representable"):
        canonical(wrap(struct.unpack(">d", bytes.fromhex(bits))[0]))


def test_rfc_8785_example() -> None:
    """The example of section 3.2.2 gives the bytes of section 3.2.4, and the digest is SHA-256 over them."""
    assert canonical(json.loads(EXAMPLE)) == EXAMPLE_BYTES
    assert digest(json.loads(EXAMPLE)) == hashlib.sha256(EXAMPLE_BYTES).hexdigest()


def test_rfc_8785_sorting() -> None:
    """Keys are sorted by their UTF-16 code units, as section 3.2.3 shows."""
    assert list(json.loads(canonical(UNSORTED)).values()) == SORTED


def test_every_control_character_has_one_spelling() -> None:
    """Section 3.2.2.2: five have letters, the others four lower-case digits; all else but quote and backslash stands for itself."""
    short = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
    for code in (*range(0x20), *map(ord, ' "/\\<>&\x7f\x80\u2028\u2029é\U0001f600')):
        expected = short.get(chr(code)) or (f"\\u{code:04x}" if code < 0x20 else chr(code))
        assert canonical(chr(code)) == f'"{expected}"'.encode()


@given(VALUES)
def test_round_trip(value: Json) -> None:
    """What is read back equals what was written, and its canonical form is the same again: the form is a fixed point."""
    form = canonical(value)
    again = json.loads(form)
    assert again == value
    assert canonical(again) == form
    assert digest(again) == digest(value)


@given(VALUES)
def test_nothing_but_what_is_needed(value: Json) -> None:
    """The form is UTF-8 and holds no white space outside of strings, whatever the nesting."""
    text = canonical(value).decode()
    outside = "".join(part for index, part in enumerate(text.replace("\\\\", "").replace('\\"', "").split('"')) if index % 2 == 0)
    assert not any(character.isspace() for character in outside)


@given(FINITE)
def test_numbers_are_shortest_and_exact(number: float) -> None:
    """Each double is written so that it reads back bit for bit (but for the sign of zero), with no more digits than repr needs."""
    text = canonical(number).decode()
    assert float(text) == number
    digits = [part.split("e")[0].replace(".", "").strip("-0") for part in (text, repr(number))]
    assert len(digits[0]) <= len(digits[1])


def reordered(value: Any, order: Any) -> Any:
    """The same content, the keys of every object in another order."""
    if isinstance(value, dict):
        keys = sorted(value)
        order.shuffle(keys)
        return {key: reordered(value[key], order) for key in keys}
    return [reordered(item, order) for item in value] if isinstance(value, list) else value


@given(VALUES, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(value: Json, order: Any) -> None:
    """Objects with the same members in another order have the same bytes at every depth."""
    assert canonical(reordered(value, order)) == canonical(value)


@given(st.dictionaries(st.text(max_size=6), st.none(), max_size=12))
def test_keys_are_sorted_by_utf_16(value: dict[str, None]) -> None:
    """Whatever the keys are, they come out ascending by UTF-16 code units."""
    assert list(json.loads(canonical(value))) == sorted(value, key=utf16)


@given(VALUES, VALUES)
def test_one_digest_for_one_content(one: Json, other: Json) -> None:
    """Two values have the same form exactly if they are the same JSON; 1 and 1.0 are, true and 1 are not."""

    def told_apart(value: Any) -> Any:
        if isinstance(value, bool):
            return ("bool", value)
        if isinstance(value, dict):
            return {key: told_apart(item) for key, item in value.items()}
        return [told_apart(item) for item in value] if isinstance(value, list) else value

    same = told_apart(one) == told_apart(other)
    assert (canonical(one) == canonical(other)) is same
    assert (digest(one) == digest(other)) is same


@pytest.mark.parametrize(("one", "other"), [(True, 1), (False, 0), (None, "null"), ("", None), ([], {}), ([[], []], [[[]]]), ({"a": None}, {})])
def test_neighbours_are_told_apart(one: Json, other: Json) -> None:
    """Values that Python or a careless writer confuses have different digests."""
    assert digest(one) != digest(other)


def test_tuples_are_lists() -> None:
    """What a frozen value holds has the form that it has once it is read back."""
    assert canonical({"a": (1, (2,), ())}) == canonical({"a": [1, [2], []]}) == b'{"a":[1,[2],[]]}'


@given(st.integers(EXACT + 1, 10**40) | st.integers(-(10**40), -EXACT - 1))
def test_whole_numbers_beyond_2_53_travel_as_strings(number: int) -> None:
    """A double would round them; as strings they come back digit for digit, also from deep inside."""
    assert json.loads(canonical(number)) == str(number)
    assert json.loads(canonical({"a": [number]})) == {"a": [str(number)]}


@given(WHOLE)
def test_whole_numbers_within_2_53_are_numbers(number: int) -> None:
    """They are written plainly, never with an exponent, and equal their double."""
    assert canonical(number) == str(number).encode() == canonical(float(number))


def test_neighbours_beyond_2_53_keep_their_own_digests() -> None:
    """2^53 + 1 is no double; written as a number it would have the digest of its neighbour."""
    numbers = [EXACT - 1, EXACT + 1, EXACT + 2, EXACT + 3, 2**63 - 1, 2**63]
    assert float(EXACT + 1) == float(EXACT)
    assert len({digest(number) for number in numbers}) == len(numbers)


SURROGATES = {
    "high": "\ud83d",
    "low": "\ude00",
    "reversed": "\ude00\ud83d",
    "high-then-letter": "a\ud800b",
    # Two halves that Python holds apart: their UTF-8 would be six bytes (CESU-8), not the four of the emoji.
    "pair-as-two": "\ud83d\ude00",
}


@pytest.mark.parametrize("attack", SURROGATES)
@pytest.mark.parametrize("place", ["value", "key", "deep"])
def test_ill_formed_surrogates_are_refused(attack: str, place: str) -> None:
    """RFC 8785, section 3.2.2.2: text that is no Unicode has no form; nothing is replaced in silence."""
    text = SURROGATES[attack]
    value: Json = {"value": text, "key": {text: 1}, "deep": [{"a": [text]}]}[place]  # type: ignore[assignment]
    with pytest.raises(ValueError):
        canonical(value)


def test_keys_are_text() -> None:
    """1 and "1" would be one key in JSON and two in Python: only text is a key."""
    for key in (1, None, True, 1.5, ("a",)):
        with pytest.raises((ValueError, TypeError)):
            canonical({key: 1})  # type: ignore[dict-item]
    with pytest.raises((ValueError, TypeError)):
        canonical({"1": 0, 1: 1})  # type: ignore[dict-item]


@pytest.mark.parametrize("value", [object(), 1j, Path("x"), {"a": object()}], ids=["object", "complex", "path", "nested"])
def test_what_is_no_json_has_no_form(value: Any) -> None:
    """Nothing is written as its repr, which would differ from process to process."""
    with pytest.raises((ValueError, TypeError)):
        canonical(value)


@given(st.binary(max_size=200))
def test_bytes_and_files_have_the_same_digest(data: bytes) -> None:
    """SHA-256 as hashlib gives it, 64 lower-case digits."""
    assert sha256_bytes(data) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20])
def test_a_file_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    """The digest is that of all bytes, on both sides of the size of a piece."""
    data = bytes(index % 251 for index in range(997)) * (size // 997 + 1)
    (tmp_path / "file").write_bytes(data[:size])
    assert sha256_file(tmp_path / "file") == sha256_bytes(data[:size])


@pytest.mark.parametrize("number", [2**53 - 1, 2**53, -(2**53), 2**53 + 1, 10**30, 1e17, -1e17, 9007199254740992.0, 1e21, 1e300, 0.1, -0.0])
def test_a_canonical_form_read_back_has_the_same_form(number: float) -> None:
    """What was stored is what is compared: parse keeps a large double a double, and a large whole number is text from the start."""
    form = canonical({"x": [number]})
    assert canonical(parse(form)) == form


WORDS = st.text(alphabet=st.characters(codec="utf-8"))
SCALARS = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | WORDS


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner)))
def test_every_canonical_form_is_a_fixed_point(value: Any) -> None:
    """For any JSON value."""
    form = canonical(value)
    assert canonical(parse(form)) == form
