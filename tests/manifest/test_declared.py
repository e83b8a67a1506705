"""What only a manifest knows is told by its check: addresses, names that are taken, passwords, suites about what does not leave."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from tests.operate.test_manifest_check import MANIFEST, SUITE

from prefect_gatehouse.manifest.declared_endpoint import Endpoint
from prefect_gatehouse.manifest.endpoints import endpoint_of
from prefect_gatehouse.manifest.problems import Problem
from prefect_gatehouse.manifest.secret_text import holds_secret
from prefect_gatehouse.operate.check import check_manifest

CANARY = "Hunter2CANARY"


def problems(folder: Path, *changes: tuple[str, str], suites: dict[str, list[dict[str, object]]] | None = None) -> list[Problem]:
    """The problems of a good pipeline after changes of its manifest and more expectations in its suites."""
    text = MANIFEST
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "gatehouse.yaml").write_text(text)
    (folder / "data.csv").write_text("record,age,name\nr1,40,x\n")
    (folder / "workload.py").write_text("def solve(features, parameters):\n    yield []\n")
    for name in ("in.json", "out.json"):
        more = (suites or {}).get(name, [])
        (folder / name).write_text(json.dumps({**SUITE, "expectations": [*SUITE["expectations"], *more]}))
    return check_manifest(folder / "gatehouse.yaml")


def at_endpoint(folder: Path, endpoint: str) -> list[Problem]:
    return problems(folder, ('"sqlite:///r.sqlite"', json.dumps(endpoint)))


WRONG = {
    "password": (f"postgresql://writer:{CANARY}@db.example.org/clinic", "no user and no password"),
    "password-with-a-slash": (f"postgresql://writer:a/{CANARY}@db.example.org/clinic", "no user and no password"),
    "user-alone": (f"postgresql://{CANARY}@db.example.org/clinic", "no user and no password"),
    "password-of-a-file": (f"sqlite:///writer:{CANARY}@r.sqlite", "no user and no password"),
    "password-in-a-query": (f"postgresql://db.example.org/clinic?password={CANARY}", "no options"),
    "sslpassword": (f"postgresql://db.example.org/clinic?sslmode=require&sslpassword={CANARY}", "no options"),
    "token-in-a-query": (f"mssql://db.example.org/clinic?access_token={CANARY}", "no options"),
    "token-behind-a-hash": (f"postgresql://db.example.org/clinic#token={CANARY}", "no options"),
    "harmless-option": ("postgresql://db.example.org/clinic?sslmode=require", "no options"),
    "encoded-user": (f"postgresql://writer%3A{CANARY}%40db.example.org/clinic", "no endpoint"),
    "postgres": ("postgres://db.example.org/clinic", "write postgresql://"),
    "sqlite3": ("sqlite3:///r.sqlite", "write sqlite://"),
    "driver": ("postgresql+psycopg://db.example.org/clinic", "leave out what follows the"),
    "no-url": ("db.example.org", "no URL"),
    "words": ("the clinic's database", "no URL"),
    "host-and-port": ("db.example.org:5432/clinic", "no URL"),
    "one-slash": ("postgresql:/db.example.org/clinic", "no URL"),
    "web-page": ("https://db.example.org/clinic", "no database"),
    "jdbc": ("jdbc://db.example.org/clinic", "no database"),
    "capital-letters": ("POSTGRESQL://db.example.org/clinic", "no endpoint"),
    "port-is-no-number": ("postgresql://db.example.org:port/clinic", "no endpoint"),
    "port-beyond-16-bits": ("postgresql://db.example.org:99999/clinic", "a port is a number from 1 to 65535"),
    "port-0": ("mysql://db.example.org:0/clinic", "a port is a number from 1 to 65535"),
    "no-database": ("postgresql://db.example.org", "no endpoint"),
    "no-database-after-the-slash": ("postgresql://db.example.org/", "no endpoint"),
    "in-memory": ("sqlite:///:memory:", "names no file"),
    "as-uri": ("sqlite:///file:r.sqlite", "names no file"),
    "no-file": ("sqlite://", "no endpoint"),
    "two-slashes": ("sqlite://r.sqlite", "no endpoint"),
    "blank-at-the-end": ("postgresql://db.example.org/clinic ", "blank or a line break"),
    "blank-at-the-start": (" postgresql://db.example.org/clinic", "blank or a line break"),
    "line-break-at-the-end": ("postgresql://db.example.org/clinic\n", "blank or a line break"),
    "blank-in-the-host": ("postgresql://db example.org/clinic", "no endpoint"),
}
GOOD = [
    "sqlite:///r.sqlite",
    "sqlite:////srv/data/r.sqlite",
    "sqlite:///results 2026.sqlite",
    "sqlite:///results@plant.sqlite",
    "postgresql://db.example.org/clinic",
    "postgresql://db.example.org:5432/clinic",
    "postgresql://[2001:db8::1]:5432/clinic",
    "postgresql://127.0.0.1:40001/t_0123",
    "postgresql:///clinic",
    "mssql://db_1.example.org/clinic",
]


@pytest.mark.parametrize("case", WRONG)
def test_an_endpoint_that_is_none(tmp_path: Path, case: str) -> None:
    """One problem at the endpoint's line and field, which says what to write and repeats nothing of it."""
    endpoint, message = WRONG[case]
    found = at_endpoint(tmp_path, endpoint)
    assert [(problem.line, problem.field) for problem in found] == [(16, "systems[0].endpoint")]
    assert message in found[0].message
    assert CANARY not in repr(found)


