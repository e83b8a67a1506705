"""Whole numbers as one AES block each, as bytes and as text."""

from __future__ import annotations

import base64
import itertools
import pickle
import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_gatehouse.errors import DataRefused, InputError, Tampered
from prefect_gatehouse.tokens import permute_blocks
from prefect_gatehouse.tokens.aes import BlockCipher
from prefect_gatehouse.tokens.keys import RootKey
from prefect_gatehouse.tokens.permute_blocks import TOKEN, Blocks, Tokeniser
from prefect_gatehouse.tokens.tier import Fused

ROOT = RootKey({1: bytes(range(1, 33)), 2: bytes(range(2, 34)), 12: bytes(range(3, 35))}, current=2)
WHO = {"tenant": "t", "join_domain": "d"}
INT64 = st.integers(-(2**63), 2**63 - 1)
COLUMN = st.lists(st.none() | INT64, max_size=12)
EDGES = [0, 1, -1, 2**31, -(2**31), 2**32, 2**63 - 1, -(2**63), 2**63 - 2]


@pytest.fixture(params=["numpy", "fused"], autouse=True)
def tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test on both tiers."""
    monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", request.param)
    return str(request.param)


def aes(block: bytes, version: int = 2, who: dict[str, str] = WHO) -> bytes:
    """One block under the derived key, by cryptography alone."""
    return Cipher(AES(ROOT.derive(who["tenant"], who["join_domain"], "permute_block", version)), ECB()).encryptor().update(block)


def scalar(value: int, version: int = 2) -> bytes:
    """The token of one number, by the definition."""
    return aes(value.to_bytes(8, "little", signed=True) + bytes(8), version)


def spelt(token: bytes, version: int = 2) -> str:
    """Its text, by the standard library."""
    return f"p{version}_{base64.b32hexencode(token).decode().lower().rstrip('=')}"


def refused(tokens: pa.Array, bad: int, known: int, **which: Any) -> str:
    """The tokens are refused with these counts, and the refusal carries no cause that could quote one."""
    with pytest.raises(Tampered, match=f"^detokenise: {bad} of {known} values are not tokens of this key") as error:
        permute_blocks.detokenise(tokens, ROOT, **{**WHO, **which})
    assert error.value.__cause__ is None and (error.value.__context__ is None or error.value.__suppress_context__)
    return str(error.value)


def test_the_example_of_the_standard() -> None:
    """FIPS 197, appendix C.3: AES-256 there and back through the cipher that both directions use."""
    cipher, plain = BlockCipher(bytes(range(32))), np.frombuffer(bytes.fromhex("00112233445566778899aabbccddeeff"), np.uint8)
    out, back = np.zeros(31, np.uint8), np.zeros(31, np.uint8)
    cipher.encrypt(plain, out)
    assert out[:16].tobytes() == bytes.fromhex("8ea2b7ca516745bfeafc49904b496089")
    cipher.decrypt(out[:16], back)
    assert back[:16].tobytes() == plain.tobytes()


@settings(deadline=None)
@given(COLUMN, st.sampled_from([1, 2, 12]))
def test_equals_aes_one_by_one_and_comes_back(values: list[int | None], version: int) -> None:
    """Each token is the block of its number under AES-256, and its base32hex; numbers and nulls come back from either."""
    array, tokeniser = pa.array(values, pa.int64()), Tokeniser(ROOT, **WHO, version=version)
    binary, text = tokeniser.binary(array), tokeniser.text(array)
    expected = [None if value is None else scalar(value, version) for value in values]
    assert (binary.type, binary.to_pylist()) == (TOKEN, expected)
    assert text.to_pylist() == [None if token is None else spelt(token, version) for token in expected]
    for tokens in (binary, text):
        tokens.validate(full=True)
        assert tokeniser.back(tokens).equals(array)


def test_the_edges_of_64_bits() -> None:
    """The least, the greatest and their neighbours equal the definition, differ, and come back."""
    tokeniser, array = Tokeniser(ROOT, **WHO), pa.array(EDGES)
    assert tokeniser.binary(array).to_pylist() == [scalar(value) for value in EDGES]
    assert len(set(tokeniser.text(array).to_pylist())) == len(EDGES)
    assert tokeniser.back(tokeniser.binary(array)).equals(array) and tokeniser.back(tokeniser.text(array)).equals(array)


@pytest.mark.parametrize("start", [0, -(2**63), 2**63 - 50_000, 2**32 - 25_000])
def test_no_two_numbers_share_a_token(start: int) -> None:
    """50,000 consecutive numbers, over several steps, have as many tokens; both forms bring all back; the steps' borders equal the definition."""
    array = pa.array(np.arange(50_000, dtype=np.int64) + start)
    tokeniser = Tokeniser(ROOT, **WHO)
    binary, text = tokeniser.binary(array), tokeniser.text(array)
    assert len(binary.unique()) == len(text.unique()) == len(array)
    for row in (0, 8191, 8192, 8193, 16383, 16384, 49_999):
        assert binary[row].as_py() == scalar(start + row) and text[row].as_py() == spelt(scalar(start + row))
    assert tokeniser.back(binary).equals(array) and tokeniser.back(text).equals(array)


