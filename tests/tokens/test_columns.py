"""One text form of a value, whatever the column looks like, and token columns of every Arrow shape."""

from __future__ import annotations

import datetime
import decimal
import unicodedata
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.manifest.columns import Tokenise
from prefect_gatehouse.tokens import cmac, columns, siv
from prefect_gatehouse.tokens.columns import Guess, by_dictionary, canonical_text, over_values, repeats
from prefect_gatehouse.tokens.distinct import distinct
from prefect_gatehouse.tokens.keys import RootKey

ROOT = RootKey(bytes(range(1, 33)))
UTC = datetime.UTC
KINDS = [pa.string(), pa.large_string(), pa.string_view()]
# Letters, marks that combine with them, Hangul parts, letters that lie on both sides of where NFC begins to matter, and signs of 4 bytes.
MIXED = st.text(
    st.sampled_from("aeoE\u00e9\u00c5\u212b\u02ff\u0300\u0301\u0327\u0345\u1100\u1161\u11a8\uac00\u0130\u03a3\u0958\U0001f600")
    | st.characters(codec="utf-8")
)


@pytest.fixture(params=["numpy", "fused"])
def tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", request.param)
    return str(request.param)


def tokens(array: pa.Array | pa.ChunkedArray, **options: Any) -> list[str | None]:
    return cmac.tokenise(array, ROOT, tenant="t", join_domain="d", **options).to_pylist()  # type: ignore[no-any-return]


@given(st.lists(st.none() | MIXED, max_size=12), st.sampled_from(KINDS), st.integers(0, 3))
def test_nfc_as_the_standard_library(values: list[str | None], kind: pa.DataType, cut: int) -> None:
    """Every text becomes its NFC, in plain, large and view columns and in slices of them, although most are never looked at one by one."""
    array = pa.array(["e\u0301"] * cut + values, pa.string()).cast(kind).slice(cut)
    assert canonical_text(array).to_pylist() == [None if value is None else unicodedata.normalize("NFC", value) for value in values]


def test_nothing_below_the_combining_marks_changes() -> None:
    """The shortcut's claim, on every single character and every pair with a mark: below U+0300 a character is its own NFC."""
    assert all(unicodedata.normalize("NFC", chr(code)) == chr(code) for code in range(0x300))
    assert "\u0300".encode()[0] == columns._MAY_COMBINE
    below = "".join(map(chr, range(0x300)))
    assert unicodedata.normalize("NFC", below) == below


def test_addresses_join_whatever_their_case_and_only_where_the_column_says_so() -> None:
    """Asked for, Ada@Example.org is ada@example.org, also beyond ASCII and after composing; unasked, they stay apart."""
    pair = pa.array(["Ada@Example.ORG", "ada@example.org", None])
    one, other, missing = tokens(pair, canonical="email")
    assert (one, missing) == (other, None)
    assert len(set(tokens(pair))) == 3
    assert canonical_text(pa.array(["JOSE\u0301@X.es"]), "email").to_pylist() == ["jos\u00e9@x.es"]
    ascii_ = "".join(map(chr, range(128)))
    assert canonical_text(pa.array([ascii_, None, f"\u00c4{ascii_}"]).slice(0, 2), "email").to_pylist() == [ascii_.lower(), None]
    assert siv.tokenise(pair, ROOT, tenant="t", join_domain="d", canonical="email").unique().null_count == 1


def test_the_manifest_says_it_for_schemes_that_canonicalise() -> None:
    """Canonical is a field of cmac and siv; with another scheme it is refused rather than ignored."""
    assert Tokenise(rule="tokenise", canonical="email").canonical == "email"
    with pytest.raises(ValidationError, match="canonical belongs to"):
        Tokenise(rule="tokenise", scheme="permute", canonical="email")


