"""FF1 over columns: what stays in place, what is refused, nulls and types, and keys."""

from __future__ import annotations

import pickle
import threading

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_gatehouse.errors import DataRefused, InputError, Tampered
from prefect_gatehouse.tokens import ff1
from prefect_gatehouse.tokens.ff1_alphabet import CHARACTERS, Alphabet, named
from prefect_gatehouse.tokens.keys import RootKey

ROOT = RootKey({1: bytes(range(1, 33)), 2: bytes(range(2, 34))})
WHO = {"tenant": "t", "join_domain": "d"}


def form(text: str | None) -> str | None:
    """What must not change: 9 for a digit, a for a letter of any case, every other character as it is."""
    return None if text is None else "".join("9" if c.isdigit() else "a" if c.isalpha() else c for c in text)


@pytest.fixture(params=["numpy", "fused"], autouse=True)
def each_tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "fused":
        pytest.importorskip("numba")
    monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", request.param)


def test_the_form_stays() -> None:
    """Separators keep their places, digits become digits, and the same digits in another form become the same digits."""
    values = ["12-34 5678", "(030) 123 45-67", None, "123456", "1234-5678", "12345678", "\t12345678.", "00000000"]
    tokens = ff1.tokenise(pa.array(values), ROOT, **WHO).to_pylist()
    assert [form(token) for token in tokens] == [form(value) for value in values]
    bare = ["".join(filter(str.isdigit, token or "")) for token in tokens]
    assert bare[0] == bare[4] == bare[5] == bare[6]
    assert bare[0] != "12345678"
    assert bare[7] != "00000000"
    assert ff1.detokenise(pa.array(tokens), ROOT, **WHO).to_pylist() == values


@settings(deadline=None)
@given(st.lists(st.none() | st.text("0123456789 -/.()", min_size=12, max_size=40), max_size=8))
def test_any_form_round_trips(values: list[str | None]) -> None:
    """Any mixture of digits and separators with enough digits comes back, wherever the separators stand."""
    fit = [value for value in values if value is None or sum(map(str.isdigit, value)) >= 6]
    tokens = ff1.tokenise(pa.array(fit, pa.string()), ROOT, **WHO)
    assert [form(token) for token in tokens.to_pylist()] == [form(value) for value in fit]
    assert ff1.detokenise(tokens, ROOT, **WHO).to_pylist() == fit


def test_refused_values_are_counted_by_reason_and_never_shown() -> None:
    """Too short, too long, and what would leave in clear: letters, the digits of other scripts, signs beyond ASCII."""
    canary = "CANARY"
    short, long = ["12345", "", "1-2-3"], ["1" * 129]
    foreign = [f"{canary} 12345678", "123456 \u0661\u0662\u0663", "\uff11\uff12\uff13\uff14\uff15\uff16", "123456\u2013789", "Müller 123456"]
    fine = ["123456", None]
    with pytest.raises(DataRefused) as refused:
        ff1.tokenise(pa.array([*short, *long, *foreign, *fine]), ROOT, **WHO)
    assert refused.value.message.startswith("9 of 10 values have no token of FF1: 3 with fewer than 6 ")
    assert "1 with more than 128" in refused.value.message
    assert "5 with letters" in refused.value.message
    assert canary not in str(refused.value)
    assert refused.value.__cause__ is None
    legal = ff1.legal(pa.array([*short, *long, *foreign, *fine])).to_pylist()
    assert legal == [False] * 9 + [True, None]


@pytest.mark.parametrize(("name", "shortest"), [("digits", 6), ("lower", 5), ("upper", 5), ("letters", 4), ("alphanumeric", 4)])
def test_a_domain_has_a_million_values(name: str, shortest: int) -> None:
    """The shortest value of each alphabet is the first whose domain has 10^6 values; one character less is refused."""
    alphabet = named(name)  # type: ignore[arg-type]
    assert alphabet.radix**shortest >= 10**6 > alphabet.radix ** (shortest - 1)
    text = alphabet.characters[:1] * shortest
    assert len(ff1.tokenise(pa.array([text]), ROOT, **WHO, alphabet=name).to_pylist()[0]) == shortest  # type: ignore[arg-type]
    with pytest.raises(DataRefused, match=r"^1 of 1 "):
        ff1.tokenise(pa.array([text[1:]]), ROOT, **WHO, alphabet=name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CHARACTERS)
def test_alphabets(name: str) -> None:
    """Tokens hold characters of the alphabet only, and a letter or digit outside it is refused."""
    characters = CHARACTERS[name]  # type: ignore[index]
    values = [characters[-8:], f"{characters[:5]}-{characters[2:7]}"]
    tokens = ff1.tokenise(pa.array(values), ROOT, **WHO, alphabet=name)  # type: ignore[arg-type]
    assert set("".join(tokens.to_pylist())) <= {*characters, "-"}
    assert ff1.detokenise(tokens, ROOT, **WHO, alphabet=name).to_pylist() == values  # type: ignore[arg-type]
    outside = next((c for c in CHARACTERS["alphanumeric"] if c not in characters), "\u00e9")
    with pytest.raises(DataRefused, match=r"^1 of 2 values .* 1 with letters"):
        ff1.tokenise(pa.array([values[0], values[0] + outside]), ROOT, **WHO, alphabet=name)  # type: ignore[arg-type]