def test_equal_numbers_of_any_type_have_one_token() -> None:
    """Widths, signs, whole doubles, digits of a CSV, slices, chunks and dictionaries: it is the number that counts."""
    numbers, tokeniser = pa.array([99, 7, None, 12]), Tokeniser(ROOT, **WHO)
    kinds = [
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
    ]
    same: list[Any] = [numbers.cast(kind).slice(1) for kind in kinds]
    same += [numbers.slice(1).dictionary_encode(), pa.chunked_array([numbers.slice(1, 1), numbers.slice(2)])]
    for make in (tokeniser.binary, tokeniser.text):
        expected = make(numbers.slice(1))
        assert all(make(array).equals(expected) for array in same)
        assert make(pa.nulls(2)).to_pylist() == [None, None]
        assert make(pa.array([], pa.int64())).to_pylist() == []


def test_tokens_in_any_column() -> None:
    """Slices, chunks, dictionaries, views, large and variable types of tokens come back alike; a column of nulls and none do."""
    tokeniser, array = Tokeniser(ROOT, **WHO), pa.array([99, 7, None, 12])
    binary, text = tokeniser.binary(array), tokeniser.text(array)
    kinds = [(text, kind) for kind in (pa.large_string(), pa.string_view())] + [(binary, kind) for kind in (pa.binary(), pa.large_binary())]
    for tokens in (binary, text, *(made.cast(kind) for made, kind in kinds)):
        assert tokeniser.back(tokens.slice(1)).equals(array.slice(1)), tokens.type
        assert tokeniser.back(pa.chunked_array([tokens.slice(0, 1), tokens.slice(1)])).equals(array), tokens.type
        assert tokeniser.back(tokens.slice(0, 0)).to_pylist() == []
    for tokens in (binary, text):
        assert tokeniser.back(tokens.dictionary_encode()).equals(array)
        assert tokeniser.back(pa.nulls(3, tokens.type)).to_pylist() == [None] * 3
    assert tokeniser.back(pa.nulls(2)).equals(pa.nulls(2, pa.int64()))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pa.array([1.5, 2.0]), "1 of 2 values are not whole"),
        (pa.array(["007", "CANARY", "9", None]), "2 of 3 values are not whole"),
        (pa.array([2**63], pa.uint64()), "do not fit 64 bits"),
        (pa.array([True]), "bool are not whole numbers"),
    ],
)
def test_what_is_no_whole_number_is_refused(array: pa.Array, message: str) -> None:
    """The same as for permuted numbers: counted, and not shown."""
    for make in (Tokeniser(ROOT, **WHO).binary, Tokeniser(ROOT, **WHO).text):
        with pytest.raises(DataRefused, match=message) as error:
            make(array)
        assert "CANARY" not in str(error.value) and "922337" not in str(error.value)


