"""`gatehouse check` on good, wrong and hostile manifests: problems with file, line and field, quickly, and never a traceback."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from prefect_gatehouse.cli.main import main

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """The grid example, in a folder of its own."""
    shutil.copytree(EXAMPLES / "grid_partition", tmp_path / "grid")
    return tmp_path / "grid" / "gatehouse.yaml"


def check(path: Path | str, *more: str) -> Result:
    return CliRunner().invoke(main, ["check", str(path), *more], prog_name="gatehouse")


def test_a_good_manifest(manifest: Path) -> None:
    """Nothing to say: exit 0, and as JSON an empty list."""
    plain, as_json = check(manifest), check(manifest, "--json")
    assert (plain.exit_code, plain.output) == (0, f"{manifest}: good\n")
    assert (as_json.exit_code, json.loads(as_json.output)) == (0, {"file": str(manifest), "good": True, "problems": []})


def test_every_problem_at_once_as_compilers_tell_them(manifest: Path) -> None:
    """FILE:LINE:COLUMN in the order of lines, exit 2, and the same in JSON."""
    text = manifest.read_text().replace("tier: prototype", "tier: castle").replace("shots:", "shoots:")
    manifest.write_text(text)
    plain, as_json = check(manifest), check(manifest, "--json")
    assert (plain.exit_code, as_json.exit_code) == (2, 2)
    problems = json.loads(as_json.output)["problems"]
    assert len(problems) >= 3
    lines = plain.output.splitlines()
    assert len(lines) == len(problems) + 1
    assert lines[-1] == f"{len(problems)} problems"
    numbers = [int(line.removeprefix(f"{manifest}:").split(":")[0]) for line in lines[:-1]]
    assert numbers == sorted(numbers) == [item["line"] for item in problems]
    tier = next(index for index, line in enumerate(text.splitlines(), 1) if line.startswith("tier:"))
    assert tier in numbers


def bomb() -> str:
    """Nine levels of nine references: a thousand million leaves."""
    levels = ['l0: &l0 ["lol"]'] + [f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 9)}]" for level in range(1, 10)]
    return "\n".join(levels)


HOSTILE: dict[str, str | bytes] = {
    "bomb": bomb(),
    "deep": "[" * 50_000,
    "huge": "a: " + "x" * (2 * 1024 * 1024),
    "many-keys": "\n".join(f"k{number}: 1" for number in range(50_000)),
    "object": "gatehouse: !!python/object/apply:os.system ['touch pwned']",
    "not-utf8": b"\xff\xfe\x00g",
    "nul": b"gatehouse: 1\0",
    "list": "[1, 2, 3]",
    "empty": "",
    "two-documents": "gatehouse: 1\n---\ngatehouse: 1\n",
    "number-bomb": "gatehouse: " + "9" * 100_000,
    "terminal": 'gatehouse: 1\n"\\e[2J\\e]0;owned\\a": 1\n',
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_text(attack: str, tmp_path: Path) -> None:
    """A process with little memory and time ends with 2 and problems, whatever the text is; nothing in the text is run."""
    path = tmp_path / "gatehouse.yaml"
    content = HOSTILE[attack]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    limited = "ulimit -v 2000000; ulimit -t 30; exec " + f"{sys.executable} -m prefect_gatehouse.cli.main check gatehouse.yaml"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60)
    assert done.returncode == 2, (done.stdout[-500:], done.stderr[-500:])
    assert (done.stdout.startswith("gatehouse.yaml:"), done.stderr) == (True, "")
    assert len(done.stdout) < 100_000
    assert "\x1b" not in done.stdout
    assert [item.name for item in tmp_path.iterdir()] == ["gatehouse.yaml"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source", "../../../etc/passwd"),
        ("source", "/etc/passwd"),
        ("source", "link/passwd"),
        ("suite", "../outside.json"),
        ("entrypoint", "../outside.py:solve"),
        ("entrypoint", "/outside.py:solve"),
    ],
)
def test_a_path_that_leaves_the_folder(manifest: Path, field: str, value: str) -> None:
    """A path that leads out, straight or through a link, is a problem at its line, and nothing of the file behind it is told."""
    (manifest.parent / "link").symlink_to("/etc")
    lines = manifest.read_text().splitlines()
    at = next(index for index, line in enumerate(lines) if line.strip().startswith(f"{field}:"))
    lines[at] = lines[at].partition(":")[0] + f": {value}"
    manifest.write_text("\n".join(lines) + "\n")
    told = check(manifest, "--json")
    assert told.exit_code == 2
    assert at + 1 in [item["line"] for item in json.loads(told.output)["problems"]]
    assert "root:" not in told.output


@pytest.mark.parametrize("value", ["[]", "{}", "null", "true", "3.5", "'3'", "-1", ".inf", "2026-11-24", "!!binary aGk="])
@pytest.mark.parametrize("field", ["shots", "source", "columns", "systems", "backends", "entrypoint"])
def test_wrong_types(manifest: Path, field: str, value: str) -> None:
    """A value of another type anywhere is a problem with a line, never an exception."""
    lines = manifest.read_text().splitlines()
    at = next(index for index, line in enumerate(lines) if line.strip().startswith(f"{field}:"))
    depth = len(lines[at]) - len(lines[at].lstrip())
    below = next((index for index in range(at + 1, len(lines)) if len(lines[index]) - len(lines[index].lstrip(" -")) <= depth), len(lines))
    lines[at:below] = [lines[at].partition(":")[0] + f": {value}"]
    manifest.write_text("\n".join(lines) + "\n")
    told = check(manifest, "--json")
    assert told.exit_code == 2, told.output
    assert all(item["line"] >= 1 and item["message"] for item in json.loads(told.output)["problems"])


def test_what_is_no_file(tmp_path: Path) -> None:
    """A missing file, a folder and a pipe are said at once."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe"):
        told = check(path)
        assert (told.exit_code, told.output.startswith(f"{path}:1:1: ")) == (2, True)


