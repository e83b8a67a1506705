"""Tokens that keep the form of a number: FF1 against the standard's samples and against a plain FF1 written from its text."""

from __future__ import annotations

import math
import random

import numpy as np
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_gatehouse.tokens import ff1, ff1_columns
from prefect_gatehouse.tokens.aes import BlockCipher
from prefect_gatehouse.tokens.ff1_alphabet import CHARACTERS, LONGEST, Alphabet, named
from prefect_gatehouse.tokens.ff1_rounds import LIMIT, Length

KEY = bytes(range(1, 33))
DIGITS = "0123456789"
BASE36 = DIGITS + "abcdefghijklmnopqrstuvwxyz"
# Every printable character that may be a numeral; more than a manifest offers, so that every radix is tried.
MANY = "".join(chr(code) for code in range(33, 127))

# NIST, Cryptographic Standards and Guidelines, Examples with Intermediate Values: FF1 samples 1 to 9.
_KEY = "2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f7f036d6f04fc6a94"
SAMPLES = [
    (16, "", DIGITS, "0123456789", "2433477484"),
    (16, "39383736353433323130", DIGITS, "0123456789", "6124200773"),
    (16, "3737373770717273373737", BASE36, "0123456789abcdefghi", "a9tv40mll9kdu509eum"),
    (24, "", DIGITS, "0123456789", "2830668132"),
    (24, "39383736353433323130", DIGITS, "0123456789", "2496655549"),
    (24, "3737373770717273373737", BASE36, "0123456789abcdefghi", "xbj3kv35jrawxv32ysr"),
    (32, "", DIGITS, "0123456789", "6657667009"),
    (32, "39383736353433323130", DIGITS, "0123456789", "1001623463"),
    (32, "3737373770717273373737", BASE36, "0123456789abcdefghi", "xs8a0azh2avyalyzuwd"),
]


def plain_ff1(text: str, key: bytes, tweak: bytes, characters: str) -> str:
    """FF1.Encrypt, step by step as algorithm 7 of SP 800-38G has it, one value, with Python's numbers."""
    aes = Cipher(AES(key), ECB()).encryptor()
    radix, n, t = len(characters), len(text), len(tweak)
    numerals = [characters.index(character) for character in text]
    u = n // 2
    v = n - u
    a, b_half = numerals[:u], numerals[u:]
    b = math.ceil((radix**v - 1).bit_length() / 8)
    d = 4 * math.ceil(b / 4) + 4
    p = bytes([1, 2, 1]) + radix.to_bytes(3, "big") + bytes([10, u % 256]) + n.to_bytes(4, "big") + t.to_bytes(4, "big")
    for i in range(10):
        q = tweak + bytes((-t - b - 1) % 16) + bytes([i]) + number(b_half, radix).to_bytes(b, "big")
        r = bytes(16)
        for block in [(p + q)[at : at + 16] for at in range(0, len(p + q), 16)]:
            r = aes.update(bytes(x ^ y for x, y in zip(r, block, strict=True)))
        s = r
        for j in range(1, math.ceil(d / 16)):
            s += aes.update(bytes(x ^ y for x, y in zip(r, j.to_bytes(16, "big"), strict=True)))
        m = u if i % 2 == 0 else v
        c = (number(a, radix) + int.from_bytes(s[:d], "big")) % radix**m
        a, b_half = b_half, digits(c, radix, m)
    return "".join(characters[numeral] for numeral in a + b_half)


def number(numerals: list[int], radix: int) -> int:
    total = 0
    for numeral in numerals:
        total = total * radix + numeral
    return total


def digits(value: int, radix: int, count: int) -> list[int]:
    out = []
    for _ in range(count):
        value, numeral = divmod(value, radix)
        out.append(numeral)
    return out[::-1]


def encrypted(texts: list[str], key: bytes, tweak: bytes, characters: str) -> list[str]:
    return ff1.encrypt(pa.array(texts, pa.string()), key, tweak, characters).to_pylist()  # type: ignore[no-any-return]