def test_the_manifest_says_the_form_of_permuted_numbers() -> None:
    """Form is a field of permute; with another scheme, or as another word, it is refused. Only tokens that can't be made up are authentic."""
    for scheme in ("cmac", "siv", "ff1", "codes"):
        with pytest.raises(ValidationError, match="form belongs to scheme permute"):
            Tokenise(rule="tokenise", scheme=scheme, form="text")
    with pytest.raises(ValidationError):
        Tokenise.model_validate({"rule": "tokenise", "scheme": "permute", "form": "binary"})
    assert Tokenise(rule="tokenise", scheme="permute", form="text").authentic and Tokenise(rule="tokenise", scheme="siv").authentic
    forms = [Tokenise(rule="tokenise", scheme="permute", form=form) for form in (None, "number")]
    assert not any(item.authentic for item in [*forms, Tokenise(rule="tokenise", scheme="ff1"), Tokenise(rule="tokenise")])


FORMS: dict[str, tuple[pa.Array, list[str | None]]] = {
    "negative-zero": (pa.array([-0.0, 0.0, None, -3.0]), ["0", "0", None, "-3"]),
    "int64-limits": (pa.array([-(2**63), 2**63 - 1]), ["-9223372036854775808", "9223372036854775807"]),
    "uint64-limit": (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
    "booleans": (pa.array([True, False, None]), ["true", "false", None]),
    "date32": (pa.array([datetime.date(2026, 1, 31)]), ["2026-01-31"]),
    "date64": (pa.array([datetime.date(2026, 1, 31)], pa.date64()), ["2026-01-31"]),
    "whole-decimal": (pa.array([decimal.Decimal(12)], pa.decimal128(20, 0)), ["12"]),
    "nulls": (pa.nulls(2), [None, None]),
    "utc-seconds": (pa.array([datetime.datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)], pa.timestamp("s", "UTC")), ["2026-01-31T12:00:05.000000Z"]),
    "another-zone": (pa.array([1769860805_000_001], pa.timestamp("us", "Asia/Tokyo")), ["2026-01-31T12:00:05.000001Z"]),
    "whole-microseconds": (pa.array([1769860805_000_001_000], pa.timestamp("ns", "UTC")), ["2026-01-31T12:00:05.000001Z"]),
    "half-float": (pa.array(np.array([1.0, -0.0], np.float16)), ["1", "0"]),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str) -> None:
    """What counts as the text of each type; one instant has one text, whatever its unit and zone."""
    array, expected = FORMS[form]
    assert canonical_text(array).to_pylist() == expected
    assert canonical_text(array.dictionary_encode() if array.type != pa.null() else array).to_pylist() == expected


@pytest.mark.parametrize(
    "array",
    [
        pa.array([float("nan"), 1.0]),
        pa.array([float("inf")]),
        pa.array([decimal.Decimal("1.50")], pa.decimal128(10, 2)),
        pa.array([1], pa.timestamp("ns", "UTC")),
        pa.array([1], pa.timestamp("us")),
        pa.array([1], pa.time64("us")),
        pa.array([1], pa.duration("us")),
        pa.array([b"x"], pa.binary()),
        pa.array([b"x"], pa.large_binary()),
        pa.array([{"a": 1}]),
    ],
    ids=lambda array: str(array.type),
)
def test_refused_forms(array: pa.Array) -> None:
    """Not-a-number, fractions, instants finer than microseconds, local times, binary and nested columns have no single text."""
    with pytest.raises(DataRefused):
        canonical_text(array)


def test_bytes_that_are_not_utf8_are_refused() -> None:
    """A column that lies about its encoding is an error of ours, and its bytes are not in it."""
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xcc\xff canary"]).buffers())
    with pytest.raises(DataRefused, match="UTF-8") as caught:
        canonical_text(broken)
    assert "canary" not in str(caught.value)


def plain(values: list[str | None]) -> list[str | None]:
    """The tokens of each value alone: what every column that holds it must have."""
    return [None if value is None else tokens(pa.array([value]))[0] for value in values]


