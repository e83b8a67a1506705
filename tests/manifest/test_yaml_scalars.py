"""Scalars without quotes: YAML 1.2's core schema by the letter, and nothing that a reader of YAML 1.1 would read differently."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.yaml_scalars import core, difference, written
from prefect_gatehouse.manifest.yaml_tree import Tree, YamlProblem, parse
from prefect_gatehouse.policy.class_rules import load_class_rules
from prefect_gatehouse.policy.tiers import load_tiers
from prefect_gatehouse.settings import Settings

# YAML 1.2.2, example 10.9 "Core Tag Resolution" and the table above it.
CORE: dict[str, object] = {
    "": None, "null": None, "Null": None, "NULL": None, "~": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    "0": 0, "0o7": 7, "0x3A": 58, "-19": -19, "+7": 7,
    "0.": 0.0, "-0.0": -0.0, ".5": 0.5, "+12e03": 12000.0, "-2E+05": -200000.0, "1e-3": 0.001,
    ".inf": math.inf, "-.Inf": -math.inf, "+.INF": math.inf,
    "nil": "nil", "tRUE": "tRUE", "yes": "yes", "NO": "NO", "on": "on", "12:30": "12:30", "0b101": "0b101", "1_000": "1_000",
    "-0x1F": "-0x1F", "0o8": "0o8", "2026-11-28": "2026-11-28", "1.2.3": "1.2.3", ".": ".", "+": "+", "e3": "e3", "<<": "<<", "=": "=",
    "01000": 1000, "-012": -12,
}  # fmt: skip


@pytest.mark.parametrize("text", CORE)
def test_the_core_schema(text: str) -> None:
    """Value and type of the specification's examples."""
    assert repr(core(text)) == repr(CORE[text])


def test_not_a_number() -> None:
    """The one value that does not equal itself."""
    assert all(math.isnan(float(str(core(text)))) for text in (".nan", ".NaN", ".NAN"))


REFUSED = {
    "truth value": ["y", "N", "yes", "Yes", "NO", "no", "on", "OFF"],
    "octal one": ["01000", "017", "007", "-012", "08", "00"],
    "an octal number": ["0o17"],
    "number": ["0b101", "+0b1", "0x_ff", "-0x1F", "1_000", "1_000.5", "0_7", ".5_0", "1_0.5e+3"],
    "base 60": ["12:30", "10:00", "190:20:30", "190:20:30.15", "-1:59", "0:30.5"],
    "a number, 1.1 text": ["1e3", "1e-3", "1E+3", "1.0e3", "-.5", "+.5", "12e03", ".5e3"],
    "date": ["2026-11-28", "2020-99-99", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43.10 -5", "2001-1-1 1:00:00 Z"],
    "merge": ["<<"],
    "default value": ["="],
}
TAKEN = ["", "~", "null", "true", "FALSE", "0", "-0", "+1", "19", "0x1F", "1.", "01.5", ".5", "1.5", "1.0e-3", "2.E+5",
         ".inf", "-.INF", ".NaN",
         "text", "yess", "0o8", "09:30", "1:60", "1.2.3", "10.0.0.1", ".", "-", "1h", "90m", "2026-11", "sqlite:///r.sqlite",
         "a_1", "_1", "0_8"]  # fmt: skip


@pytest.mark.parametrize(("reason", "text"), [(reason, text) for reason, texts in REFUSED.items() for text in texts])
def test_what_the_versions_read_differently_has_a_reason(reason: str, text: str) -> None:
    """The reason says what 1.1 makes of it, the advice is to quote it; neither repeats the text."""
    found = difference(text)
    assert found is not None
    assert reason in found.reason
    assert "quotes" in found.advice


@pytest.mark.parametrize("text", TAKEN)
def test_what_they_read_alike_is_taken(text: str) -> None:
    """No scalar is refused for nothing."""
    assert difference(text) is None


# The types of YAML 1.1 as yaml.org/type writes their patterns, but for the dots and digits that its number has beyond one point.
SPOKEN: list[tuple[str, str]] = [
    ("null", r"~|null|Null|NULL|"),
    ("bool", r"y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF"),
    ("int", r"[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+"),
    (
        "float",
        r"[-+]?([0-9][0-9_]*\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    ),
    (
        "timestamp",
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?([Tt]|[ \t]+)[0-9][0-9]?:[0-9]{2}:[0-9]{2}(\.[0-9]*)?"
        r"(([ \t]*)Z|[ \t]*[-+][0-9][0-9]?(:[0-9]{2})?)?",
    ),
    ("merge", "<<"),
    ("value", "="),
]
NAMES = {type(None): "null", bool: "bool", int: "int", float: "float", str: "str"}


def one_point_one(text: str) -> str:
    return next((name for name, pattern in SPOKEN if re.fullmatch(pattern, text)), "str")


def pyyaml(text: str) -> object:
    """What the reader of YAML 1.1 that most people have makes of a scalar; the exception where it fails."""
    node = yaml.ScalarNode(yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False)), text)
    try:
        return yaml.SafeLoader("").construct_object(node)  # type: ignore[no-untyped-call]
    except (ValueError, yaml.YAMLError, IndexError) as error:
        return error


