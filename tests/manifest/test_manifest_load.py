"""Reading a manifest: what is hostile or wrong gives one clear problem at the right place; what is good has one digest."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
import yaml

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest import yaml_tree
from prefect_gatehouse.manifest.columns import Keep, Tokenise
from prefect_gatehouse.manifest.load import SIZE_LIMIT, LoadedManifest, load_manifest, read
from prefect_gatehouse.manifest.problems import LIMIT

GOOD = """\
gatehouse: 1
name: probe
owner: owner@example.org
tenant: clinic
billing_code: "0042"
ticket: CHG-1
purpose: a test
environment: local
tier: prototype
data:
  source: data.csv
  columns:
    record: {rule: tokenise, scheme: siv}
    age: {rule: keep, scale: [0, 100], class: internal}
  suite: in.json
systems:
  - {name: results, kind: database, endpoint: "sqlite:///r.sqlite", highest_class: restricted}
workload:
  entrypoint: workload.py:solve
  parameters: {layers: 2, angles: [0.5, 1.0], mode: fast}
execution:
  backends: [aer]
  shots: 100
  envelope: {rounds: 1, jobs: 1, cost: 0.50, deadline: 90m}
credentials: {tokenise: secret/root, re_identify: secret/root, write_back: vault-secret/target#url}
output:
  suite: out.json
  target: {system: results, table: scores}
  key: record
  columns: [score]
"""


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "gatehouse.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def load(tmp_path: Path, content: str) -> LoadedManifest:
    return load_manifest(written(tmp_path, content))


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def test_a_good_manifest_keeps_what_it_says(tmp_path: Path) -> None:
    """Types, defaults, the folder and the class that is restricted unless declared."""
    loaded = load(tmp_path, GOOD)
    manifest = loaded.manifest
    record, age = manifest.data.columns["record"], manifest.data.columns["age"]
    assert isinstance(record, Tokenise)
    assert isinstance(age, Keep)
    assert (record.scheme, record.data_class, age.scale, age.data_class) == ("siv", "restricted", (0.0, 100.0), "internal")
    assert str(manifest.execution.envelope.cost) == "0.5"
    assert manifest.execution.envelope.deadline.total_seconds() == 5400
    assert manifest.workload.parameters == {"layers": 2, "angles": (0.5, 1.0), "mode": "fast"}
    assert (loaded.path, loaded.folder) == (tmp_path / "gatehouse.yaml", tmp_path)


@pytest.mark.parametrize(
    "other",
    [
        "# a comment\n" + GOOD,
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        changed("owner: owner@example.org", "owner: 'owner@example.org'"),
        changed("name: probe\nowner: owner@example.org\n", "owner: owner@example.org\nname: probe\n"),
        changed("deadline: 90m", "deadline: 5400s"),
        changed("scale: [0, 100]", "scale: [0.0, 1.0e+2]"),
        changed("class: internal", '"class": internal'),
        GOOD + "retention: {artifacts: 24h}\n",
    ],
    ids=["comment", "crlf", "bom", "quotes", "order", "unit", "float-form", "quoted-key", "written-default"],
)
def test_formatting_does_not_change_the_digest(tmp_path: Path, other: str) -> None:
    """The digest is of the content, not of the bytes."""
    assert load(tmp_path, other).digest == load(tmp_path, GOOD).digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("shots: 100\n", "shots: 101\n"),
        ("scheme: siv", "scheme: siv, join_domain: mrn"),
        ("layers: 2", "layers: 3"),
        ("layers: 2", 'layers: "2"'),
        ("secret/root, re_identify", "secret/other, re_identify"),
        ("deadline: 90m", "deadline: 91m"),
        ("class: internal", "class: public"),
    ],
)
def test_every_change_of_content_changes_the_digest(tmp_path: Path, old: str, new: str) -> None:
    """An approval of one manifest is never one of another."""
    assert load(tmp_path, changed(old, new)).digest != load(tmp_path, GOOD).digest


ATTACKS: dict[str, tuple[str | bytes, str]] = {
    "alias-bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "anchors and aliases"),
    "merge-key": (changed("tenant: clinic", "<<: {tenant: clinic}"), "a key must be plain text"),
    "python-object": ("a: !!python/object/apply:os.system [id]\n", "tags are not allowed"),
    "harmless-tag": (changed("tenant: clinic", "tenant: !!str clinic"), "tags are not allowed"),
    "brackets-unclosed": ("[" * 900_000, "nesting is too deep"),
    "braces-nested": ("a: " + "{a: " * 30 + "1" + "}" * 30, "nesting is too deep"),
    "dashes-nested": ("- " * 400_000, "nesting is too deep"),
    "values-flood": ("a: [" + "1," * 400_000 + "]", "more than 50000 values"),
    "keys-flood": ("".join(f"k{number}: 1\n" for number in range(60_000)), "more than 50000 values"),
    "too-large": (b"#" * (SIZE_LIMIT + 1), "larger than"),
    "huge-integer": (changed("shots: 100\n", "shots: " + "9" * 5000 + "\n"), "this value can't be read"),
    "huge-hexadecimal": (changed("layers: 2", "layers: 0x" + "f" * 200_000), "number is too large"),
    "nul": (GOOD.encode() + b"\0", "NUL character"),
    "control-character": (changed("a test", "a \x07test"), "valid YAML"),
    "half-a-character": (changed("a test", r'"\ud800"'), "half a character|valid YAML"),
    "utf-16": (GOOD.encode("utf-16"), "not UTF-8"),
    "latin-1": (GOOD.encode() + b"# \xe9\n", "not UTF-8"),
    "two-documents": (GOOD + "---\na: 1\n", "another document"),
    "complex-key": ("? [a]\n: b\n", "a key must be plain text"),
    "unknown-version": ("%YAML 9.9\n---\na: 1\n", "valid YAML"),
    "tabs": ("a:\n\t- b\n", "valid YAML"),
    "list": ("- a\n", "no mapping of fields"),
    "scalar": ("hello\n", "no mapping of fields"),
    "empty": ("", "is empty"),
    "only-comments": ("# nothing\n", "is empty"),
}


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_text_is_one_clear_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: str, loader: str) -> None:
    """With libyaml and without: one problem, quickly, and nothing else escapes."""
    monkeypatch.setattr(yaml_tree, "_LOADER", getattr(yaml, loader))
    content, message = ATTACKS[attack]
    start = time.process_time()
    manifest, problems = read(written(tmp_path, content))
    assert time.process_time() - start < 20  # the flood of 50,000 values takes the pure parser 4 s here; unchecked brackets took 230 s
    assert manifest is None
    assert len(problems) == 1
    assert re.search(message, problems[0].message)


@pytest.mark.parametrize("kind", ["missing", "folder", "named-pipe", "device", "nul-in-path", "too-long", "loop"])
def test_what_is_no_file_is_said_at_once(tmp_path: Path, kind: str) -> None:
    """No path makes the reader wait or raise anything but InputError."""
    pipe, loop = tmp_path / "pipe", tmp_path / "loop"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    path = {
        "missing": tmp_path / "none.yaml",
        "folder": tmp_path,
        "named-pipe": pipe,
        "device": Path("/dev/zero"),
        "nul-in-path": tmp_path / "a\0b",
        "too-long": tmp_path / ("x" * 300),
        "loop": loop,
    }[kind]
    with pytest.raises(InputError, match=r"not a file|can't be read"):
        load_manifest(path)


FIELDS: dict[str, tuple[str, str, int, str, str]] = {
    # name: old text, new text, line, field, message and advice
    "misspelt": ("tenant: clinic", "tenatn: clinic", 4, "tenatn", "no such field.*did you mean tenant"),
    "misspelt-inside": ("cost: 0.50", "costs: 0.50", 24, "execution.envelope.costs", "did you mean cost"),
    "unknown": ("mode: fast}", "mode: fast}\n  zzz: 1", 21, "workload.zzz", "no such field.*remove it"),
    "python-name-of-an-alias": ("class: internal", "data_class: internal", 14, "data.columns.age.data_class", "no such field"),
    "missing": ("ticket: CHG-1\n", "", 1, "ticket", "field is missing"),
    "missing-inside": ("rounds: 1, ", "", 24, "execution.envelope.rounds", "field is missing"),
    "twice": ("tier: prototype", "tier: prototype\ntier: business", 10, "tier", "given twice"),
    "no-is-a-boolean": ("tenant: clinic", "tenant: no", 4, "tenant", "truth value.*quotes"),
    "octal-is-a-number": ('billing_code: "0042"', "billing_code: 0042", 5, "billing_code", "must be text.*quotes"),
    "number-in-quotes": ("shots: 100\n", 'shots: "100"\n', 23, "execution.shots", "whole number"),
    "yes-for-a-number": ("shots: 100\n", "shots: yes\n", 23, "execution.shots", "whole number"),
    "fraction": ("shots: 100\n", "shots: 1.5\n", 23, "execution.shots", "whole number"),
    "zero": ("shots: 100\n", "shots: 0\n", 23, "execution.shots", "must be greater than or equal to 1"),
    "1e400-as-text": ("cost: 0.50", "cost: 1e400", 24, "execution.envelope.cost", "finite number.*quotes"),
    "1e400-as-number": ("cost: 0.50", "cost: 1.0e+400", 24, "execution.envelope.cost", "finite number"),
    "infinite-bound": ("[0, 100]", "[0, .inf]", 14, r"data.columns.age.scale\[1\]", "finite number"),
    "not-a-number": ("[0, 100]", "[.nan, 100]", 14, r"data.columns.age.scale\[0\]", "finite number"),
    "bounds-reversed": ("[0, 100]", "[100, 0]", 14, "data.columns.age", "must be below the second"),
    "one-bound": ("[0, 100]", "[0]", 14, r"data.columns.age.scale\[1\]", "missing"),
    "no-rule": ("age: {rule: keep, ", "age: {", 14, "data.columns.age", "needs a rule that exists"),
    "other-rule": ("rule: keep", "rule: copy", 14, "data.columns.age", "needs a rule that exists.*drop, keep"),
    "other-tier": ("tier: prototype", "tier: lab", 9, "tier", "none of the allowed ones.*'prototype', 'integration' or 'business'"),
    "whole-number-beyond-json": ("mode: fast", "mode: 9007199254740992", 20, "workload.parameters.mode", "write it as text"),
    "mapping-as-parameter": ("mode: fast", "mode: {a: 1}", 20, "workload.parameters.mode", "a parameter is text"),
    "list-for-a-mapping": ("envelope: {rounds: 1, jobs: 1, cost: 0.50, deadline: 90m}", "envelope: [1]", 24, "execution.envelope", "a mapping"),
    "nothing": ("envelope: {rounds: 1, jobs: 1, cost: 0.50, deadline: 90m}", "envelope:", 24, "execution.envelope", "a mapping"),
    "duration-without-unit": ("deadline: 90m", "deadline: 90", 24, "execution.envelope.deadline", "for example 30m"),
    "nul-in-a-path": ("source: data.csv", r'source: "a\0b"', 11, "data.source", "form that this field has.*control characters"),
    "reordered-purpose": ("purpose: a test", "purpose: a \u202etset", 7, "purpose", "form that this field has"),
    "markup-in-owner": ("owner: owner@example.org", "owner: <img>", 2 + 1, "owner", "form that this field has"),
    "step-zero": ("shots: 100\n", "shots: 100\n  angle_step: 0\n", 24, "execution.angle_step", "greater than or equal to 0.000000000001"),
    "step-negative": ("shots: 100\n", "shots: 100\n  angle_step: -1.0e-6\n", 24, "execution.angle_step", "greater than or equal to 0.000000000001"),
    "step-too-coarse": ("shots: 100\n", "shots: 100\n  angle_step: 0.2\n", 24, "execution.angle_step", "less than or equal to 0.1"),
    "step-not-a-number": ("shots: 100\n", "shots: 100\n  angle_step: .nan\n", 24, "execution.angle_step", "finite number"),
    "step-in-quotes": ("shots: 100\n", 'shots: 100\n  angle_step: "0.001"\n', 24, "execution.angle_step", "number"),
    "bits-zero": ("deadline: 90m", "deadline: 90m, round_bits: 0", 24, "execution.envelope.round_bits", "greater than or equal to 1"),
    "no-output-columns": ("columns: [score]", "columns: {}", 30, "output.columns", "at least 1"),
    "output-columns-a-number": ("columns: [score]", "columns: 7", 30, "output.columns", "list"),
    "output-type-unknown": ("columns: [score]", "columns: {score: {type: blob}}", 30, "output.columns.score", "type that exists.*number, integer"),
    "output-type-missing": ("columns: [score]", "columns: {score: {values: [a]}}", 30, "output.columns.score", "type that exists"),
    "category-without-values": ("columns: [score]", "columns: {score: {type: category}}", 30, "output.columns.score.values", "missing"),
    "category-twice": ("columns: [score]", "columns: {score: {type: category, values: [a, a]}}", 30, "output.columns.score", "named twice"),
    "text-without-length": ("columns: [score]", "columns: {score: {type: text}}", 30, "output.columns.score.length", "missing"),
    "half-a-range": ("columns: [score]", "columns: {score: {type: integer, minimum: 1}}", 30, "output.columns.score", "go together"),
    "range-reversed": ("columns: [score]", "columns: {score: {type: integer, minimum: 2, maximum: 1}}", 30, "output.columns.score", "above maximum"),
    "key-with-a-type": ("columns: [score]", "columns: {record: {type: number}}", 30, "output.columns", "repeats the key"),
    "empty-mapping": ("target: {system: results, table: scores}", "target: {}", 28, "output.target.system", "field is missing"),
}


@pytest.mark.parametrize("case", FIELDS)
def test_a_wrong_field_is_told_with_its_line(tmp_path: Path, case: str) -> None:
    """File, line and dotted field of each mistake, in a sentence of our own."""
    old, new, line, field, message = FIELDS[case]
    manifest, problems = read(written(tmp_path, changed(old, new)))
    assert manifest is None
    first = next(problem for problem in problems if re.fullmatch(field, problem.field))
    assert first.line == line
    assert re.search(message, f"{first.message}; {first.advice}")
    assert first.place().startswith(f"{tmp_path}/gatehouse.yaml:{line}:")


def test_every_problem_is_told_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    """Repeated keys, wrong fields and missing ones come together, not one a call; the error of a run names the first and counts the others."""
    text = changed("tenant: clinic", "tenant: no").replace("shots: 100\n", "shots: 0\n").replace("  key: record\n", "") + "name: again\n"
    path = written(tmp_path, text)
    manifest, problems = read(path)
    assert manifest is None
    assert [(problem.line, problem.field) for problem in problems] == [(4, "tenant"), (23, "execution.shots"), (26, "output.key"), (30, "name")]
    with pytest.raises(InputError, match="3 more problems, run: gatehouse check") as caught:
        load_manifest(path)
    assert caught.value.where == f"{path}:4:1: tenant"


def test_parts_that_do_not_fit_are_all_told_at_their_fields(tmp_path: Path) -> None:
    """What no single field is guilty of is also told at once."""
    text = changed("system: results, table", "system: other, table").replace("scheme: siv", "scheme: cmac")
    text = text.replace("[score]", "[score, record, score]")
    text = text.replace("credentials: {tokenise: secret/root, re_identify: secret/root, write_back: vault-secret/target#url}\n", "credentials: {}\n")
    _, problems = read(written(tmp_path, text))
    assert [(problem.line, problem.field, problem.message.split(";")[0]) for problem in problems] == [
        (25, "credentials", "a column is tokenised but credentials.tokenise names no block"),
        (25, "credentials", "output.key is a token but credentials.re_identify names no block"),
        (25, "credentials", "credentials.write_back names no block"),
        (28, "output.target.system", "output.target.system is not among the declared systems"),
        (29, "output.key", "output.key is tokenised with a scheme that can't be reversed"),
        (30, "output.columns", "output.columns repeats the key"),
        (30, "output.columns", "a column is written twice"),
    ]


def test_a_sign_in_to_read_results_of_no_jobs(tmp_path: Path) -> None:
    """Results are read of jobs that something submits; with both named the manifest is good."""
    path = written(tmp_path, changed("credentials: {", "credentials: {retrieve: secret/reads, "))
    _, problems = read(path)
    assert [(problem.field, problem.message.partition(",")[0]) for problem in problems] == [
        ("credentials.retrieve", "credentials.retrieve reads results of jobs")
    ]
    path.write_text(path.read_text().replace("retrieve:", "submit: secret/makes, retrieve:"))
    assert read(path)[1] == []


def test_quasi_identifiers_are_checked_together(tmp_path: Path) -> None:
    """A quasi-identifier that does not leave, one named twice and a k that is missing are three problems at one place."""
    _, problems = read(written(tmp_path, changed("  suite: in.json", "  suite: in.json\n  quasi_identifiers: [age, age, height]")))
    assert [(problem.line, problem.field) for problem in problems] == [(16, "data.quasi_identifiers")] * 3


@pytest.mark.parametrize("field", ["tenant", "ticket", "tier", "environment"])
def test_no_problem_repeats_a_value(tmp_path: Path, field: str) -> None:
    """A secret that was pasted into the wrong field is not printed."""
    canary = "Hunter2-CANARY!"
    text = re.sub(rf"^{field}: .*$", f"{field}: {canary}", GOOD, flags=re.MULTILINE)
    for old in ("shots: 100", "cost: 0.50", "backends: [aer]"):
        text = text.replace(old, f"{old.split(':')[0]}: {f'[{canary}]' if '[' in old else canary}")
    path = written(tmp_path, text)
    _, problems = read(path)
    assert len(problems) == 4
    assert canary not in repr(problems)
    with pytest.raises(InputError) as caught:
        load_manifest(path)
    assert canary not in str(caught.value) + repr(caught.value.__cause__)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_flood_of_problems_is_cut(tmp_path: Path) -> None:
    """Ten thousand empty systems make a list that ends, in a time that is linear in their number."""
    start = time.process_time()
    _, problems = read(written(tmp_path, changed("systems:\n", "systems:\n" + "  - {}\n" * 10_000)))
    assert time.process_time() - start < 10
    assert len(problems) == LIMIT + 1
    assert "29000 more problems" in problems[-1].message


def test_dates_are_not_guessed_at(tmp_path: Path) -> None:
    """One version of YAML makes a date of it, or fails where there is no such day; in quotes it is the text that was written."""
    _, problems = read(written(tmp_path, changed("mode: fast", "mode: 2020-99-99")))
    assert [(problem.field, problem.advice) for problem in problems] == [("workload.parameters.mode", "put it in quotes")]
    assert load(tmp_path, changed("mode: fast", 'mode: "2020-99-99"')).manifest.workload.parameters["mode"] == "2020-99-99"


CSV_PROBLEMS = {
    "unknown": ("csv: {separator: ';'}", "separator"),
    "delimiter": ("csv: {delimiter: '::'}", "delimiter"),
    "names-without-a-column": ("csv: {header: none, names: [record, size]}", "column 'age' is not among the names"),
    "names-twice": ("csv: {names: [age, age]}", "names says one twice"),
    "blank-missing": ("csv: {trim: true, missing: [' ?']}", "write missing without them"),
}


@pytest.mark.parametrize("case", CSV_PROBLEMS)
def test_how_a_csv_is_written_is_checked(tmp_path: Path, case: str) -> None:
    """A setting that is wrong, or does not go with the columns, is told with its place."""
    setting, words = CSV_PROBLEMS[case]
    with pytest.raises(InputError, match=re.escape(words)):
        load(tmp_path, GOOD.replace("  source: data.csv\n", f"  source: data.csv\n  {setting}\n"))


def test_how_a_csv_is_written_is_part_of_the_manifest(tmp_path: Path) -> None:
    """Another setting is another manifest, so what was approved for one is not for the other; a query takes none."""
    forms = ["", "  csv: {header: none, names: [record, age], trim: true, missing: ['?']}\n", "  csv: {delimiter: tab}\n"]
    loaded = [load(tmp_path, GOOD.replace("  source: data.csv\n", f"  source: data.csv\n{form}")) for form in forms]
    assert len({each.digest for each in loaded}) == 3
    assert loaded[1].manifest.data.csv.missing == ("?",)
    query = GOOD.replace("  source: data.csv\n", "  source: {sql: SELECT 1, system: results}\n  csv: {header: none}\n")
    with pytest.raises(InputError, match="a query is no CSV"):
        load(tmp_path, query)


def test_output_columns_with_types(tmp_path: Path) -> None:
    """Names alone have no types; with types they are written in the order of their names, whatever the order in the file."""
    plain = load(tmp_path, GOOD).manifest.output
    assert (plain.names, plain.types) == (("score",), None)
    typed = load(tmp_path, changed("columns: [score]", "columns: {score: {type: number}, grade: {type: category, values: [a, b]}}"))
    assert typed.manifest.output.names == ("grade", "score")
    turned = load(tmp_path, changed("columns: [score]", "columns: {grade: {type: category, values: [a, b]}, score: {type: number}}"))
    assert turned.digest == typed.digest != load(tmp_path, GOOD).digest
    assert {name: kind.bits for name, kind in (typed.manifest.output.types or {}).items()} == {"grade": 2, "score": 65}


@pytest.mark.parametrize(
    ("declared", "bits"),
    [
        ("{type: boolean}", 2),
        ("{type: integer}", 65),
        ("{type: integer, minimum: 0, maximum: 0}", 1),
        ("{type: integer, minimum: -1, maximum: 1}", 2),
        ("{type: integer, minimum: 0, maximum: 3}", 3),
        ("{type: category, values: [a]}", 1),
        ("{type: category, values: [a, b, c]}", 2),
        ("{type: category, values: [a, b, c, d]}", 3),
        ("{type: date}", 33),
        ("{type: text, length: 10}", 211),
    ],
)
def test_the_bits_of_a_cell(tmp_path: Path, declared: str, bits: int) -> None:
    """So many bits tell every value of the type, and a gap."""
    types = load(tmp_path, changed("columns: [score]", f"columns: {{score: {declared}}}")).manifest.output.types
    assert types is not None and types["score"].bits == bits
