"""Patterns on a few texts and on many: one answer."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_gatehouse.data import dates, keep
from prefect_gatehouse.data.matching import matches
from prefect_gatehouse.data.national_numbers import NUMBERS
from prefect_gatehouse.data.written_identifiers import ORDINARY, WRITTEN
from prefect_gatehouse.profile import statistics as observe

PATTERNS = [
    r"^\s*\d{9,19}\s*$",
    r"\d{9}",
    r"[^\s/]\s[]\s]$",
    ORDINARY,
    dates.ISO,
    keep._WHOLE,
    keep._FRACTION,
    keep._NO_NUMBER,
    observe._OTHER_DATE,
    *(kind.quick for kind in WRITTEN),
    *(number.written for number in NUMBERS if number.written is not None),
]
TEXTS = st.text(st.sampled_from("0123459aAbdFxX@.:/-+, \t\n\v\f\r\u00a0\u0663\u00e9()eE"), max_size=24) | st.sampled_from(
    ["2026-11-28", "2026-11-28\n", "12.3\n", "1234567890", "a@b.org", "aa:bb:cc:dd:ee:ff", "12/03/2026", "7"]
)


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=40)
@given(texts=st.lists(st.none() | TEXTS, max_size=12))
def test_a_few_texts_are_matched_as_many_are(pattern: str, texts: list[str | None]) -> None:
    """Python's compiled pattern and RE2 agree on every pattern in use, missing values and line ends too."""
    values = pa.array(texts, pa.string())
    assert matches(values, pattern).equals(pc.match_substring_regex(values, pattern))