def test_versions_mixed_in_one_column() -> None:
    """Text says its version, whatever its length, and is read whichever is current; bytes open with their own version only."""
    made = {version: Tokeniser(ROOT, **WHO, version=version) for version in ROOT.versions}
    array = pa.array([5, None, -5])
    texts = pa.concat_arrays([made[version].text(array) for version in (1, 12, 2, 1)])
    assert made[1].back(texts).equals(made[12].back(texts)) and made[2].back(texts).to_pylist() == [5, None, -5] * 4
    for one, other in itertools.product(made, made):
        if one == other:
            assert made[one].back(made[other].binary(array)).equals(array)
        else:
            refused(made[other].binary(array), 2, 2, version=one)
    with pytest.raises(Tampered, match="1 of 3 values"):
        Tokeniser(RootKey({1: bytes(range(1, 33))}), **WHO).back(pa.concat_arrays([made[1].text(array), made[2].text(pa.array([7]))]))


@pytest.mark.parametrize("change", [{"tenant": "u"}, {"join_domain": "e"}, {"version": 1}, "prefix"])
def test_what_another_key_made_does_not_open(change: Any) -> None:
    """Another tenant, join domain or version, or a text whose prefix names a version that did not make it: refused and counted."""
    array = pa.array([1, None, 3])
    if change == "prefix":
        texts = Tokeniser(ROOT, **WHO).text(array).to_pylist()
        refused(pa.array([text and text.replace("p2_", "p1_") for text in texts]), 2, 2)
        return
    other = Tokeniser(ROOT, **{**WHO, **change})
    refused(other.binary(array), 2, 2)
    if "version" not in change:
        refused(other.text(array), 2, 2)
    assert not set(other.binary(array).drop_null().to_pylist()) & set(Tokeniser(ROOT, **WHO).binary(array).to_pylist())


@settings(deadline=None)
@given(INT64, st.integers(0, 127))
def test_a_changed_bit_is_found(value: int, bit: int) -> None:
    """One bit of one token is flipped, in either form: refused, whichever it is."""
    token = int.from_bytes(scalar(value), "big") ^ 1 << bit
    changed = token.to_bytes(16, "big")
    refused(pa.array([scalar(value), changed], TOKEN), 1, 2)
    refused(pa.array([spelt(scalar(value)), spelt(changed), None]), 1, 2)


@pytest.mark.parametrize("place", range(8, 16))
def test_a_block_with_another_fixed_half_is_refused(place: int) -> None:
    """The key's holder encrypts something else than a number and zeros: any byte of the fixed half that is not zero is seen."""
    block = bytearray(16)
    block[place] = 1
    refused(pa.array([aes(bytes(block))], TOKEN), 1, 1)
    refused(pa.array([spelt(aes(bytes(block)))]), 1, 1)


def test_foreign_values_are_counted_and_not_shown() -> None:
    """Other bytes, other lengths, other texts and second spellings beside good ones: their number, and nothing of them."""
    good = scalar(7)
    text = spelt(good)
    foreign = [bytes(16), b"CANARY-CANARY-16", b"CANARY", b"", good + b"\0", good[:15]]
    assert "CANARY" not in refused(pa.array([good, *foreign, None], pa.binary()), len(foreign), len(foreign) + 1)
    assert "CANARY" not in refused(pa.array([b"CANARY", None], pa.binary(6)), 1, 1)
    loose = text[:-1] + "0123456789abcdefghijklmnopqrstuv"["0123456789abcdefghijklmnopqrstuv".index(text[-1]) + 1]
    texts = ["", "CANARY", "p2_", text.upper(), text.upper().replace("P2", "p2"), text + "0", text[:-1], " " + text, text[3:], loose]
    texts += [text.replace("p2_", mark) for mark in ("s2_", "c2_", "p3_", "p02_", "p2-")] + ["p2_é" + "0" * 24, "p2_" + "é" * 13, "p2_" + "w" * 26]
    assert "CANARY" not in refused(pa.array([text, *texts, None]), len(texts), len(texts) + 1)


@pytest.mark.parametrize("array", [pa.array([1]), pa.array([1.0]), pa.array([[b"a"]]), pa.array([True])])
def test_columns_that_hold_no_tokens(array: pa.Array) -> None:
    """Numbers, lists and booleans are refused as a whole."""
    with pytest.raises(Tampered, match="does not hold permuted numbers"):
        permute_blocks.detokenise(array, ROOT, **WHO)


