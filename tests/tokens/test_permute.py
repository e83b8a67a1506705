"""The keyed permutation of whole numbers."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_gatehouse.errors import DataRefused, InputError, Tampered
from prefect_gatehouse.tokens import permute
from prefect_gatehouse.tokens.keys import RootKey, derive_key

ROOT = RootKey({1: bytes(range(1, 33)), 2: bytes(range(2, 34))})
WHO = {"tenant": "t", "join_domain": "d"}
INT64 = st.integers(-(2**63), 2**63 - 1)
EDGES = [0, 1, -1, 2**31, -(2**31), 2**32, 2**63 - 1, -(2**63), 2**63 - 2]


def plain(value: int, key: bytes) -> int:
    """Six Feistel rounds over one number, written out."""
    keys = derive_key(key, 192, ("gatehouse permutation", "rounds"))
    low, high = value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF

    def drawn(number: int, half: int) -> int:
        aes = Cipher(AES(keys[32 * number : 32 * number + 32]), ECB()).encryptor()
        return int.from_bytes(aes.update(half.to_bytes(4, "little") + bytes(12))[:4], "little")

    for number in range(0, 6, 2):
        low ^= drawn(number, high)
        high ^= drawn(number + 1, low)
    result = high << 32 | low
    return result - (result >> 63 << 64)


@settings(deadline=None)
@given(st.lists(st.none() | INT64, max_size=10))
def test_equals_the_plain_one_and_comes_back(values: list[int | None]) -> None:
    """Lock-step over a column gives what six rounds written out give, and each number and null comes back."""
    key = ROOT.derive("t", "d", "permute")
    array = pa.array(values, pa.int64())
    tokens = permute.tokenise(array, ROOT, **WHO)
    assert tokens.to_pylist() == [None if value is None else plain(value, key) for value in values]
    assert permute.detokenise(tokens, ROOT, **WHO).equals(array)


def test_the_edges_of_64_bits() -> None:
    """The least, the greatest and their neighbours have distinct tokens of 64 bits and come back."""
    tokeniser = permute.Tokeniser(ROOT, **WHO)
    array = pa.array(EDGES)
    tokens = tokeniser(array)
    assert tokens.type == pa.int64()
    assert len(set(tokens.to_pylist())) == len(EDGES)
    assert tokeniser.back(tokens).equals(array)


@pytest.mark.parametrize("start", [0, -(2**63), 2**63 - 100_000, 2**32 - 50_000])
def test_no_two_numbers_share_a_token(start: int) -> None:
    """100,000 consecutive numbers, as keys of a table are, get 100,000 tokens that look drawn: every bit is set in about half of them."""
    tokens = permute.tokenise(pa.array(np.arange(100_000, dtype=np.int64) + start), ROOT, **WHO).to_numpy()
    assert len(np.unique(tokens)) == 100_000
    set_bits = np.unpackbits(tokens.view(np.uint8).reshape(-1, 8), axis=1).sum(axis=0)
    # Eight standard deviations of a fair coin, 158 each.
    assert np.all(np.abs(set_bits.astype(np.int64) - 50_000) < 8 * 158)


@settings(deadline=None)
@given(INT64)
def test_one_bit_changes_half_the_bits(value: int) -> None:
    """A number and its neighbour by the lowest bit have tokens that differ in at least 8 of 64 bits (less: once in 10^10)."""
    other = value ^ 1
    one, two = permute.tokenise(pa.array([value, other]), ROOT, **WHO).to_pylist()
    assert 8 <= ((one ^ two) & (2**64 - 1)).bit_count() <= 56


def test_equal_numbers_of_any_type_have_one_token() -> None:
    """Widths, signs, whole doubles, digits of a CSV, slices, chunks and dictionaries: it is the number that counts."""
    numbers = pa.array([99, 7, None, 12])
    plain_tokens = permute.tokenise(numbers.slice(1), ROOT, **WHO)
    for kind in (
        pa.int8(),
        pa.uint8(),
        pa.int16(),
        pa.uint32(),
        pa.uint64(),
        pa.float32(),
        pa.float64(),
        pa.string(),
        pa.large_string(),
        pa.string_view(),
    ):
        assert permute.tokenise(numbers.cast(kind).slice(1), ROOT, **WHO).equals(plain_tokens), kind
    assert permute.tokenise(numbers.slice(1).dictionary_encode(), ROOT, **WHO).equals(plain_tokens)
    assert permute.tokenise(pa.chunked_array([numbers.slice(1, 1), numbers.slice(2)]), ROOT, **WHO).equals(plain_tokens)
    assert permute.tokenise(pa.nulls(2), ROOT, **WHO).to_pylist() == [None, None]
    assert permute.tokenise(pa.array([], pa.int64()), ROOT, **WHO).to_pylist() == []


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pa.array([1.5, 2.0]), "1 of 2 values are not whole"),
        (pa.array([float("nan"), float("inf"), 2.0**60]), "3 of 3 values are not whole"),
        (pa.array(["007", "+7", "-0", "7.0", " 7", "7\n", "", "CANARY", "9", None]), "8 of 9 values are not whole"),
        (pa.array(["9223372036854775808"]), "do not fit 64 bits"),
        (pa.array([2**63], pa.uint64()), "do not fit 64 bits"),
        (pa.array([True]), "bool are not whole numbers"),
        (pa.array([0], pa.date32()), "are not whole numbers"),
        (pa.array([b"a"]), "are not whole numbers"),
    ],
)
def test_what_is_no_whole_number_is_refused(array: pa.Array, message: str) -> None:
    """Anything that another number would come back for: the message counts, and no value or cause stands in it."""
    with pytest.raises(DataRefused, match=message) as refused:
        permute.tokenise(array, ROOT, **WHO)
    assert "CANARY" not in str(refused.value)
    assert "922337" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_what_can_not_be_tokens() -> None:
    """Other types are no tokens; the message shows none."""
    for array in (pa.array([1.0]), pa.array([1], pa.int32()), pa.array(["CANARY"])):
        with pytest.raises(Tampered, match="does not hold permuted numbers") as error:
            permute.detokenise(array, ROOT, **WHO)
        assert "CANARY" not in str(error.value)


def test_nothing_stands_under_a_null() -> None:
    """The buffer of the tokens holds zeros where there is no value, so a null has no token that could be turned back."""
    numbers = pa.Array.from_buffers(pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([5, 6]))])
    tokens = permute.tokenise(numbers, ROOT, **WHO)
    assert tokens.null_count == 1
    assert np.frombuffer(tokens.buffers()[1], np.int64)[1] == 0


def test_steps_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than one step give what one step gives."""
    array = pa.array(range(100))
    whole = permute.tokenise(array, ROOT, **WHO)
    monkeypatch.setattr(permute, "_ROWS", 7)
    assert permute.tokenise(array, ROOT, **WHO).equals(whole)


def test_tenants_domains_and_versions_do_not_join() -> None:
    """Another tenant, join domain or version has another permutation; the version that made the tokens turns them back."""
    array = pa.array([1234567])
    tokens = [
        permute.tokenise(array, ROOT, **WHO),
        permute.tokenise(array, ROOT, tenant="u", join_domain="d"),
        permute.tokenise(array, ROOT, tenant="t", join_domain="e"),
        permute.tokenise(array, ROOT, **WHO, version=1),
    ]
    assert len({token.to_pylist()[0] for token in tokens}) == 4
    assert permute.detokenise(tokens[3], ROOT, **WHO, version=1).equals(array)
    assert not permute.detokenise(tokens[3], ROOT, **WHO).equals(array)


def test_keys_stay_where_they_are() -> None:
    """A key of another length is refused; neither tokeniser nor permutation is pickled or shows anything."""
    with pytest.raises(InputError):
        permute.Permutation(bytes(16))
    tokeniser = permute.Tokeniser(ROOT, **WHO)
    assert repr(tokeniser) == "Tokeniser(**********)"
    for each in (tokeniser, permute.Permutation(bytes(32))):
        with pytest.raises(TypeError):
            pickle.dumps(each)
