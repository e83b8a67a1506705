"""The order of sets: what the deployment sets makes two processes yield the same circuits, and a process without it is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"a", "b", "c", "d", "e", "f", "g", "h"}

SCRIPT = f"""
import sys
from pathlib import Path
from tests.support.circuit_lists import summarise
from prefect_gatehouse.workload.hashing import require_fixed_hashing
from tests.workload.test_rounds import rounds_of

body = '''
def solve(features, parameters):
    made = QuantumCircuit(8, 8)
    for name in {NAMES!r}:
        made.h(ord(name) - ord("a"))
    yield [made]
'''
require_fixed_hashing()
print(summarise(rounds_of(Path(sys.argv[1]), body).advance(None), 1).digest)
"""


ASKING = """
from prefect_gatehouse.errors import Interrupted
from prefect_gatehouse.workload.hashing import require_fixed_hashing

try:
    require_fixed_hashing()
except Interrupted as error:
    print(error)
"""


def output(*arguments: str, **environment: str) -> str:
    """What a process of its own prints."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    done = subprocess.run([sys.executable, "-c", *arguments], env={**own, **environment}, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_workload_that_walks_a_set(tmp_path: Path) -> None:
    """In the environment that ``deployments/prefect.yaml`` gives to a run's processes, two of them yield the same circuits."""
    deployments = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())["deployments"]
    (environment,) = [each["work_pool"]["job_variables"]["env"] for each in deployments if each["name"] == "governed-pipeline"]
    first, second = (output(SCRIPT, str(tmp_path / str(turn)), **environment) for turn in range(2))
    assert first == second
    assert len(first.strip()) == 64


def test_a_process_whose_hashing_is_not_fixed_is_refused() -> None:
    """Without it, or with another seed, which only looks fixed: the error says what to set."""
    for environment in ({}, {"PYTHONHASHSEED": "random"}, {"PYTHONHASHSEED": "7"}):
        assert "PYTHONHASHSEED: this process orders sets at random" in output(ASKING, **environment)
    assert output(ASKING, PYTHONHASHSEED="0") == ""
