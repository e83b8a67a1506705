"""The list of attacks names tests that are there, and every test of the files that hold nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PIPELINE = ROOT / "tests" / "pipeline"
NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)(?:\[([^\]]+)\])?`")
ATTACKS_ALONE = ("test_attacks_on_answers.py", "test_attacks_in_the_wait.py")
CHECKS = {"test_the_ledger_behind_all_of_them"}
"""Of what is left behind the attacks."""


def read(file: str) -> tuple[set[str], set[object]]:
    """A file's tests, and its texts, among which are its cases' names."""
    tree = ast.parse((PIPELINE / file).read_text())
    tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    return tests, {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_attack_of_the_list_has_its_test() -> None:
    """By file, test and case."""
    listed = NAMED.findall((ROOT / "docs" / "attacks.md").read_text())
    assert len(listed) == len(set(listed)) >= 50
    for file, test, case in listed:
        tests, texts = read(file)
        assert test in tests, f"{file}::{test}"
        assert not case or case in texts, f"{file}::{test}[{case}]"


def cases(file: str) -> set[str]:
    """The names of a file's cases, which are the keys of its tables."""
    tables = [node.value for node in ast.parse((PIPELINE / file).read_text()).body if isinstance(node, ast.Assign | ast.AnnAssign)]
    return {ast.literal_eval(key) for table in tables if isinstance(table, ast.Dict) for key in table.keys if key is not None}


def test_every_attack_is_listed() -> None:
    """Whoever writes one adds its line."""
    listed = NAMED.findall((ROOT / "docs" / "attacks.md").read_text())
    for file in ATTACKS_ALONE:
        assert read(file)[0] - CHECKS == {test for each, test, _ in listed if each == file}
        assert cases(file) and cases(file) <= {case for each, _, case in listed if each == file}