def test_nothing_stands_under_a_null() -> None:
    """The buffer of the tokens holds zeros where there is no value, so a null has no token that could be turned back."""
    numbers = pa.Array.from_buffers(pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([5, 6]))])
    tokens = Tokeniser(ROOT, **WHO).binary(numbers)
    assert tokens.null_count == 1
    assert tokens.buffers()[1].to_pybytes() == scalar(5) + bytes(16)
    assert Tokeniser(ROOT, **WHO).text(numbers).buffers()[2].to_pybytes() == spelt(scalar(5)).encode()
    hidden = pa.Array.from_buffers(TOKEN, 2, [pa.py_buffer(b"\x01"), pa.py_buffer(scalar(5) + scalar(6))])
    found = Tokeniser(ROOT, **WHO).back(hidden)
    assert found.to_pylist() == [5, None] and np.frombuffer(found.buffers()[1], np.int64)[:2].tolist() == [5, 0]


@pytest.mark.parametrize("rows", [1, 7, 8191, 8192, 8193])
def test_both_tiers_write_the_same_bytes(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of numpy and of the compiled code, for any number of rows around a step, and for prefixes of every length."""
    array = pa.array(np.random.default_rng(rows).integers(-(2**63), 2**63 - 1, rows))
    for version in (1, 12):
        made = []
        for wanted in ("numpy", "fused"):
            monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", wanted)
            made.append([buffer.to_pybytes() for buffer in Tokeniser(ROOT, **WHO, version=version).text(array).buffers()[1:]])
        assert made[0] == made[1]


def test_compiled_code_that_differs_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A miscompiled function, played by one that spells another character, is found while loading; numpy makes the tokens."""
    from prefect_gatehouse.tokens import fused

    spell = fused.spell_blocks

    def wrong(blocks: Any, prefix: Any, size: int, text: Any) -> None:
        spell(blocks, prefix, size, text)
        text[10] ^= 1

    monkeypatch.setattr(fused, "spell_blocks", wrong)
    monkeypatch.setattr(permute_blocks, "FUSED", Fused(permute_blocks.FUSED._load, pays_after=1))
    monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", "auto")
    assert permute_blocks.tokenise(pa.array([7, 8]), ROOT, **WHO).to_pylist() == [spelt(scalar(7)), spelt(scalar(8))]
    monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", "fused")
    with pytest.raises(InputError, match="compiled tier"):
        permute_blocks.tokenise(pa.array([7]), ROOT, **WHO)


def test_threads_share_a_tokeniser() -> None:
    """Four threads at once get what one gets alone: each has a cipher and memory of its own."""
    tokeniser = Tokeniser(ROOT, **WHO)
    arrays = [pa.array(np.arange(20_000) + 20_000 * number) for number in range(4)]
    expected = [tokeniser.text(array) for array in arrays]
    made: dict[int, bool] = {}

    def work(number: int) -> None:
        text, binary = tokeniser.text(arrays[number]), tokeniser.binary(arrays[number])
        made[number] = text.equals(expected[number]) and tokeniser.back(text).equals(arrays[number]) and tokeniser.back(binary).equals(arrays[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == dict.fromkeys(range(4), True)


def test_keys_stay_where_they_are() -> None:
    """A key of another length, an unknown version and an empty domain are refused; nothing is pickled or shows anything."""
    for make in (
        lambda: Blocks(bytes(16)),
        lambda: Tokeniser(ROOT, **WHO, version=3),
        lambda: Tokeniser(ROOT, tenant="t", join_domain=""),
    ):
        with pytest.raises(InputError):
            make()
    tokeniser = Tokeniser(ROOT, **WHO)
    assert repr(tokeniser) == "Tokeniser(**********)"
    for each in (tokeniser, Blocks(bytes(32))):
        with pytest.raises(TypeError):
            pickle.dumps(each)


def test_its_key_is_its_own() -> None:
    """The number form and the block form of one column share no key."""
    assert ROOT.derive("t", "d", "permute") != ROOT.derive("t", "d", "permute_block")
