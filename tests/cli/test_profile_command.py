"""`gatehouse profile`: a table, JSON or a manifest's section, and never a value."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.manifest.data import Data


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["profile", *arguments], prog_name="gatehouse")


def source(tmp_path: Path) -> str:
    lines = [f"CANARY{row},canary{row}@example.org,{row % 5}.5,{'mf'[row % 2]}" for row in range(60)]
    path = tmp_path / "new.csv"
    path.write_text("\n".join(["pid,mail,dose,sex", *lines]) + "\n")
    return str(path)


def test_the_three_forms(tmp_path: Path) -> None:
    """The table names columns, rules and reasons; JSON holds the same; the section is valid for the manifest; no value in any."""
    path = source(tmp_path)
    shown, as_json, section = invoke(path), invoke(path, "--json"), invoke(path, "--manifest")
    assert [each.exit_code for each in (shown, as_json, section)] == [0, 0, 0]
    assert "k = 30 over sex, in 2 groups" in shown.output
    assert "names of people are not recognised" in shown.output
    told = json.loads(as_json.output)
    assert [column["name"] for column in told["columns"]] == ["pid", "mail", "dose", "sex"]
    assert told["columns"][1]["identifiers"] == {"e-mail address": 60}
    assert Data.model_validate(yaml.safe_load(section.output)["data"]) == Data.model_validate(told["data"])
    assert not any("canary" in each.output.lower() for each in (shown, as_json, section))


def test_names_that_a_terminal_would_obey_are_written_out(tmp_path: Path) -> None:
    """Colours, brackets of markup and characters that reorder text come out escaped or as they are, never as commands."""
    path = tmp_path / "odd.csv"
    path.write_text("[bold]x[/],\x1b[31mred,a\u061cb\n1,2,3\n")
    result = invoke(str(path))
    assert result.exit_code == 0
    assert "[bold]x[/]" in result.output
    assert "\x1b" not in result.output and "\u061c" not in result.output
    assert "\u061c" not in invoke(str(path), "--manifest").output


def test_first_rows_and_errors(tmp_path: Path) -> None:
    """``--rows`` is told in the title; a missing file and a bound of no rows are errors with a code and without a traceback."""
    assert "first 10 rows" in invoke(source(tmp_path), "--rows", "10").output
    missing, none = invoke(str(tmp_path / "none.csv")), invoke(source(tmp_path), "--rows", "0")
    assert (missing.exit_code, none.exit_code) == (2, 2)
    assert "Traceback" not in missing.output + none.output


def adult(tmp_path: Path) -> str:
    """As UCI publishes it: no header, a blank behind each comma, question marks, an empty line at the end."""
    work, sex = ("CANARY-gov", "Private", "?"), ("Male", "Female")
    rows = [
        f"{20 + row % 60}, {work[row % 3]}, {77000 + row * 13}, {row % 16}, {sex[row % 2]}, {('<=50K', '>50K')[row % 7 // 5]}" for row in range(300)
    ]
    path = tmp_path / "adult.data"
    path.write_text("\n".join(rows) + "\n\n")
    return str(path)


def test_a_file_without_a_header_shows_no_value(tmp_path: Path) -> None:
    """UCI Adult's form: the first row is told to be data and not shown, numbers are numbers, what is missing is counted, settings are proposed."""
    path = adult(tmp_path)
    shown, as_json, section = invoke(path), invoke(path, "--json"), invoke(path, "--manifest")
    assert [each.exit_code for each in (shown, as_json, section)] == [0, 0, 0]
    assert "first row looks like data" in shown.output
    told = json.loads(as_json.output)
    assert told["csv"]["settings"] == {"header": "none", "trim": True, "missing": ["?"]}
    assert [column["name"] for column in told["columns"]] == [f"column_{place}" for place in range(1, 7)]
    assert [column["holds"] for column in told["columns"]] == ["whole numbers", "text", "whole numbers", "whole numbers", "text", "text"]
    assert [column["missing"] for column in told["columns"]] == [0, 100, 0, 0, 0, 0]
    assert Data.model_validate(yaml.safe_load(section.output)["data"]) == Data.model_validate(told["data"])
    for each in (shown, as_json, section):
        assert not any(value in each.output for value in ("CANARY", "77000", "Male", "50K"))


def test_what_is_known_better_is_said_by_options(tmp_path: Path) -> None:
    """Names, a header that looks like data, another delimiter; a wrong option is one error with the name of the setting."""
    named = invoke(adult(tmp_path), "--names", "age,work,weight,years,sex,income", "--manifest")
    data = Data.model_validate(yaml.safe_load(named.output)["data"])
    assert data.csv.names == ("age", "work", "weight", "years", "sex", "income")
    assert data.quasi_identifiers == ("age", "sex")
    path = tmp_path / "p.csv"
    path.write_text("2019;2021\n1;2\n3;4\n")
    assert list(yaml.safe_load(invoke(str(path), "--header", "row", "--manifest").output)["data"]["columns"]) == ["2019", "2021"]
    wrong = invoke(str(path), "--encoding", "rot13")
    assert (wrong.exit_code, "data.csv.encoding" in wrong.output, "Traceback" in wrong.output) == (2, True, False)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\x03\x04" + bytes(60), "zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(60), "old Excel workbook"),
        (b'[{"CANARY": 1}]', "JSON"),
        (gzip.compress(b"CANARY,b\n1,2\n" * 90)[:-9], "ends too early"),
        ("CANARY,b\n1,é\n".encode("cp1252"), "row 2"),
        (b"a,b\n1," + b"CANARY" * 400_000 + b"\n", "longer than 1 MiB"),
    ],
    ids=["zip", "old-excel", "json", "cut-off-gzip", "cp1252", "long-cell"],
)
def test_what_is_no_csv_is_named_for_what_it_is(tmp_path: Path, data: bytes, words: str) -> None:
    """One message and exit code 2, in a process of its own: nothing of it aborts when the interpreter ends."""
    (tmp_path / "p.csv").write_bytes(data)
    code = "from prefect_gatehouse.cli.main import main; main(prog_name='gatehouse')"
    command = [sys.executable, "-c", code, "profile", str(tmp_path / "p.csv")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2, ended.stderr
    assert words in ended.stderr and "CANARY" not in ended.stderr + ended.stdout and "Traceback" not in ended.stderr
