"""What the rules count: over parts and processes, with rows set aside, and with missing values refused."""

from __future__ import annotations

import pickle
from collections.abc import Mapping

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from prefect_gatehouse.data.rules import Rule, rule_for
from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.manifest.columns import Column
from prefect_gatehouse.tokens.keys import RootKey

ROOT = RootKey(bytes(range(1, 33)))
ADAPTER: TypeAdapter[Column] = TypeAdapter(Column)
RULES: dict[str, dict[str, object]] = {
    "keep": {"rule": "keep"},
    "scale": {"rule": "keep", "scale": [0, 10]},
    "prefix": {"rule": "generalise", "prefix": 2},
    "round": {"rule": "generalise", "round_to": 10},
    "bins": {"rule": "generalise", "bins": [0, 5, 1000]},
    "year": {"rule": "generalise", "to": "year"},
    "cmac": {"rule": "tokenise"},
    "constant": {"rule": "constant", "value": "same"},
}
VALUES = st.lists(st.none() | st.sampled_from(["1", "25", "-3", "1.5", "007", "nan", "text", "2026-01-28", "123456"]), max_size=12)


def rule(declared: Mapping[str, object], typed: bool = False) -> Rule:
    return rule_for("col", ADAPTER.validate_python(declared), typed=typed, root_key=ROOT, tenant="t")


def outcome(made: Rule, parts: list[pa.Array]) -> object:
    """The column as it leaves, with its type, or the refusal's words."""
    try:
        made.check()
    except DataRefused as error:
        return str(error)
    finished = [made.finish(pa.chunked_array([part])) for part in parts]
    assert len({each.type for each in finished}) == 1, "every part has the same type"
    return finished[0].type, [value for each in finished for value in each.to_pylist()]


@pytest.mark.parametrize("name", RULES)
@settings(deadline=None)
@given(VALUES, st.integers(0, 12))
def test_two_processes_decide_as_one(name: str, values: list[str | None], cut: int) -> None:
    """Two rules that each saw a part, one of them told the other's pickled tally, decide and finish as one that saw everything."""
    array = pa.array(values, pa.string())
    one = rule(RULES[name])
    whole = one.apply(array)[0]
    first, second = rule(RULES[name]), rule(RULES[name])
    parts = [first.apply(array[:cut])[0], second.apply(array[cut:])[0]]
    second.absorb(pickle.loads(pickle.dumps(first.tally())))
    assert outcome(second, parts) == outcome(one, [whole])


@pytest.mark.parametrize("name", RULES)
@settings(deadline=None)
@given(VALUES)
def test_a_batch_taken_back_leaves_no_trace(name: str, values: list[str | None]) -> None:
    """Treating a batch, going back, and treating it without its bad rows counts what the good rows alone count: nothing bad."""
    array = pa.array(values, pa.string())
    made = rule({**RULES[name], **({"nulls": "refuse"} if name != "constant" else {})})
    before = made.tally()
    _, bad = made.apply(array)
    made.restore(before)
    assert made.tally() == before
    good = array if bad is None else array.filter(pa.compute.invert(bad))
    treated, again = made.apply(good)
    fresh = rule({**RULES[name], **({"nulls": "refuse"} if name != "constant" else {})})
    fresh.apply(good)
    assert again is None
    assert made.tally() == fresh.tally()
    assert not any(key.startswith("bad") for key in made.tally())
    assert len(treated) == len(good)


@pytest.mark.parametrize("name", [name for name in RULES if name != "constant"])
def test_missing_values_are_refused_where_the_manifest_says_so(name: str) -> None:
    """``nulls: refuse`` counts missing values as bad ones, in every rule that has it; otherwise they stay missing."""
    array = pa.array(["2026-01-28" if name == "year" else "1" if name != "prefix" else "123", None])
    lenient, strict = rule(RULES[name]), rule({**RULES[name], "nulls": "refuse"})
    treated, bad = lenient.apply(array)
    assert bad is None and treated[1].as_py() is None
    lenient.check()
    _, bad = strict.apply(array)
    assert bad.to_pylist() == [False, True]
    with pytest.raises(DataRefused, match="1 value is missing"):
        strict.check()


@pytest.mark.parametrize("value", ["same", 1, 0.5, True, None])
def test_a_constant_is_the_same_for_every_row(value: object) -> None:
    """Missing values become it too, so that it tells nothing of the row."""
    made = rule({"rule": "constant", "value": value})
    treated, bad = made.apply(pa.array(["a", None, "b"]))
    assert treated.to_pylist() == [value] * 3 and bad is None
    assert made.detail == "one value for all"


def test_foreign_errors_do_not_escape() -> None:
    """What Arrow can't do with a column is an error of ours with the class of Arrow's, not its text."""
    with pytest.raises(DataRefused, match=r"can't be treated|not numbers"):
        rule(RULES["round"]).apply(pa.array([b"CANARY"]))
    with pytest.raises(DataRefused) as caught:
        rule(RULES["year"]).apply(pa.array([1, 2], pa.timestamp("s", "No/Where")))
    assert "Arrow" in str(caught.value)