def decrypted(texts: list[str], key: bytes, tweak: bytes, characters: str) -> list[str]:
    return ff1.decrypt(pa.array(texts, pa.string()), key, tweak, characters).to_pylist()  # type: ignore[no-any-return]


@pytest.fixture(params=["numpy", "fused"])
def each_tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "fused":
        pytest.importorskip("numba")
    monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", request.param)
    return str(request.param)


@pytest.mark.parametrize(("size", "tweak", "characters", "text", "token"), SAMPLES)
def test_samples_of_the_standard(each_tier: str, size: int, tweak: str, characters: str, text: str, token: str) -> None:
    """All nine published samples, both ways, in both tiers."""
    key = bytes.fromhex(_KEY)[:size]
    assert encrypted([text], key, bytes.fromhex(tweak), characters) == [token]
    assert decrypted([token], key, bytes.fromhex(tweak), characters) == [text]
    assert plain_ff1(text, key, bytes.fromhex(tweak), characters) == token


@pytest.mark.parametrize("name", CHARACTERS)
def test_every_legal_length_round_trips(each_tier: str, name: str) -> None:
    """Each alphabet, each length from the shortest to the longest in one column, two values of each: the form stays and back it comes."""
    characters, shortest = CHARACTERS[name], named(name).shortest  # type: ignore[index, arg-type]
    draw = random.Random(name)
    # Beyond 62 bits for a half both tiers go the same way.
    longest = LONGEST if each_tier == "numpy" else 64
    texts = ["".join(draw.choices(characters, k=length)) for length in range(shortest, longest + 1) for _ in range(2)]
    tokens = encrypted(texts, KEY, b"", characters)
    assert [len(token) for token in tokens] == [len(text) for text in texts]
    assert all(set(token) <= set(characters) for token in tokens)
    assert all(token != text for token, text in zip(tokens, texts, strict=True) if len(text) > 8)
    assert decrypted(tokens, KEY, b"", characters) == texts