def test_no_file_given() -> None:
    """Without a file and without --schema the usage is shown."""
    told = CliRunner().invoke(main, ["check"], prog_name="gatehouse")
    assert told.exit_code == 2
    assert "--schema" in told.stderr


def test_schema() -> None:
    """--schema prints JSON Schema that accepts the examples."""
    import jsonschema
    import yaml

    told = CliRunner().invoke(main, ["check", "--schema"], prog_name="gatehouse")
    schema = json.loads(told.output)
    jsonschema.Draft202012Validator.check_schema(schema)
    for path in EXAMPLES.glob("*/gatehouse.yaml"):
        jsonschema.validate(yaml.safe_load(path.read_text()), schema)


@pytest.mark.usefixtures("prefect_home")
def test_a_message_gives_a_terminal_no_orders(manifest: Path) -> None:
    """What a file says is shown as text: neither an escape sequence nor a mark that reorders text gets through, in any command."""
    manifest.write_text(manifest.read_text() + '"\\e[2J\\u202eevil\\a": 1\n')
    for words in (["check", str(manifest)], ["run", str(manifest)]):
        told = CliRunner().invoke(main, words, prog_name="gatehouse", color=True)
        assert told.exit_code == 2
        assert "evil" in told.output
        assert not any(character in told.output for character in "\x1b\u202e\a")


def test_a_source_that_is_written_otherwise(manifest: Path) -> None:
    """The headers are read as the manifest says: semicolons undeclared are told at data.source with what to set, and declared are good."""
    source = manifest.parent / str(yaml.safe_load(manifest.read_text())["data"]["source"])
    source.write_bytes(gzip.compress(source.read_text().replace(",", ";").encode("utf-16")))
    problems = json.loads(check(manifest, "--json").output)["problems"]
    assert [(item["field"], "UTF-16" in item["message"], "data.csv.encoding: utf-16" in item["advice"]) for item in problems] == [
        ("data.source", True, True)
    ]
    text = manifest.read_text()
    line = next(each for each in text.splitlines() if each.strip().startswith("source:"))
    manifest.write_text(text.replace(line, f"{line}\n  csv: {{encoding: utf-16}}"))
    assert "data.csv.delimiter" in check(manifest).output
    manifest.write_text(text.replace(line, f"{line}\n  csv: {{encoding: utf-16, delimiter: ';'}}"))
    assert check(manifest).exit_code == 0, check(manifest).output
