"""The column rules."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from prefect_gatehouse.data.rules import rule_for
from prefect_gatehouse.errors import DataRefused, InputError
from prefect_gatehouse.manifest.columns import Column
from prefect_gatehouse.tokens import cmac, siv
from prefect_gatehouse.tokens.keys import RootKey

ROOT = RootKey(bytes(range(1, 33)))
ADAPTER: TypeAdapter[Column] = TypeAdapter(Column)


def treated(rule: Mapping[str, object], *batches: pa.Array, typed: bool = False) -> list[object]:
    made = rule_for("col", ADAPTER.validate_python(rule), typed=typed, root_key=ROOT, tenant="t")
    chunks = [made.apply(batch)[0] for batch in batches]
    made.check()
    return made.finish(pa.chunked_array(chunks)).to_pylist()  # type: ignore[no-any-return]


def text(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


KEEP = {"rule": "keep"}
SCALE = {"rule": "keep", "scale": [0, 10]}
YEAR = {"rule": "generalise", "to": "year"}
MONTH = {"rule": "generalise", "to": "month"}
PREFIX = {"rule": "generalise", "prefix": 3}
ROUND = {"rule": "generalise", "round_to": 10}
BINS = {"rule": "generalise", "bins": [0, 18, 65.5, 120]}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("1", None, "-20"), [1, None, -20]),
        (("1.5", "2", "1e3"), [1.5, 2.0, 1000.0]),
        (("0", "0.25", "-0.5"), [0.0, 0.25, -0.5]),
        (("007", "1"), ["007", "1"]),
        (("+49", "1"), ["+49", "1"]),
        (("9111111111111111", "1"), [9111111111111111, 1]),
        (("9223372036854775807", None, "-9223372036854775808"), [2**63 - 1, None, -(2**63)]),
        (("9223372036854775808", "1"), ["9223372036854775808", "1"]),
        (("-9223372036854775809", "1"), ["-9223372036854775809", "1"]),
        (("9111111111111111", "0.5"), ["9111111111111111", "0.5"]),
        (("1", "x"), ["1", "x"]),
        (("true", "1"), ["true", "1"]),
        (("0x10", "1"), ["0x10", "1"]),
        (("2024-01-01",), ["2024-01-01"]),
        ((None, None), [None, None]),
        (("", "1"), ["", "1"]),
    ],
)
def test_keep_makes_numbers_of_text_only_if_nothing_is_lost(values: tuple[str | None, ...], expected: list[object]) -> None:
    """A kept CSV column becomes numbers unless some value would not come back: leading zeros, plus signs, long digits beside fractions."""
    result = treated(KEEP, *(text(value) for value in values))
    assert result == expected
    assert [type(value) for value in result] == [type(value) for value in expected]


def test_keep_leaves_typed_columns_alone() -> None:
    """Text of a Parquet file stays text, other flat types stay what they are."""
    assert treated(KEEP, text("1", "2"), typed=True) == ["1", "2"]
    for values in ([1, None], [True], [dt.date(2024, 1, 1)], [Decimal("1.50")], [1.5]):
        assert treated(KEEP, pa.array(values), typed=True) == values


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=10))
def test_scale_is_linear_and_clipped(values: list[float]) -> None:
    """(x - low) / (high - low) within 0..1; text and numbers give the same."""
    expected = [min(max((value - 0) / 10, 0.0), 1.0) for value in values]
    assert treated(SCALE, pa.array(values), typed=True) == expected
    assert treated(SCALE, text(*(repr(value) for value in values))) == expected


def test_scale_takes_booleans_decimals_spaces_and_missing_values() -> None:
    """Nulls stay null, spaces around a number do not matter."""
    assert treated(SCALE, text(" 5 ", None)) == [0.5, None]
    assert treated(SCALE, pa.array([True, None]), typed=True) == [0.1, None]
    assert treated(SCALE, pa.array([Decimal("2.5")]), typed=True) == [0.25]
    assert treated(SCALE, pa.nulls(1), typed=True) == [None]


def test_years_and_months() -> None:
    """Text dates, times, dates and timestamps; the day never stays."""
    assert treated(YEAR, text("1985-12-31", None, " 2001-02-03T04:05:06Z ", "1999-01-01 10:00")) == [1985, None, 2001, 1999]
    assert treated(MONTH, text("1985-12-31", None, "0999-01-05")) == ["1985-12", None, "0999-01"]
    assert treated(MONTH, pa.array([dt.datetime(2024, 2, 29), None]), typed=True) == ["2024-02", None]
    assert treated(YEAR, pa.array([dt.date(2024, 2, 29)]), typed=True) == [2024]


def test_prefix_counts_characters_of_the_nfc_text() -> None:
    """Characters, not bytes; leading zeros stay; a decomposed letter counts as one."""
    assert treated(PREFIX, text("01234", "e\u0301a\u0301bcd", None, "12")) == ["012", "\u00e9\u00e1b", None, "12"]
    assert treated(PREFIX, pa.array([12345]), typed=True) == ["123"]


@pytest.mark.parametrize(
    ("step", "values", "expected"),
    [
        (10, ["14", "15", "25", "-14", None, "1e3"], [10, 20, 20, -10, None, 1000]),
        (0.1, ["0.34", "-0.01", "2.96"], [0.3, 0.0, 3.0]),
        (0.3, ["1"], [0.8999999999999999]),
        (2.5, ["3.8"], [5.0]),
    ],
)
def test_round_to(step: float, values: list[str | None], expected: list[object]) -> None:
    """The nearest multiple, halves to even, whole for whole steps, without a negative zero."""
    result = treated({"rule": "generalise", "round_to": step}, text(*values))
    assert result == expected
    assert [type(value) for value in result] == [type(value) for value in expected]
    assert not any(value == 0 and math.copysign(1, value) < 0 for value in result if isinstance(value, float))


def test_bins_are_half_open_and_labelled() -> None:
    """The lower edge belongs to the bin, the upper one to the next."""
    expected = ["[0,18)", "[18,65.5)", "[65.5,120)", None, "[0,18)"]
    assert treated(BINS, text("0", "18", "65.5", None, "17.999")) == expected


def test_tokens_use_the_declared_domain_or_the_name() -> None:
    """Both schemes, with the join domain of the manifest, otherwise with the column's name."""
    array = text("a", None)
    for scheme, module in (("cmac", cmac), ("siv", siv)):
        rule = {"rule": "tokenise", "scheme": scheme}
        assert treated(rule, array) == module.tokenise(array, ROOT, tenant="t", join_domain="col").to_pylist()
        joined = module.tokenise(array, ROOT, tenant="t", join_domain="person").to_pylist()
        assert treated({**rule, "join_domain": "person"}, array) == joined


