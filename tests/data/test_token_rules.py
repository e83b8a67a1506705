"""The rule ``tokenise`` in every scheme."""

from __future__ import annotations

import pickle
from collections.abc import Mapping

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from prefect_gatehouse.data.rules import Rule, rule_for
from prefect_gatehouse.errors import DataRefused, InputError
from prefect_gatehouse.manifest.columns import Column
from prefect_gatehouse.tokens import ff1, permute, permute_blocks, siv
from prefect_gatehouse.tokens.keys import RootKey

ROOT = RootKey(bytes(range(1, 33)))
RUN = b"r" * 32
ADAPTER: TypeAdapter[Column] = TypeAdapter(Column)
SCOPE = {"tenant": "t", "join_domain": "person"}


def rule(scheme: str, key: bytes | None = RUN, root: RootKey | None = ROOT, **more: object) -> Rule:
    declared = {"rule": "tokenise", "scheme": scheme, **({} if scheme == "codes" else {"join_domain": "person"}), **more}
    return rule_for("col", ADAPTER.validate_python(declared), typed=False, root_key=root, tenant="t", codes_key=key)


def treated(made: Rule, array: pa.Array) -> pa.Array:
    tokens, bad = made.apply(array)
    assert bad is None
    made.check()
    return made.finish(pa.chunked_array([tokens])).combine_chunks()


CASES: dict[str, tuple[Mapping[str, object], list[object]]] = {
    "siv": ({}, ["a", None, "bc"]),
    "siv-open-length": ({"padding": False}, ["a", None, "bc"]),
    "ff1": ({}, ["12-3456 789", None, "0000000"]),
    "ff1-letters": ({"alphabet": "letters"}, ["abcdefGH", None, "zzzzzzzz"]),
    "permute": ({}, [5, None, -7]),
    "permute-as-number": ({"form": "number"}, [5, None, -7]),
    "permute-as-text": ({"form": "text"}, [5, None, -7]),
}


@pytest.mark.parametrize("name", CASES)
def test_reversible_schemes_come_back_with_the_declared_settings(name: str) -> None:
    """What the rule writes, the scheme's own way back turns into the values, in the declared domain and alphabet; nulls stay."""
    more, values = CASES[name]
    scheme = name.partition("-")[0]
    array = pa.array(values)
    tokens = treated(rule(scheme, **more), array)
    assert tokens.is_null().equals(array.is_null()) and not tokens.equals(array)
    if scheme == "ff1":
        back = ff1.Tokeniser(ROOT, alphabet=more.get("alphabet", "digits"), **SCOPE).back(tokens)  # type: ignore[arg-type]
    else:
        way = permute_blocks if more.get("form") == "text" else {"siv": siv, "permute": permute}[scheme]
        back = way.detokenise(tokens, ROOT, **SCOPE)
        assert tokens.type == (pa.int64() if way is permute else pa.string())
    assert back.to_pylist() == values


def test_settings_are_told() -> None:
    """The plan says which scheme, which domain, and what departs from the usual."""
    assert rule("siv", padding=False).detail == "siv, joins person, lengths show"
    assert rule("ff1", alphabet="upper").detail == "ff1, joins person, upper"
    assert rule("cmac", canonical="email").detail == "cmac, joins person, e-mail addresses of either case"
    assert rule("permute", form="text").detail == "permute, joins person, as text"
    assert rule("permute", form="number").detail == rule("permute").detail == "permute, joins person"
    assert rule("codes").detail == "codes"


def test_addresses_join_whatever_their_case() -> None:
    """Only a column that says that it holds addresses folds their case."""
    array = pa.array(["Who@Example.org", "who@example.ORG"])
    for scheme in ("cmac", "siv"):
        folded, plain = (treated(rule(scheme, **more), array).to_pylist() for more in ({"canonical": "email"}, {}))
        assert folded[0] == folded[1] and plain[0] != plain[1]


