"""The governed side of exactly_once.py, as it is run: the first piece is the one that was approved, and the next one goes the same way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from prefect_gatehouse.testing import BraketEmulator

ONCE = Path(__file__).resolve().parents[2] / "benchmarks" / "once" / "governed.py"
ACT = "import json, runpy, sys; runpy.run_path(sys.argv[1])['act'](json.loads(sys.argv[2]))"


def test_two_pieces(braket: BraketEmulator, tmp_path: Path) -> None:
    """Approved in one process, submitted and collected in others; each has the outcome that is its number."""
    braket.create_bucket("results")
    order = {"folder": str(tmp_path), "block": braket.settings("results"), "credential": braket.credential, "answers": str(tmp_path / "answers")}
    (tmp_path / "answers").mkdir()
    _started([str(ONCE), json.dumps(order)])
    for piece in (0, 1):
        _started(["-c", ACT, str(ONCE), json.dumps({**order, "piece": piece})])
    told = [json.loads((tmp_path / "answers" / f"{piece}.json").read_text()) for piece in (0, 1)]
    assert [max(each["counts"], key=each["counts"].get) for each in told] == ["000", "001"]
    assert sorted(handle for each in told for handle in each["handles"]) == sorted(task["arn"] for task in braket.tasks())


def _started(words: list[str]) -> None:
    done = subprocess.run([sys.executable, *words], env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
