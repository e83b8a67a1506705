"""Patterns that mean the same to Python and to RE2."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_gatehouse.validation.pushdown.patterns import alike

ACCEPTED = ["a", "^a", "b$", "^[a-z]+$", r"^\d{3}-\d+$", "(a|b)c", "a.c", "x{2,3}", "[^a]", "^[A-Z]{2}[0-9]*?$", "(?:ab)+", "a|", r"\.csv$"]
REFUSED = [
    "(?i)a",
    "a(?=b)",
    "(?<!a)b",
    r"(a)\1",
    r"\bword",
    r"\s",
    r"\Aa",
    r"a\Z",
    "ä",
    "(",
    "x{2000}",
    "(a*)*",
    "(^a)*",
    "(?s).",
    "a++",
    "(?P<n>a)(?P=n)",
    "[[a]",
]


@pytest.mark.parametrize("source", ACCEPTED)
def test_what_both_define_alike_is_accepted(source: str) -> None:
    """Plain patterns are computed on record batches."""
    assert alike(source) is not None


@pytest.mark.parametrize("source", REFUSED)
def test_what_they_read_differently_is_left_alone(source: str) -> None:
    """Flags, look-around, back references, Unicode classes, nested repetition and what is no pattern go to Great Expectations."""
    assert alike(source) is None


_ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", "(a|b)", "(?:ab)", "^", "$", "-"])
_REPEATS = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,3}", "*?"])


@settings(max_examples=400, deadline=None)
@given(parts=st.lists(st.tuples(_ATOMS, _REPEATS), max_size=6), texts=st.lists(st.text(alphabet="ab1-_ \n\tä٣", max_size=8), max_size=8))
def test_both_engines_agree_on_what_is_accepted(parts: list[tuple[str, str]], texts: list[str]) -> None:
    """On texts that a pattern's conditions admit, RE2 finds a match exactly where Python does."""
    pattern = alike("".join(atom + repeat for atom, repeat in parts))
    if pattern is None:
        return
    admitted = [each for each in texts if (not pattern.ascii_only or each.isascii()) and (not pattern.one_line or "\n" not in each)]
    found = pc.match_substring_regex(pa.array(admitted, pa.large_string()), pattern.source).to_pylist()
    assert found == [re.search(pattern.source, each) is not None for each in admitted]
