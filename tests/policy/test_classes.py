"""Classes follow the data: nothing that is made from a column is of a lower class than the column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.plans import MANIFEST, write_project

from prefect_gatehouse.manifest.data import Data
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.manifest.treatment import Treatment
from prefect_gatehouse.policy.class_rules import load_class_rules
from prefect_gatehouse.policy.classes import class_in_source, classes_of, features_of, highest, in_words, leaving, output_class, target_of
from prefect_gatehouse.policy.tiers import effective_class
from prefect_gatehouse.settings import Settings

PUBLIC, INTERNAL, CONFIDENTIAL, RESTRICTED = DataClass
RULES = load_class_rules(Settings().classes)


def data(**columns: dict[str, Any]) -> Data:
    """The data section over these columns."""
    return Data.model_validate({"source": "s.csv", "suite": "s.json", "columns": columns})


RULE_OF_A_COLUMN: list[dict[str, Any]] = [
    {"rule": "keep"},
    {"rule": "tokenise"},
    {"rule": "tokenise", "scheme": "siv"},
    {"rule": "generalise", "to": "year"},
    {"rule": "constant", "value": 1},
    {"rule": "drop"},
]
COLUMNS = st.dictionaries(
    st.sampled_from("abcdef"),
    st.builds(
        lambda rule, found: rule | ({"class": found} if found else {}), st.sampled_from(RULE_OF_A_COLUMN), st.none() | st.sampled_from(DataClass)
    ),
    min_size=1,
)


@pytest.mark.parametrize("rule", RULE_OF_A_COLUMN[:-1])
def test_an_undeclared_class_is_restricted(rule: dict[str, Any]) -> None:
    """Whatever the rule: a column without a class, and one that is not named at all, is restricted."""
    (feature,) = features_of(data(a=rule))
    assert (feature.data_class, feature.because) == (RESTRICTED, ("a",))
    assert class_in_source(data(a=rule), "not-named") is RESTRICTED


@given(COLUMNS)
def test_a_feature_keeps_the_class_of_its_column(columns: dict[str, dict[str, Any]]) -> None:
    """No rule lowers a class; what stays behind is no feature."""
    found = {item.column: item.data_class for item in features_of(data(**columns))}
    assert found == {name: DataClass(rule.get("class", "restricted")) for name, rule in columns.items() if rule["rule"] != "drop"}


@pytest.mark.parametrize("subject", [None, *DataClass])
@pytest.mark.parametrize("when", DataClass)
@pytest.mark.parametrize("leaves", [True, False])
def test_a_shifted_date_has_the_class_of_date_and_subject(subject: DataClass | None, when: DataClass, leaves: bool) -> None:
    """Over every pair, whether the subject leaves, stays, or is not named: the shift is made from it."""
    columns: dict[str, dict[str, Any]] = {"when": {"rule": "shift_dates", "subject": "who", "class": when}}
    if subject is not None:
        columns["who"] = {"rule": "tokenise" if leaves else "drop", "class": subject}
    feature = next(item for item in features_of(data(**columns)) if item.column == "when")
    other = subject or RESTRICTED
    assert feature.data_class is max(when, other, key=lambda item: item.rank)
    assert feature.because == tuple(name for name, found in (("when", when), ("who", other)) if found is feature.data_class)


def manifest_of(tmp_path: Path, columns: str, **change: str) -> Manifest:
    """The small manifest over other columns."""
    text = MANIFEST.replace("    subject: {class: restricted, rule: tokenise, scheme: siv}\n    x: {class: confidential, rule: keep}\n", columns)
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    write_project(tmp_path / "p")
    (tmp_path / "p" / "gatehouse.yaml").write_text(text)
    return load_manifest(tmp_path / "p" / "gatehouse.yaml").manifest


def test_an_output_has_the_highest_class_of_all_that_the_workload_saw(tmp_path: Path) -> None:
    """The workload is a black box: one restricted feature makes every column restricted, and is named as the reason."""
    manifest = manifest_of(
        tmp_path,
        "    subject: {class: internal, rule: tokenise, scheme: siv}\n    x: {class: public, rule: keep}\n"
        "    born: {rule: generalise, to: year}\n    gone: {rule: drop}\n",
    )
    classes = classes_of(manifest, RULES)
    assert {item.column: item.data_class for item in classes.outputs} == {"subject": INTERNAL, "score": RESTRICTED}
    assert (classes.output_class, classes.because) == (RESTRICTED, ("born",)) == output_class(manifest)
    assert classes.rules == RULES[RESTRICTED]


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("siv", INTERNAL),
        ("ff1", CONFIDENTIAL),
        ("permute", CONFIDENTIAL),
        ("permute, form: number", CONFIDENTIAL),
        ("permute, form: text", INTERNAL),
    ],
)
def test_a_key_that_could_be_made_up_counts_like_any_column(tmp_path: Path, scheme: str, expected: DataClass) -> None:
    """A made-up siv token or permuted number as text does not open; every text of ff1 and every permuted number does: a workload could use it."""
    manifest = manifest_of(
        tmp_path, f"    subject: {{class: internal, rule: tokenise, scheme: {scheme}}}\n    x: {{class: confidential, rule: keep}}\n"
    )
    assert classes_of(manifest, RULES).outputs[0].data_class is expected


@given(COLUMNS)
def test_the_output_is_never_below_a_feature(columns: dict[str, dict[str, Any]]) -> None:
    """The class of the output is that of some feature, and no feature is above it."""
    features = features_of(data(**columns))
    top, because = highest((source, item.data_class) for item in features for source in item.because)
    assert all(item.data_class.rank <= top.rank for item in features)
    assert {item.column for item in features if item.data_class is top} == set(because)
    assert top is (PUBLIC if not features else max((item.data_class for item in features), key=lambda item: item.rank))


def test_what_leaves_counts_with_the_class_it_inherits() -> None:
    """A public date that is shifted by a restricted subject leaves as confidential; a class in the plan never lowers a declared one."""
    features = features_of(data(when={"rule": "shift_dates", "subject": "who", "class": "public"}, x={"rule": "keep", "class": "public"}))
    treatments = [
        Treatment(column="when", data_class=PUBLIC, rule="shift_dates"),
        Treatment(column="x", data_class=INTERNAL, rule="keep"),
        Treatment(column="unknown", data_class=RESTRICTED, rule="drop", declared=False),
    ]
    assert effective_class(treatments) is INTERNAL
    assert [item.data_class for item in leaving(treatments, features)] == [RESTRICTED, INTERNAL, RESTRICTED]
    assert effective_class(leaving(treatments, features)) is CONFIDENTIAL


def test_in_words(tmp_path: Path) -> None:
    """Short for people, whatever the number of columns."""
    assert in_words(PUBLIC, ()) == "public"
    assert in_words(RESTRICTED, ("a", "b")) == "restricted (from a, b)"
    assert in_words(RESTRICTED, tuple("abcdefg")) == "restricted (from a, b, c, d and 3 more)"
    assert target_of(manifest_of(tmp_path, "    subject: {rule: keep}\n")).name == "target"
