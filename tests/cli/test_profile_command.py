"""`gatehouse profile`: a table, JSON or a manifest's section, and never a value."""

from __future__ import annotations

import json
from pathlib import Path

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