def test_every_shape_of_a_column(tier: str) -> None:
    """Slices, chunks, dictionaries with unused, repeated and missing entries, and every text type give the tokens of the values alone."""
    values = ["x", None, "7", "x" * 40, "", None, "12", "\u00fc", "7"]
    expected = plain(values)
    array = pa.array(values)
    dictionary = pa.DictionaryArray.from_arrays(
        pa.array([3, None, 0, 1, 2, 5, 4, 6, 0]), pa.array(["7", "x" * 40, "", "x", "12", None, "\u00fc", "unused"])
    )
    for same in (
        *[array.cast(kind) for kind in KINDS],
        dictionary,
        pa.DictionaryArray.from_arrays(dictionary.indices, dictionary.dictionary.cast(pa.large_string())),
        pa.chunked_array([array.slice(0, 3), array.slice(3, 0), array.slice(3)]),
        pa.chunked_array([array.slice(0, 3).dictionary_encode(), array.slice(3).dictionary_encode()]),
        pa.chunked_array([array.cast(pa.string_view())]),
    ):
        made = cmac.tokenise(same, ROOT, tenant="t", join_domain="d")
        made.validate(full=True)
        assert (made.type, made.to_pylist()) == (pa.string(), expected)
    for start in range(len(values)):
        for size in range(len(values) - start):
            assert tokens(array.slice(start, size)) == expected[start : start + size]
            assert tokens(dictionary.slice(start, size)) == expected[start : start + size]


@pytest.mark.parametrize("distinct", [1, 40, 2000])
def test_large_columns_that_repeat_or_not(distinct: int, tier: str) -> None:
    """Whether values are told apart first or not, each row has the token of its value, and null where it has none."""
    rows = np.random.default_rng(distinct).integers(0, distinct, 3000)
    values = [None if row % 7 == 3 else f"value {row}" for row in rows.tolist()]
    known = {value: plain([value])[0] for value in {*values}}
    array = pa.array(values, pa.string())
    assert tokens(array) == [known[value] for value in values]


def test_mostly_distinct_values_are_not_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guess: distinct ones are tokenised as they come, repeating ones once."""
    seen: list[int] = []

    def tokens_of(array: pa.Array) -> pa.Array:
        seen.append(len(array))
        return array

    for values in ([str(row) for row in range(5000)], [str(row % 50) for row in range(5000)]):
        assert over_values(pa.array(values), tokens_of).to_pylist() == values
    assert seen == [5000, 50]
    assert not repeats(pa.array([], pa.string()))


def test_a_guess_is_made_anew_at_growing_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch after batch of one kind is sampled ever more rarely, never less than every 32nd; another answer brings it closer again."""
    sampled: list[bool] = []
    monkeypatch.setattr(columns, "repeats", lambda array: sampled.append(repeats(array)) or sampled[-1])
    distinct, repeating = pa.array([str(row) for row in range(1000)]), pa.array([str(row % 5) for row in range(1000)])
    guess = Guess()
    assert not any(guess(distinct) for _ in range(200))
    assert len(sampled) == 10  # batches 1, 3, 7, 15, 31, 63, 95 and so on
    answers = [guess(repeating) for _ in range(40)]
    assert answers == sorted(answers)
    assert answers.count(True) >= 8
    assert guess(pa.array(["one"])) is False  # too few to be worth a guess, or to tell anything


def test_beyond_two_gibibytes(monkeypatch: pytest.MonkeyPatch, tier: str) -> None:
    """Where the tokens outgrow a plain string column the result is large text, on every way that makes one; the limit is lowered here."""
    distinct = [f"{row:05d}" for row in range(2000)]
    small = tokens(pa.array(distinct))
    monkeypatch.setattr(columns, "TEXT_LIMIT", 1000)
    for array in (
        pa.array(distinct),
        pa.array(distinct[:10] * 200),
        pa.chunked_array([pa.array(distinct[:1000]), pa.array(distinct[1000:])]),
        pa.array(distinct, pa.string_view()),
        pa.array(distinct[:10] * 200).dictionary_encode(),
    ):
        for scheme in (cmac, siv):
            made = scheme.tokenise(array, ROOT, tenant="t", join_domain="d")
            made.validate(full=True)
            assert made.type == pa.large_string()
        assert siv.detokenise(made, ROOT, tenant="t", join_domain="d").to_pylist() == array.to_pylist()
    assert tokens(pa.array(distinct)) == small


