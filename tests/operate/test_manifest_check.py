"""Checking the files that a manifest names, without running any of them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefect_gatehouse.manifest.problems import Problem
from prefect_gatehouse.operate.check import check_manifest

MANIFEST = """\
gatehouse: 1
name: probe
owner: o
tenant: t
billing_code: b
ticket: CHG-1
purpose: p
environment: local
tier: prototype
data:
  source: data.csv
  columns:
    record: {rule: keep}
    age: {rule: keep}
  suite: in.json
systems: [{name: results, kind: database, endpoint: "sqlite:///r.sqlite", highest_class: restricted}]
workload: {entrypoint: "workload.py:solve"}
execution: {backends: [aer], shots: 1, envelope: {rounds: 1, jobs: 1, cost: 0, deadline: 1h}}
credentials: {write_back: secret/target}
output: {suite: out.json, target: {system: results, table: scores}, key: record, columns: [score]}
"""
SUITE = {
    "name": "s",
    "expectations": [
        {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}},
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "record"}},
    ],
}


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    folder = tmp_path / "pipeline"
    folder.mkdir()
    (folder / "gatehouse.yaml").write_text(MANIFEST)
    (folder / "data.csv").write_text("record,age,name\nr1,40,CANARY\n")
    (folder / "workload.py").write_text("def solve(features, parameters):\n    yield []\n")
    for name in ("in.json", "out.json"):
        (folder / name).write_text(json.dumps(SUITE))
    return folder


def check(folder: Path) -> list[Problem]:
    return check_manifest(folder / "gatehouse.yaml")


def test_a_good_pipeline_has_no_problems(pipeline: Path) -> None:
    """Also from Parquet, where the schema is enough."""
    assert check(pipeline) == []
    pq.write_table(pa.table({"record": ["r1"], "age": [40]}), pipeline / "data.parquet")
    text = (pipeline / "gatehouse.yaml").read_text()
    (pipeline / "gatehouse.yaml").write_text(text.replace("data.csv", "data.parquet"))
    assert check(pipeline) == []


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def linked_outside(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).rename(folder.parent / name)
        (folder / name).symlink_to(folder.parent / name)

    return change


def linked_to_itself(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(name)

    return change


def emptied(folder: Path) -> None:
    (folder / "data.csv").write_text("")


def a_pipe(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


YAML = "gatehouse.yaml"
CASES: dict[str, tuple[Callable[[Path], None], int, str, str]] = {
    "source-missing": (removed("data.csv"), 11, "data.source", "no such file"),
    "source-escapes-by-dots": (replaced(YAML, "data.csv", "../data.csv"), 11, "data.source", "leads out"),
    "source-is-absolute": (replaced(YAML, "data.csv", "/etc/passwd"), 11, "data.source", "leads out"),
    "source-escapes-by-link": (linked_outside("data.csv"), 11, "data.source", "leads out"),
    "source-is-a-loop": (linked_to_itself("data.csv"), 11, "data.source", "can't be followed|no such file"),
    "source-is-a-pipe": (a_pipe("data.csv"), 11, "data.source", "no such file"),
    "source-name-too-long": (replaced(YAML, "data.csv", "x" * 300), 11, "data.source", "can't be looked at"),
    "source-of-another-kind": (replaced(YAML, "data.csv", "in.json"), 11, "data.source", "JSON"),
    "source-empty": (emptied, 11, "data.source", "empty"),
    "column-missing": (replaced("data.csv", "record,age", "record,years"), 14, "data.columns.age", "no such column"),
    "suite-missing": (removed("in.json"), 15, "data.suite", "no such file"),
    "suite-escapes": (linked_outside("out.json"), 20, "output.suite", "leads out"),
    "suite-vacuous": (replaced("in.json", "expect_table_row_count_to_be_between", "expect_column_max_to_be_between"), 15, "data.suite", "in.json"),
    "suite-no-json": (replaced("out.json", "{", "["), 20, "output.suite", "not valid JSON"),
    "workload-missing": (removed("workload.py"), 17, "workload.entrypoint", "no such file"),
    "workload-escapes": (linked_outside("workload.py"), 17, "workload.entrypoint", "leads out"),
    "workload-is-no-python": (replaced("workload.py", "def", "deff"), 17, "workload.entrypoint", "no valid Python: workload.py:1: invalid syntax"),
    "workload-is-nested-too-deep": (
        replaced("workload.py", "yield []", "yield " + "-" * 200_000 + "1"),
        17,
        "workload.entrypoint",
        "no valid Python",
    ),
    "workload-has-another-name": (replaced("workload.py", "solve", "main"), 17, "workload.entrypoint", "no such function"),
    "workload-returns": (replaced("workload.py", "yield", "return"), 17, "workload.entrypoint", "never yields"),
    "workload-yields-in-an-inner-function": (
        replaced("workload.py", "yield []", "def inner():\n        yield\n    return inner"),
        17,
        "workload.entrypoint",
        "never yields",
    ),
    "backend-unknown": (replaced(YAML, "[aer]", "[aer, hal9000]"), 18, "execution.backends[1]", "no such backend"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_is_wrong_is_told_at_the_field_that_names_it(pipeline: Path, case: str) -> None:
    """One problem, at the right line, and no text of the data."""
    change, line, field, message = CASES[case]
    change(pipeline)
    problems = check(pipeline)
    assert [(problem.line, problem.field) for problem in problems] == [(line, field)]
    assert re.search(message, problems[0].message)
    assert "CANARY" not in repr(problems)


@pytest.mark.parametrize("system", ["public", "internal", "confidential", None])
def test_a_system_that_takes_less_than_the_output(pipeline: Path, system: str | None) -> None:
    """What the policy would deny when the run asks is told at the field that names the system, with class and reason."""
    replaced("gatehouse.yaml", ", highest_class: restricted", f", highest_class: {system}" if system else "")(pipeline)
    (problem,) = check(pipeline)
    assert problem.field == "output.target.system"
    assert problem.message == f"the output is restricted (from record, age), the system takes {system or 'public'} at most"
    lower = f"{{rule: keep, class: {system or 'public'}}}\n    age: {{rule: drop}}"
    replaced("gatehouse.yaml", "{rule: keep}\n    age: {rule: keep}", lower)(pipeline)
    assert check(pipeline) == []


def test_files_are_checked_although_fields_are_wrong(pipeline: Path) -> None:
    """Every problem at once: a wrong tier does not hide a missing source and a missing suite."""
    replaced(YAML, "tier: prototype", "tier: lab")(pipeline)
    for name in ("data.csv", "in.json"):
        (pipeline / name).unlink()
    assert [problem.field for problem in check(pipeline)] == ["tier", "data.source", "data.suite"]


def test_nothing_of_the_workload_is_run(pipeline: Path) -> None:
    """A file with an effect at import is only read."""
    marker = pipeline / "ran"
    replaced("workload.py", "def solve", f"open({str(marker)!r}, 'w')\ndef solve")(pipeline)
    assert check(pipeline) == []
    assert not marker.exists()


def test_wrong_types_do_not_stop_the_look_at_files(pipeline: Path) -> None:
    """A list where a path should be, a text where columns should be: problems, no exception."""
    replaced(YAML, "source: data.csv", "source: [a]")(pipeline)
    replaced(YAML, "suite: in.json", "suite: {a: 1}")(pipeline)
    replaced(YAML, "backends: [aer]", "backends: aer")(pipeline)
    assert {problem.field for problem in check(pipeline)} == {"data.source", "data.suite", "execution.backends"}


def sourced(pipeline: Path, source: str, systems: str = "") -> list[tuple[str, str]]:
    """Field and sentence of each problem of the pipeline with another source."""
    text = MANIFEST.replace("source: data.csv", f"source: {source}").replace("credentials: {", "credentials: {read_source: secret/clinic, ")
    (pipeline / "gatehouse.yaml").write_text(text.replace("systems: [", f"systems: [{systems}"))
    return [(problem.field, f"{problem.message} ({problem.advice})") for problem in check_manifest(pipeline / "gatehouse.yaml")]


def test_a_pattern_is_followed_and_its_files_compared(pipeline: Path) -> None:
    """Every file that matches is looked into; one that does not go with the others, or a pattern without a match, is told at the field."""
    (pipeline / "days").mkdir()
    for day in (1, 2):
        (pipeline / "days" / f"{day}.csv").write_text("record,age\nr1,40\n")
    assert sourced(pipeline, "days/*.csv") == []
    (pipeline / "days" / "3.csv").write_text("record,CANARY\nr1,40\n")
    ((field, sentence),) = sourced(pipeline, "days/*.csv")
    assert field == "data.source"
    assert sentence.startswith("days/3.csv: its 2 columns are not the 2 of days/1.csv")
    assert "CANARY" not in sentence
    ((field, sentence),) = sourced(pipeline, '"*.parquet"')
    assert (field, sentence.partition(" (")[0]) == ("data.source", "nothing matches the pattern")
    ((field, sentence),) = sourced(pipeline, '"../*/data.csv"')
    assert "leads out" in sentence


def test_a_query_is_told_from_its_text_and_its_system_must_be_declared(pipeline: Path) -> None:
    """Without any secret: one SELECT, and a system that the manifest knows."""
    clinic = '{name: clinic, kind: database, endpoint: "postgresql://db.example.org/clinic"}, '
    assert sourced(pipeline, "{sql: SELECT record FROM t, system: clinic}", clinic) == []
    ((field, sentence),) = sourced(pipeline, "{sql: DROP TABLE canary, system: clinic}", clinic)
    assert (field, sentence) == ("data.source.sql", "the query is no SELECT statement (begin it with SELECT or WITH)")
    ((field, _),) = sourced(pipeline, "{sql: SELECT record FROM t, system: clinic}")
    assert field == "data.source.system"
    assert sourced(pipeline, "{s3: patients/*.parquet}") == []


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("mysql://db.example.org/clinic", "no driver for mysql is installed here"),
        ("clickhous://db.example.org/clinic", "SQLAlchemy knows no such dialect here"),
        ("postgresql://db.example.org:99999/clinic", "a port is a number from 1 to 65535"),
    ],
)
def test_a_database_that_cannot_be_opened_is_told_before_the_write_back(pipeline: Path, endpoint: str, words: str) -> None:
    """Where no pre-flight looks, nothing else would before the jobs are paid; the driver is named by how the secret block writes it."""
    replaced("gatehouse.yaml", "sqlite:///r.sqlite", endpoint)(pipeline)
    (problem,) = check(pipeline)
    assert (problem.field, words in problem.message) == ("systems[0].endpoint", True), problem
    assert endpoint[:5] != "mysql" or "mysql+pymysql://" in problem.advice
    replaced("gatehouse.yaml", endpoint, "postgresql://db.example.org:5432/clinic")(pipeline)
    assert check(pipeline) == []


def test_a_rehearsal_that_the_tier_demands(pipeline: Path) -> None:
    """Switched off where the tier leaves the choice it is good, elsewhere the line is told before a run is refused."""
    replaced("gatehouse.yaml", "shots: 1,", "shots: 1, rehearsal: skip,")(pipeline)
    assert check(pipeline) == []
    replaced("gatehouse.yaml", "tier: prototype", "tier: integration")(pipeline)
    (problem,) = check(pipeline)
    assert (problem.field, problem.line) == ("execution.rehearsal", 18)
    assert problem.message == "the tier integration demands a rehearsal"