@settings(max_examples=60, deadline=None)
@given(st.integers(2, len(MANY)), st.data(), st.sampled_from([16, 24, 32]), st.binary(max_size=40))
def test_equals_the_plain_one(radix: int, data: st.DataObject, size: int, tweak: bytes) -> None:
    """Random radix, lengths, key size and tweak: both tiers give what the plain FF1 gives."""
    characters = MANY[:radix]
    shortest = Alphabet(characters).shortest
    texts = data.draw(st.lists(st.text(st.sampled_from(characters), min_size=shortest, max_size=shortest + 50), min_size=1, max_size=4))
    expected = [plain_ff1(text, KEY[:size], tweak, characters) for text in texts]
    for tier in ("numpy", "fused"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GATEHOUSE_TOKEN_TIER", tier)
            assert encrypted(texts, KEY[:size], tweak, characters) == expected
            assert decrypted(expected, KEY[:size], tweak, characters) == texts


@pytest.mark.parametrize("radix", [2, 10, 26, 36, 52, 62, 94])
def test_lengths_around_the_limits_of_the_arithmetic(each_tier: str, radix: int) -> None:
    """The extremes of the numbers (all zeros, all highest) where a half is about to exceed 2^13, 2^32, 2^62 and 2^64 equal the plain ones."""
    characters = MANY[:radix]
    lengths = {
        length
        for bits in (13, 32, 62, 64)
        for half in (math.floor(bits / math.log2(radix)) + more for more in (-1, 0, 1, 2))
        for length in (2 * half - 1, 2 * half)
        if Alphabet(characters).shortest <= length <= LONGEST
    }
    assert {length for length in lengths if radix ** (length - length // 2) <= LIMIT} != lengths
    texts = [text for length in sorted(lengths) for text in (characters[0] * length, characters[-1] * length)]
    tokens = encrypted(texts, KEY, b"tweak", characters)
    assert tokens == [plain_ff1(text, KEY, b"tweak", characters) for text in texts]
    assert decrypted(tokens, KEY, b"tweak", characters) == texts


@pytest.mark.parametrize("length", [6, 7, 8, 12, 18, 19, 35, 36])
def test_many_values_of_one_length_are_alike_in_both_tiers(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 random values, so that the doubles of the compiled tier meet every kind of remainder; no token occurs twice."""
    pytest.importorskip("numba")
    draw = random.Random(length)
    texts = sorted({"".join(draw.choices(DIGITS, k=length)) for _ in range(20_000)})
    results = []
    for tier in ("numpy", "fused"):
        monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", tier)
        results.append(encrypted(texts, KEY, b"", DIGITS))
        assert decrypted(results[-1], KEY, b"", DIGITS) == texts
    assert results[0] == results[1]
    assert len(set(results[0])) == len(texts)


def test_rounds_agree_with_division(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled round on hostile words (all ones, all zeros, multiples of the modulus and their neighbours) equals Python's arithmetic."""
    pytest.importorskip("numba")
    from prefect_gatehouse.tokens import ff1_fused

    for modulus in (1000, 1296, 2704, 8191, 8192, 8193, 10**8, 2**32 - 1, 2**32 + 1, 10**18, 26**13, LIMIT - 1, LIMIT):
        sizes = (8, 12) if modulus > 1 << 26 else (8,)
        near = [modulus * factor + more for factor in (1, 2, 3, (2**64 - 2) // modulus - 1, (2**64 - 2) // modulus) for more in (-1, 0, 1)]
        highs = [word % 2**64 for word in (*near, 0, 1, 2**63, 2**64 - 1, 2**53 + 1, 2**64 - 1025)]
        lows = [0, 1, 2**31, 2**32 - 1]
        pairs = [(high, low) for high in highs for low in lows]
        for size in sizes:
            for back in (False, True):
                start = [(index * 7919) % modulus if index % 3 else (modulus - 1) * (index % 2) for index in range(len(pairs))]
                target = np.array(start, np.uint64)
                drawn = np.array([(high, low << 32) for high, low in pairs], np.uint64).byteswap().reshape(-1)
                ready = np.zeros(2 * len(pairs), np.uint64)
                ff1_fused.step(target, drawn, size, modulus, back, 5, 9, ready)
                drawn_numbers = [high if size == 8 else (high << 32) + low for high, low in pairs]
                expected = [(one + (-1 if back else 1) * two) % modulus for one, two in zip(start, drawn_numbers, strict=True)]
                assert target.tolist() == expected, (modulus, size, back)
                assert ready.byteswap().reshape(-1, 2).tolist() == [[5, 9 ^ number] for number in expected]


def test_more_rows_than_one_step_and_than_one_piece(each_tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cutting a column into pieces and steps changes nothing."""
    texts = [f"{row:0{6 + row % 40}d}" for row in range(500)]
    whole = encrypted(texts, KEY, b"", DIGITS)
    monkeypatch.setattr(ff1_columns, "ROWS", 7)
    monkeypatch.setattr(ff1_columns, "_PIECE", 96)
    assert encrypted(texts, KEY, b"", DIGITS) == whole


def test_a_length_knows_its_own_arithmetic() -> None:
    """The 64-bit way ends where half a value may reach 2^62, and there the number has at most 8 bytes and y at most 12."""
    cipher = BlockCipher(KEY)
    for radix in range(2, 95):
        for size in range(2, 130):
            length = Length(cipher, b"", radix, size)
            if length.short:
                assert length.number_bytes <= 8
                assert length.drawn_bytes <= 12
                assert length.drawn_bytes == 8 or length.moduli[0] >= 1 << 13


def test_a_compiled_tier_that_differs_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading proves the compiled functions against numpy: one that computes something else is found out."""
    pytest.importorskip("numba")
    from prefect_gatehouse.tokens import ff1_fused

    real = ff1_fused.step
    monkeypatch.setattr(ff1_fused, "step", lambda target, *rest: (real(target, *rest), target.__iadd__(np.uint64(1))))
    with pytest.raises(AssertionError, match="differs from numpy"):
        ff1._load()
