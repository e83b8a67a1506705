"""The shipped table of expected decisions: it holds, and no rule, action or boundary can be taken out without a case that notices."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.policy.cases import NAME, failures, load_cases
from prefect_gatehouse.policy.cedar import load_policy
from prefect_gatehouse.settings import Settings

SHIPPED = Settings().policies
TEXT = (SHIPPED / "gatehouse.cedar").read_text()
CHANGES = (("<=", "<"), (">=", ">"), ("<=", ">="), (">=", "<="), ("!=", "=="), (" || ", " && "), (" && ", " || "), ("!context", "context"))
RULE = re.compile(r'@id\("(?P<id>[a-z-]+)"\).*?;\n', re.DOTALL)


def mutants() -> Iterator[tuple[str, str]]:
    """The policies with one thing changed: a rule gone, an action taken out of a rule, a comparison moved by one or turned round."""
    for rule in RULE.finditer(TEXT):
        start, end, name = rule.start(), rule.end(), rule["id"]

        def changed(new: str, start: int = start, end: int = end) -> str:
            return TEXT[:start] + new + TEXT[end:]

        if name != "permitted":
            yield f"{name} gone", changed("")
        for action in re.findall(r'Gatehouse::Action::"\w+",?\s*', rule[0]):
            fewer = rule[0].replace(action, "", 1)
            fewer = re.sub(r",(\s*)\]", r"\1]", fewer)
            if "[" in rule[0]:
                yield f"{name} without {action.strip()}", changed(fewer)
        for old, new in CHANGES:
            if old in rule[0]:
                yield f"{name}: {old} becomes {new}", changed(rule[0].replace(old, new, 1))


MUTANTS = dict(mutants())


def test_what_ships_decides_as_written() -> None:
    cases = load_cases(SHIPPED / NAME)
    assert list(failures(load_policy(SHIPPED), cases)) == []
    assert len(cases.cases) >= 60
    named = {reason for case in cases.cases for reason in case.expect}
    assert named == set(re.findall(r'@id\("([a-z-]+)"\)', TEXT))


@pytest.mark.parametrize("mutant", MUTANTS)
def test_every_change_of_a_rule_is_noticed(mutant: str, tmp_path: Path) -> None:
    shutil.copytree(SHIPPED, tmp_path, dirs_exist_ok=True)
    (tmp_path / "gatehouse.cedar").write_text(MUTANTS[mutant])
    assert next(failures(load_policy(tmp_path), load_cases(tmp_path / NAME)), None) is not None, mutant


def test_there_are_mutants_of_every_rule() -> None:
    assert {name.split(":")[0].split(" ")[0] for name in MUTANTS} == set(re.findall(r'@id\("([a-z-]+)"\)', TEXT))


def check(*words: str) -> tuple[int, dict[str, object]]:
    done = CliRunner().invoke(main, ["policy", "check", *words, "--json"], prog_name="gatehouse")
    return done.exit_code, json.loads(done.output)


def test_the_command(tmp_path: Path) -> None:
    """0 and the count; 3 and the cases where one is decided otherwise."""
    code, told = check()
    assert (code, told["failed"]) == (0, 0)
    shutil.copytree(SHIPPED, tmp_path, dirs_exist_ok=True)
    (tmp_path / "gatehouse.cedar").write_text(MUTANTS["not-synthetic gone"])
    code, told = check("--policies", str(tmp_path))
    assert (code, told["failed"]) == (3, 1)
    assert told["failures"] == [
        {"case": "real data in a tier for synthetic data", "action": "submit", "expected": ["not-synthetic"], "decided": ["permitted"]}
    ]
    shown = CliRunner().invoke(main, ["policy", "check", "--policies", str(tmp_path)], prog_name="gatehouse")
    assert "real data in a tier" in shown.output and f"{told['cases']} cases, 1 failed" in shown.output


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  - case: a source in order", "  - case: a secret in order", "two cases have one name"),
        ("with: {approvals: 0}", "with: {approval: 0}", "has no approval"),
        ("action: read_source", "action: read_sources", "correct the field"),
        ("expect: [permitted]", "expect: []", "correct the field"),
        ("\ncases:", "\ncase:", "correct the field"),
    ],
)
def test_a_malformed_table(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = (SHIPPED / NAME).read_text()
    assert old in text
    (tmp_path / NAME).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=re.escape(said)):
        load_cases(tmp_path / NAME)


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read"):
        load_cases(tmp_path / NAME)