def test_same_tokens_whatever_the_column_looks_like() -> None:
    """Slices, chunks, dictionaries, other string types and whole numbers of the same text give the same tokens, and nulls stay."""
    array = pa.array(["999999", "1234567", None, "7654321"])
    plain = ff1.tokenise(array.slice(1), ROOT, **WHO)
    for same in (
        array.slice(1).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([1, None, 2]), ["no token", "1234567", "7654321"]),
        pa.chunked_array([array.slice(1, 1), array.slice(2)]),
        array.slice(1).cast(pa.large_string()),
        array.slice(1).cast(pa.string_view()),
        pa.array([1234567, None, 7654321]),
        pa.array([1234567.0, None, 7654321.0]),
    ):
        assert ff1.tokenise(same, ROOT, **WHO).equals(plain)
    assert ff1.detokenise(plain.dictionary_encode(), ROOT, **WHO).to_pylist() == ["1234567", None, "7654321"]


def test_whole_numbers_keep_their_sign_and_digits() -> None:
    """A column of int64 becomes text, since a token may begin with zeros."""
    numbers = pa.array([-(2**63), 2**63 - 1, -1234567, 1234567])
    tokens = ff1.tokenise(numbers, ROOT, **WHO)
    assert tokens.type == pa.string()
    assert [form(token) for token in tokens.to_pylist()] == [form(str(number)) for number in numbers.to_pylist()]
    assert ff1.detokenise(tokens, ROOT, **WHO).cast(pa.int64()).equals(numbers)


def test_text_under_a_null_does_not_leave() -> None:
    """What a buffer holds under a null is neither judged nor copied."""
    values = pa.Array.from_buffers(
        pa.string(), 2, [pa.py_buffer(b"\x02"), pa.py_buffer(b"\0\0\0\0\x06\0\0\0\x0e\0\0\0"), pa.py_buffer(b"SECRET12345678")]
    )
    tokens = ff1.tokenise(values, ROOT, **WHO)
    assert tokens.null_count == 1
    assert b"SECRET" not in b"".join(bytes(buffer) for buffer in tokens.buffers() if buffer is not None)


@pytest.mark.parametrize("array", [pa.array([], pa.string()), pa.array([None, None], pa.string()), pa.nulls(2)])
def test_no_values(array: pa.Array) -> None:
    """Empty and all-null columns come back as they are, as text."""
    for result in (ff1.tokenise(array, ROOT, **WHO), ff1.detokenise(array, ROOT, **WHO)):
        assert result.to_pylist() == array.to_pylist()
        assert result.type == pa.string()


def test_tenants_domains_and_versions_do_not_join() -> None:
    """Another tenant, join domain or version has other tokens; the version that made them turns them back, the current one by default."""
    array = pa.array(["1234567890"])
    tokens = [
        ff1.tokenise(array, ROOT, **WHO).to_pylist(),
        ff1.tokenise(array, ROOT, tenant="u", join_domain="d").to_pylist(),
        ff1.tokenise(array, ROOT, tenant="t", join_domain="e").to_pylist(),
        ff1.tokenise(array, ROOT, **WHO, version=1).to_pylist(),
    ]
    assert len({token for (token,) in tokens}) == 4
    assert ff1.tokenise(array, ROOT, **WHO, version=2).to_pylist() == tokens[0]
    assert ff1.detokenise(pa.array(tokens[3]), ROOT, **WHO, version=1).equals(array)
    assert not ff1.detokenise(pa.array(tokens[3]), ROOT, **WHO).equals(array)


def test_what_can_not_be_tokens_is_not_turned_back() -> None:
    """Columns of numbers, texts too short or of other characters: the message counts them and shows none."""
    with pytest.raises(Tampered, match="does not hold tokens of FF1"):
        ff1.detokenise(pa.array([1234567]), ROOT, **WHO)
    with pytest.raises(Tampered, match=r"2 of 3 values can't be tokens of FF1: 1 with fewer .*, 1 with letters") as error:
        ff1.detokenise(pa.array(["1234567", "123", "CANARY1234567"]), ROOT, **WHO)
    assert "CANARY" not in str(error.value)


def test_what_is_no_key_no_tweak_no_alphabet() -> None:
    """Each is refused before a value is looked at."""
    array = pa.array(["1234567"])
    for key, tweak, characters in ((bytes(31), b"", "01"), (bytes(32), bytes(65536), "01"), (bytes(32), b"", "0"), (bytes(32), b"", "00")):
        with pytest.raises(InputError):
            ff1.encrypt(array, key, tweak, characters)
    with pytest.raises(InputError, match="alphabet is unknown"):
        ff1.tokenise(array, ROOT, **WHO, alphabet="hexadecimal")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no version 3"):
        ff1.tokenise(array, ROOT, **WHO, version=3)
    with pytest.raises(InputError):
        Alphabet("01\u00e9")


def test_a_tokeniser_shows_and_ships_no_key_and_serves_threads() -> None:
    """Its repr holds nothing, pickle refuses it, and threads that share one get what one thread gets."""
    tokeniser = ff1.Tokeniser(ROOT, **WHO)
    assert repr(tokeniser) == "Tokeniser(**********)"
    with pytest.raises(TypeError):
        pickle.dumps(tokeniser)
    array = pa.array([f"{number:09d}" for number in range(30_000)])
    expected, found = tokeniser(array), []
    threads = [threading.Thread(target=lambda: found.append(tokeniser(array))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.equals(expected) for result in found] == [True] * 3