REFUSED: dict[str, tuple[Mapping[str, object], pa.Array, bool, str]] = {
    "scale-text": (SCALE, text("1", "CANARY", "CANARY", "x1"), False, "3 values are not numbers"),
    "scale-comma": (SCALE, text("1,5"), False, "1 value is not numbers"),
    "scale-nan": (SCALE, text("nan", "inf", "1"), False, "2 values are not finite"),
    "scale-float-nan": (SCALE, pa.array([math.nan, math.inf, 1.0]), True, "2 values are not finite"),
    "scale-date": (SCALE, pa.array([dt.date(2024, 1, 1)]), True, "not numbers"),
    "keep-nan": (KEEP, pa.array([math.nan]), True, "1 value is not finite"),
    "keep-text-nan": (KEEP, text("nan", "1"), False, "1 value is not finite"),
    "keep-nested": (KEEP, pa.array([["CANARY"]]), True, "can't be kept"),
    "keep-binary": (KEEP, pa.array([b"CANARY"]), True, "can't be kept"),
    "year-text": (
        YEAR,
        text("31.12.1985", "1985-02-30", "1985-13-01", "CANARY", "1985-12-31x", "1985-12-31"),
        False,
        "5 values are not",
    ),
    "year-number": (YEAR, pa.array([1985]), True, "not dates"),
    "prefix-keeps-all": (PREFIX, text("123", "ab"), False, "keeps every value whole"),
    "prefix-float": (PREFIX, pa.array([1.5]), True, "no single text form"),
    "round-text": (ROUND, text("CANARY"), False, "1 value is not numbers"),
    "round-overflow": (ROUND, text("1e300"), False, "too large"),
    "bins-below": (BINS, text("-1", "5", "-0.001"), False, "2 values are outside the bins"),
    "bins-text": (BINS, text("CANARY"), False, "not numbers"),
    "token-float": ({"rule": "tokenise"}, pa.array([1.5]), True, "no single text form"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_values_are_counted_and_never_shown(case: str) -> None:
    """Each bad value counts once over all batches; the message names the column and holds no value."""
    rule, array, typed, message = REFUSED[case]
    with pytest.raises(DataRefused) as caught:
        treated(rule, array.slice(0, 1), array.slice(1), typed=typed)
    assert message in str(caught.value)
    assert caught.value.where == "column 'col'"
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    "rule",
    [
        {"rule": "keep", "scale": [-math.inf, 1]},
        {"rule": "keep", "scale": [-1.7e308, 1.7e308]},
        {"rule": "generalise", "round_to": math.inf},
        {"rule": "generalise", "bins": [0, math.nan, 1]},
        {"rule": "drop"},
    ],
)
def test_settings_that_make_no_sense_are_input_errors(rule: dict[str, object]) -> None:
    """Bounds that YAML can spell (.inf, .nan) but no rule can use are refused before any data is read."""
    with pytest.raises((InputError, ValidationError)):
        treated(rule, text("1"))


def test_tokenise_needs_a_root_key() -> None:
    """Without a key there is no token."""
    with pytest.raises(InputError, match="root key"):
        rule_for("col", ADAPTER.validate_python({"rule": "tokenise"}), typed=False, root_key=None, tenant="t")
