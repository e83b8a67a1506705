"""Random codes for the few values of a category."""

from __future__ import annotations

import pickle

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_gatehouse.errors import DataRefused, InputError
from prefect_gatehouse.tokens import codes

KEY = bytes(range(32))
COLUMN = st.lists(st.none() | st.text(max_size=5), max_size=40)


@settings(deadline=None)
@given(COLUMN)
def test_each_distinct_value_has_a_number_of_its_own(values: list[str | None]) -> None:
    """Equal values have equal codes, distinct ones distinct codes, from 0 up without a gap; nulls stay null."""
    import unicodedata

    found = codes.tokenise(pa.array(values, pa.string()))
    assert found.type == pa.int64()
    pairs = {(None if value is None else unicodedata.normalize("NFC", value), code) for value, code in zip(values, found.to_pylist(), strict=True)}
    pairs.discard((None, None))
    assert len({value for value, _ in pairs}) == len(pairs)
    assert {code for _, code in pairs} == set(range(len(pairs)))


@settings(deadline=None)
@given(COLUMN, st.integers(0, 40), st.randoms())
def test_batches_in_any_order_and_place_give_the_same(values: list[str | None], cut: int, draw: object) -> None:
    """Two batches tagged apart, merged in either order, through a pickle as between processes, give what one batch gives."""
    whole = codes.tag(pa.array(values, pa.string()), KEY)
    expected = codes.Codes.of(whole).encode(whole).to_pylist()
    parts = [codes.tag(pa.array(part, pa.string()), KEY) for part in (values[:cut], values[cut:])]
    for order in (parts, parts[::-1]):
        merged = pickle.loads(pickle.dumps(codes.Codes.merged(codes.Codes.of(part) for part in order)))
        assert [code for part in parts for code in merged.encode(part).to_pylist()] == expected


def test_the_order_is_drawn_anew_and_independent_of_the_values() -> None:
    """Over 600 runs each of three values has each code about 200 times, whatever its place and its order (a fair die within 8 deviations)."""
    array = pa.array(["a", "b", "c"])
    runs = [tuple(codes.tokenise(array).to_pylist()) for _ in range(600)]
    assert len(set(runs)) == 6
    for place in range(3):
        for code in range(3):
            assert abs(sum(run[place] == code for run in runs) - 200) < 8 * 12


def test_state_holds_no_value_and_no_key() -> None:
    """What travels between processes holds tags only."""
    state = pickle.dumps(codes.Codes.of(codes.tag(pa.array(["CANARY", "OTHER"]), KEY)))
    assert b"CANARY" not in state
    assert KEY not in state
    assert codes.new_key() != codes.new_key()


def test_a_thousand_distinct_values_are_too_many() -> None:
    """999 are coded; one more is refused in a batch and in a merge, with the number and no value."""
    many = [f"CANARY{number}" for number in range(1000)]
    assert sorted(codes.tokenise(pa.array(many[:999])).to_pylist()) == list(range(999))
    with pytest.raises(DataRefused, match="at least 1000 distinct values") as refused:
        codes.tokenise(pa.array(many))
    assert "CANARY" not in str(refused.value)
    halves = [codes.Codes.of(codes.tag(pa.array(part), KEY)) for part in (many[:500], many[500:])]
    with pytest.raises(DataRefused, match="at least 1000 distinct values"):
        codes.Codes.merged(halves)


def test_unknown_values_are_not_coded() -> None:
    """A batch that was not merged is refused: a null in place of its values would be silence."""
    known = codes.Codes.of(codes.tag(pa.array(["a"]), KEY))
    with pytest.raises(InputError, match="merge every batch"):
        known.encode(codes.tag(pa.array(["a", "b", None]), KEY))
    with pytest.raises(InputError, match="32 bytes"):
        codes.tag(pa.array(["a"]), bytes(16))


def test_columns_of_any_kind() -> None:
    """Whole numbers, slices, chunks, dictionaries with nulls and empty columns; a type without one text form is refused."""
    array = pa.array(["x", "a", None, "b", "a"])
    for same in (array.slice(1), array.slice(1).dictionary_encode(), pa.chunked_array([array.slice(1, 2), array.slice(3)])):
        first, null, second, third = codes.tokenise(same).to_pylist()
        assert (first, null) == (third, None)
        assert {first, second} == {0, 1}
    assert codes.tokenise(pa.array([7, 7, 8], pa.int8())).value_counts().field(1).to_pylist() == [2, 1]
    assert codes.tokenise(pa.array([], pa.string())).to_pylist() == []
    assert codes.tokenise(pa.nulls(2)).to_pylist() == [None, None]
    with pytest.raises(DataRefused):
        codes.tokenise(pa.array([1.5]))
