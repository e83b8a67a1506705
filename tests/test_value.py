"""Models are built when they are used, and all at once where a process is forked for each run."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
from pydantic import BaseModel
import prefect_gatehouse.run.values
from prefect_gatehouse.value import build_models

def ours():
    pending, found = [BaseModel], []
    while pending:
        model = pending.pop()
        pending += model.__subclasses__()
        found += [model] if model.__module__.startswith("prefect_gatehouse.") else []
    return found

before = [model.__pydantic_complete__ for model in ours()]
build_models()
print(len(before) > 50, before.count(True) < len(before) / 2, all(model.__pydantic_complete__ for model in ours()))
"""


def test_models_are_built_late_and_all_at_once() -> None:
    """An import builds few of them; whoever forks builds every one."""
    said = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["True", "True", "True"]