def same(one: object, other: object) -> bool:
    return type(one) is type(other) and (one == other or (one != one and other != other))


PLAIN = st.one_of(
    st.sampled_from([*CORE, *TAKEN, *(text for texts in REFUSED.values() for text in texts)]),
    st.text("0123456789abefox_+-.:eEyYnNTtZ ~=<", max_size=12).map(str.strip),
    st.from_regex(r"[-+]?[0-9_]{0,5}[.:]?[0-9_:]{0,5}([eE][-+]?[0-9]{1,2})?", fullmatch=True),
    st.from_regex(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ][0-9]{1,2}:[0-9]{2}:[0-9]{2}(\.[0-9]*)?( ?Z|[-+][0-9]{1,2})?)?", fullmatch=True),
)


@settings(max_examples=1500)
@given(PLAIN)
@example("007")
@example("y")
@example("-.0_")
def test_whatever_is_taken_every_reader_reads_alike(text: str) -> None:
    """A scalar is taken exactly where the core schema, the types of YAML 1.1 and PyYAML have one type and one value for it."""
    value, old = core(text), pyyaml(text)
    alike = NAMES[type(value)] == one_point_one(text) and same(value, old)
    if re.fullmatch("[-+]?0[0-9]+", text):
        alike = False  # 007 happens to be seven in both; a number with zeros in front is told all the same
    assert (difference(text) is None) == alike, (text, value, one_point_one(text), old)


@given(st.one_of(PLAIN, st.text(max_size=20), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans()))
def test_what_we_write_we_read(value: object) -> None:
    """A value that is written into a manifest comes back as it was, with every reader."""
    if isinstance(value, str) and re.search("[\ud800-\udfff]", value):
        return  # half a character has no form in YAML
    text = f"a: {written(value)}\n"
    tree = parse(text)
    assert tree.unclear == []
    assert isinstance(tree.value, dict)
    assert same(tree.value["a"], value)
    assert same(yaml.safe_load(text)["a"], value)


def unclear(text: str) -> list[tuple[str, int]]:
    tree: Tree = parse(text)
    return [(field, line) for field, line, _, _ in tree.unclear]


def test_keys_as_well_as_values() -> None:
    """A key is its text; one that another reader would take for something else is told, but for a column called y."""
    assert unclear("a: {NO: 1}\nb: [no, 12:30]\n12:30: 1\n'on': 'off'\n2020: 1\ny: 1\n") == [("a.NO", 1), ("b[0]", 2), ("b[1]", 2), ("12:30", 3)]
    assert parse("2020: 1\ny: 2\n~: 3\ntrue: 4\n").value == {"2020": 1, "y": 2, "~": 3, "true": 4}


def test_quotes_and_blocks_are_text() -> None:
    """Whatever stands in quotes or in a block of lines is text and clear."""
    tree = parse("a: 'no'\nb: \"1e3\"\nc: |\n  12:30\nd: >-\n  2026-11-28\ne: ''\n")
    assert tree.unclear == []
    assert tree.value == {"a": "no", "b": "1e3", "c": "12:30\n", "d": "2026-11-28", "e": ""}


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("text", ["a: 1 # note{}b: 2\n", "a: x{}b: 2\n", 'a: "x{}y"\n', "\na: |\n  x{}y\n"])
def test_ends_of_lines_that_one_version_does_not_know(text: str, character: str) -> None:
    """What a reviewer's editor shows as one line another reader takes for two: refused at its place, in comments too."""
    with pytest.raises(YamlProblem, match="ends a line") as caught:
        parse(text.format(character))
    before = text.partition("{}")[0]
    assert (caught.value.line, caught.value.column) == (before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1)


def test_a_tag_that_says_nothing_is_one() -> None:
    """`! no` is text in every version, and a tag: no manifest has any."""
    with pytest.raises(YamlProblem, match="tags are not allowed"):
        parse("a: ! no\n")


@pytest.mark.parametrize("reader", [load_tiers, load_class_rules])
def test_the_files_of_rules_are_read_the_same_way(tmp_path: Path, reader: object) -> None:
    """`approvers: 02` and `write_back: yes` are refused at their field, with the advice to write them otherwise."""
    source = Settings().tiers if reader is load_tiers else Settings().classes
    old, new = ("approvers: 2", "approvers: 02") if reader is load_tiers else ("write_back: true", "write_back: yes")
    text = source.read_text()
    line = text[: text.index(old)].count("\n") + 1
    (tmp_path / "rules.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match="reads this as") as caught:
        reader(tmp_path / "rules.yaml")  # type: ignore[operator]
    assert caught.value.where.startswith(f"{tmp_path / 'rules.yaml'}:{line}:")
    assert "quotes" in caught.value.advice


def test_the_issues_own_examples() -> None:
    """What was read as something else in silence."""
    for text in ("1e-3", "NO", "12:30", "01000", "10:00"):
        assert unclear(f"a: {text}\n") == [("a", 1)]
    assert json.dumps(parse("a: 1.0e-3\nb: 'NO'\n").value) == '{"a": 0.001, "b": "NO"}'
