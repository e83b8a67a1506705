"""The checks of Gatehouse's own that stop an act: each that the code names has a sentence, each sentence is named, and none is a policy's rule."""

from __future__ import annotations

import ast
from pathlib import Path

import prefect_gatehouse
from prefect_gatehouse.policy.cedar import load_policy
from prefect_gatehouse.policy.own_checks import OWN_CHECKS
from prefect_gatehouse.settings import Settings


def named() -> set[str]:
    """Identifiers that refusals are raised with, written out in the code."""
    found = set()
    for path in Path(prefect_gatehouse.__file__).parent.rglob("*.py"):
        text = path.read_text()
        if "rules=(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.keyword) and node.arg == "rules" and isinstance(node.value, ast.Tuple):
                found |= {each.value for each in node.value.elts if isinstance(each, ast.Constant)}
    return {str(each) for each in found}


def test_every_check_has_its_sentence() -> None:
    """What an auditor finds in the ledger can be told in words."""
    assert named() == set(OWN_CHECKS)
    policy = load_policy(Settings().policies)
    assert not [each for each in OWN_CHECKS if policy.has_rule(each)]