@pytest.mark.parametrize("endpoint", GOOD)
def test_an_endpoint_that_is_one(tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the write-back can compare an address with is taken as it is; whether its driver is installed here is another question."""
    monkeypatch.setattr("prefect_gatehouse.operate.check.driver_problem", lambda dialect: None)
    assert at_endpoint(tmp_path, endpoint) == []


@given(
    st.sampled_from(["postgresql", "postgresql+psycopg", "mysql+pymysql", "mssql"]),
    st.sampled_from(["", "writer@", "writer:pw@", "writer:p%2Fw@"]),
    st.from_regex(r"[a-z][a-z0-9-]{0,10}[a-z0-9](\.[a-z]{2,5})?|[0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f]{1,4}::[0-9]\]", fullmatch=True),
    st.sampled_from(["", ":1", ":5432"]),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,20}[A-Za-z0-9_]", fullmatch=True),
)
def test_every_address_has_an_endpoint_that_a_manifest_can_name(scheme: str, who: str, host: str, port: str, database: str) -> None:
    """The form that write-back makes of an address, whatever its driver and user, is a good endpoint: both are one grammar."""
    endpoint = endpoint_of(f"{scheme}://{who}{host}{port}/{database}")
    assert TypeAdapter(Endpoint).validate_python(endpoint) == endpoint


def test_the_schema_says_the_same() -> None:
    """An editor marks what the reader refuses."""
    adapter = TypeAdapter(Endpoint)
    validator = jsonschema.Draft202012Validator(adapter.json_schema())
    assert all(validator.is_valid(endpoint) for endpoint in GOOD)
    for case, (endpoint, _) in WRONG.items():
        # Names of dialects are beyond a pattern, and so is an @ in a file's name; Python's $ lets a line break pass, an editor's does not.
        if case not in ("postgres", "sqlite3", "web-page", "jdbc", "password-of-a-file", "line-break-at-the-end"):
            assert not validator.is_valid(endpoint), case
        with pytest.raises(ValidationError):
            adapter.validate_python(endpoint)


SECRETS = {
    "owner": (("owner: o\n", f"owner: https://me:{CANARY}@example.org\n"), "owner"),
    "purpose": (("purpose: p\n", f"purpose: see https://example.org/?access_token={CANARY}\n"), "purpose"),
    "source": (("source: data.csv", f"source: https://me:{CANARY}@example.org/data.csv"), "data.source"),
    "presigned": (("source: data.csv", f"source: https://b.s3.amazonaws.com/data.csv?X-Amz-Signature={CANARY}"), "data.source"),
    "parameter": (("workload: {", f"workload: {{parameters: {{db: 'postgresql://w:{CANARY}@h/d'}}, "), "workload.parameters.db"),
    "in-a-list": (("workload: {", f"workload: {{parameters: {{dbs: [a, 'host=h user=w password={CANARY}']}}, "), "workload.parameters.dbs[1]"),
    "private-key": (("workload: {", f"workload: {{parameters: {{k: '-----BEGIN OPENSSH PRIVATE KEY----- {CANARY}'}}, "), "workload.parameters.k"),
    "named-so": (("workload: {", f"workload: {{parameters: {{db_password: {CANARY}}}, "), "workload.parameters.db_password"),
    "cloud-key": (("workload: {", f"workload: {{parameters: {{user: AKIA{'A1' * 8}, k: '{CANARY}'}}, "), "workload.parameters.user"),
    "web-token": (("purpose: p\n", f"purpose: see eyJhbGciOiJI.eyJzdWIiOiIx.{CANARY}\n"), "purpose"),
    "constant": (("age: {rule: keep}", f"age: {{rule: constant, value: 'ftp://u:{CANARY}@h'}}"), "data.columns.age.value"),
    "sql": (
        ("source: data.csv", f"source: {{system: results, sql: \"SELECT * FROM dblink('host=h user=w password={CANARY}', 'SELECT 1')\"}}"),
        "data.source.sql",
    ),
    "sql-url": (("source: data.csv", f"source: {{system: results, sql: \"SELECT load('https://w:{CANARY}@h/x')\"}}"), "data.source.sql"),
}


@pytest.mark.parametrize("case", SECRETS)
def test_a_password_in_another_field(tmp_path: Path, case: str) -> None:
    """Wherever an address, a query or a key stands, what is secret in it is told at its field and not repeated."""
    change, field = SECRETS[case]
    found = problems(tmp_path, change, ("credentials: {", "credentials: {read_source: secret/x, "))
    assert (field, "this holds a password, a token or a key") in [(problem.field, problem.message) for problem in found]
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("SELECT mrn FROM t WHERE password = 'x' AND user = 'y'", True),
        ("SELECT token FROM sessions WHERE token = 'abc'", True),
        ("https://example.org/wiki?page=Password", False),
        ("token_count sk-learn eyJ AKIA", False),
        ("https://example.org:8080/users/@me", False),
        ("git+ssh://git@example.org/x", False),
        ("owner@example.org", False),
        ("a pass: 3 of 4 @ noon", False),
        ("the password is in the vault", False),
        ("12:30@plant", False),
    ],
)
def test_what_is_no_password(text: str, sql: bool) -> None:
    """Queries that compare a column of that name, addresses without secrets and plain words are left alone."""
    assert not holds_secret(text, sql=sql)


POSTGRES = ('"sqlite:///r.sqlite"', '"postgresql://db.example.org/clinic"')
NAMES: dict[str, tuple[list[tuple[str, str]], str, str]] = {
    "receipts": ([("table: scores", "table: _gatehouse_receipts")], "output.target.table", "Gatehouse's own"),
    "staging": ([("table: scores", "table: _GATEHOUSE_stage_1")], "output.target.table", "Gatehouse's own"),
    "sqlite-master": ([("table: scores", "table: sqlite_master")], "output.target.table", "belongs to the database"),
    "sqlite-anything": ([("table: scores", "table: SQLITE_x")], "output.target.table", "belongs to the database"),
    "pg-catalog": ([("table: scores", "table: pg_catalog"), POSTGRES], "output.target.table", "belongs to the database"),
    "pg-class": ([("table: scores", "table: pg_class"), POSTGRES], "output.target.table", "belongs to the database"),
    "information-schema": ([("table: scores", "table: information_schema")], "output.target.table", "belongs to the database"),
    "run-column": ([("[score]", "[score, _gatehouse_run]")], "output.columns[1]", "Gatehouse's own"),
    "label-column": ([("[score]", "[_gatehouse_label]")], "output.columns[0]", "Gatehouse's own"),
    "key": ([("record: {rule: keep}", "_gatehouse_run: {rule: keep}"), ("key: record", "key: _gatehouse_run")], "output.key", "Gatehouse's own"),
    "system-column": ([("[score]", "[score, ctid]"), POSTGRES], "output.columns[1]", "every table of PostgreSQL"),
    "long-name": ([("[score]", f"[{'s' * 64}]"), POSTGRES], "output.columns[0]", "at most 63 bytes"),
    "case-only": ([("[score]", "[score, Score]")], "output.columns", "differ by case only"),
    "case-only-of-the-key": ([("[score]", "[score, RECORD]")], "output.columns", "differ by case only"),
    "table-with-a-line-break": ([("table: scores", 'table: "scores\\n"')], "output.target.table", "blank or a line break"),
    "block-with-a-blank": ([("secret/target", '"secret/target "')], "credentials.write_back", "blank or a line break"),
    "block-with-a-line-break": ([("secret/target", '"secret/target\\n"')], "credentials.write_back", "blank or a line break"),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_name_that_is_taken(tmp_path: Path, case: str) -> None:
    """What the database would refuse, or take for something else, after the jobs is told at its field."""
    changes, field, message = NAMES[case]
    found = problems(tmp_path, *changes)
    assert field in [problem.field for problem in found]
    assert re.search(message, next(problem.message for problem in found if problem.field == field))


def test_names_that_are_not_taken(tmp_path: Path) -> None:
    """System columns and case of one database are not another's, and a word within a name is none at its start."""
    assert problems(tmp_path, ("[score]", "[ctid, xmin]"), ("table: scores", "table: my_sqlite_master")) == []
    assert problems(tmp_path, ("[score]", "[score, Score]"), POSTGRES) == []


def about(**kwargs: object) -> dict[str, object]:
    kind = {"column": "expect_column_values_to_not_be_null", "column_A": "expect_column_pair_values_to_be_equal"}
    listed = {"column_set": "expect_table_columns_to_match_set", "column_list": "expect_compound_columns_to_be_unique"}
    return {"type": next(name for key, name in {**kind, **listed}.items() if key in kwargs), "kwargs": kwargs}


@pytest.mark.parametrize(
    ("suite", "expectation", "column"),
    [
        ("in.json", about(column="age"), None),
        ("in.json", about(column="name"), "name"),
        ("in.json", about(column="score"), "score"),
        ("in.json", about(column_A="record", column_B="name"), "name"),
        ("in.json", about(column_list=["record", "name"]), "name"),
        ("in.json", about(column_set=["record", "age", "name"]), "name"),
        ("out.json", about(column="score"), None),
        ("out.json", about(column="age"), "age"),
        ("out.json", about(column_list=["record", "score"]), None),
    ],
)
def test_a_suite_about_a_column_that_is_not_there(tmp_path: Path, suite: str, expectation: dict[str, object], column: str | None) -> None:
    """An expectation about what does not leave, or does not come back, can't be met: told with its place and its column."""
    found = problems(tmp_path, suites={suite: [expectation]})
    where = "data.suite" if suite == "in.json" else "output.suite"
    assert [problem.field for problem in found] == ([] if column is None else [where])
    if column is not None:
        assert found[0].message.startswith(f"{suite}: expectations[2] is about '{column}', which ")


def test_a_dropped_column_does_not_leave(tmp_path: Path) -> None:
    """A suite about a column that the manifest drops is told; the class of what is left stays within the system's."""
    found = problems(tmp_path, ("age: {rule: keep}", "age: {rule: drop}"), suites={"in.json": [about(column="age")]})
    assert [problem.field for problem in found] == ["data.suite"]


def test_subjects_and_repeated_headers(tmp_path: Path) -> None:
    """A subject of shifted dates that the source has not, and a declared column that it has twice, are told before a run."""
    found = problems(tmp_path, ("age: {rule: keep}", "age: {rule: shift_dates, subject: person}"), ("{write_back", "{tokenise: secret/k, write_back"))
    assert [(problem.field, problem.advice) for problem in found] == [("data.columns.age.subject", "correct the name")]
    problems(tmp_path)
    (tmp_path / "data.csv").write_text("record,age,age\nr1,40,41\n")
    (found_twice,) = check_manifest(tmp_path / "gatehouse.yaml")
    assert (found_twice.field, found_twice.message) == ("data.columns.age", "the source has more than one column of this name")