BAD: dict[str, tuple[str, list[str | None], list[bool], str]] = {
    "ff1": ("ff1", ["1234567", "CANARY", "12", None, "é123456789", "1" * 300], [False, True, True, False, True, True], "characters of the alphabet"),
    "permute": (
        "permute",
        ["5", "05", "CANARY", None, "9223372036854775808", "-0"],
        [False, True, True, False, True, True],
        "whole numbers of 64 bits",
    ),
}
BAD["permute-as-text"] = BAD["permute"]


@pytest.mark.parametrize("name", BAD)
def test_values_without_a_token_are_marked_so_that_rows_can_be_set_aside(name: str) -> None:
    """Good values get the tokens that they get alone; the others are counted and not shown."""
    scheme, values, marks, message = BAD[name]
    more = {"form": "text"} if name == "permute-as-text" else {}
    made = rule(scheme, **more)
    tokens, bad = made.apply(pa.array(values, pa.string()))
    assert bad.to_pylist() == marks
    assert tokens[0].as_py() == treated(rule(scheme, **more), pa.array(values[:1]))[0].as_py()
    assert [value is None for value in tokens.to_pylist()] == [mark or value is None for mark, value in zip(marks, values, strict=True)]
    with pytest.raises(DataRefused, match=f"{sum(marks)} values .*{message}") as caught:
        made.check()
    assert "CANARY" not in str(caught.value) and caught.value.where == "column 'col'"


@settings(deadline=None)
@given(st.lists(st.none() | st.sampled_from("abcdefghij"), max_size=30), st.integers(0, 30))
def test_codes_are_the_same_in_every_process_of_a_run(values: list[str | None], cut: int) -> None:
    """Two rules under the run's key, one told the other's pickled tally, number alike: from 0 up, one number a value, no value in the tally."""
    array = pa.array(values, pa.string())
    first, second = rule("codes"), rule("codes")
    parts = [first.apply(array[:cut])[0], second.apply(array[cut:])[0]]
    second.absorb(pickle.loads(pickle.dumps(first.tally())))
    second.check()
    numbers = [number for part in parts for number in second.finish(pa.chunked_array([part])).to_pylist()]
    assert numbers == treated(rule("codes"), array).to_pylist()
    known = dict(zip(values, numbers, strict=True))
    assert [known[value] for value in values] == numbers
    assert sorted(number for value, number in known.items() if value is not None) == list(range(len(set(values) - {None})))
    assert known.get(None) is None
    assert all(len(key) == len("code ") + 32 for key in second.tally())


def test_codes_differ_between_runs_and_have_a_limit() -> None:
    """Another run's key orders otherwise; a thousand values, in one batch or added up, are refused by number."""
    array = pa.array([f"CANARY {number}" for number in range(600)])
    assert treated(rule("codes"), array).to_pylist() != treated(rule("codes", b"s" * 32), array).to_pylist()
    made, other = rule("codes"), rule("codes")
    made.apply(array)
    other.apply(pa.array([f"OTHER {number}" for number in range(600)]))
    with pytest.raises(DataRefused, match="at least 1200 distinct values are too many") as caught:
        made.absorb(other.tally())
    assert "CANARY" not in str(caught.value) and caught.value.where == "column 'col'"


def test_keys_that_are_missing() -> None:
    """Codes need the run's key and no root key; every other scheme needs the root key."""
    assert treated(rule("codes", root=None), pa.array(["a"])).to_pylist() == [0]
    with pytest.raises(InputError, match="key of the run"):
        rule("codes", key=None)
    for scheme in ("cmac", "siv", "ff1", "permute"):
        with pytest.raises(InputError, match="without a root key"):
            rule(scheme, root=None)


@pytest.mark.parametrize("scheme", ["cmac", "siv", "ff1", "permute", "codes"])
def test_a_column_that_no_scheme_takes_names_itself(scheme: str) -> None:
    """A column of fractions has no single text form: refused as a whole, by its name."""
    with pytest.raises(DataRefused) as caught:
        rule(scheme).apply(pa.array([1.5]))
    assert caught.value.where == "column 'col'"