@given(st.lists(st.none() | st.text(max_size=60), max_size=30), st.integers(0, 5), st.sampled_from(KINDS))
def test_tiers_agree_on_columns(values: list[str | None], cut: int, kind: pa.DataType) -> None:
    """Nulls, offsets and types: both tiers write the same column, for both schemes."""
    array = pa.array(["front"] * cut + values, pa.string()).cast(kind).slice(cut)
    with pytest.MonkeyPatch.context() as patch:
        made = []
        for wanted in ("numpy", "fused"):
            patch.setenv("GATEHOUSE_TOKEN_TIER", wanted)
            made.append([scheme.tokenise(array, ROOT, tenant="t", join_domain="d").to_pylist() for scheme in (cmac, siv)])
    assert made[0] == made[1]


@pytest.mark.parametrize("rows", [1, 127, 128, 129, 300])
def test_tokens_are_spelt_in_runs_of_any_length(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Around the number of tokens that compiled code spells at a time, for versions with one digit and with two, every token is in its place."""
    array = pa.array([f"{row} {'x' * (row % 50)}" for row in range(rows)])
    for current in (1, 12):
        root = RootKey({current: bytes(range(1, 33))})
        made = []
        for wanted in ("numpy", "fused"):
            monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", wanted)
            made.append(cmac.tokenise(array, root, tenant="t", join_domain="d"))
            made[-1].validate(full=True)
        assert made[0].equals(made[1])
        assert len(made[0].unique()) == rows


# Texts that share a beginning, an end, a length or all but one byte.
ALIKE = st.sampled_from(["", "a", "b", "x" * 16, "x" * 15 + "y", "x" * 17, "x" * 40, "x" * 20 + "y" + "x" * 19, "y" + "x" * 39, "\x00", "\x00\x00"])


@given(st.lists(ALIKE | st.text(max_size=40), max_size=60), st.integers(0, 3))
def test_compiled_code_tells_values_apart_like_arrow(values: list[str], cut: int) -> None:
    """The same distinct values in the same order, and the same places, for texts that are hard to tell apart."""
    kernels = cmac.FUSED.for_rows(1, "fused")
    assert kernels is not None
    array = pa.array(["front"] * cut + values, pa.string()).slice(cut)
    for ours, theirs in zip(distinct(array, kernels.tell_apart), by_dictionary(array), strict=True):
        assert ours.to_pylist() == theirs.to_pylist()


@pytest.mark.parametrize("rare", [0, 1, 300])
@pytest.mark.parametrize("nulls", [False, True])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_values_that_no_sample_shows(rare: int, nulls: bool, kind: pa.DataType) -> None:
    """A few common values and some that a sample misses: each distinct value once, each row at its own, null where the row is."""
    values: list[str | None] = [f"common {row % 40}" for row in range(5000)]
    values[70 : 70 + rare] = [f"rare {row // 2}" for row in range(rare)]
    if nulls:
        values[3::11] = [None] * len(values[3::11])
    array = pa.array(["front", *values], kind).slice(1)
    distinct_values, places = by_dictionary(array)
    assert distinct_values.null_count == 0
    assert len(distinct_values.unique()) == len(distinct_values) == len({*values} - {None})
    assert (places.type, places.null_count) == (pa.int32(), array.null_count)
    assert distinct_values.take(places).equals(array)
    assert tokens(array) == tokens(pa.chunked_array([array]).dictionary_encode())


def test_too_many_values_are_left_to_arrow() -> None:
    """More distinct values than the table holds, nulls and columns of large text give what Arrow gives."""
    kernels = cmac.FUSED.for_rows(1, "fused")
    assert kernels is not None
    many = [str(row) for row in range(3000)]
    for array in (pa.array(many), pa.array([*many[:5], None]), pa.array(many[:9] * 3, pa.large_string())):
        values, places = distinct(array, kernels.tell_apart)
        assert values.take(places).to_pylist() == array.to_pylist()
        assert len(values.unique()) == len(values)
