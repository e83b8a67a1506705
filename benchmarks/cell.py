"""What a cell costs: the tumour example to its first circuits and through its second step, in the process of the run and in each cell, in turn.

Each measurement is a fresh process, which has imported what the gates before it have (pyarrow, the library) and nothing that only a
workload needs. The first step goes from the workload's files to a batch of circuits; the second from their counts to the frame. Memory is
what the process and its cell hold after the first step, pages that they share counted once (PSS).

The last line is one JSON object of the strongest cell: milliseconds that the first step takes longer than without it, the second step over the one
without it, and megabytes more, medians. ``--quick`` takes three turns, without and in the strongest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "tumour_kernel"
TURNS = 9


def measure(cell: str, data: Path) -> dict[str, float]:
    """Both steps in this process."""
    import pyarrow.parquet as pq

    import prefect_gatehouse.run.cells
    import prefect_gatehouse.workload.runner.cell
    import prefect_gatehouse.workload.runner.in_process  # noqa: F401
    from prefect_gatehouse.manifest.load import load_manifest
    from prefect_gatehouse.workload.runner.choose import run_in
    from prefect_gatehouse.workload.runner.interface import Limits, Task
    from prefect_gatehouse.workload.sources import find_workload

    manifest = load_manifest(EXAMPLE / "gatehouse.yaml").manifest
    began = time.perf_counter()
    task = Task(find_workload(manifest.workload.entrypoint, EXAMPLE), lambda: pq.ParquetFile(data).read(), manifest.workload.parameters)
    with run_in(cell, task, Limits(600, 600, 4 << 30, 64 << 20)) as rounds:  # type: ignore[arg-type]
        batch = rounds.advance(None)
        first = time.perf_counter()
        held = sum(map(pss_kb, family(os.getpid()))) / 1024
        resumed = time.perf_counter()
        zeros = "0" * batch.qubits
        rounds.advance([{zeros: 100 + place % 800, "1" + zeros[1:]: 900 - place % 800} for place in range(len(batch))])
        second = time.perf_counter()
    return {"first": first - began, "second": second - resumed, "mb": held}


def family(process: int) -> list[int]:
    """A process and all that it started."""
    children = [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return [process, *(each for child in children for each in family(child))]


def pss_kb(process: int) -> int:
    """The memory of a process, each page divided by those who share it."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def features(folder: Path) -> Path:
    """The example's rows with its identifiers as they are: the workload computes the same on tokens."""
    import pandas as pd

    source = folder / "source.csv"
    subprocess.run([sys.executable, str(EXAMPLE / "source.py"), str(source)], check=True, stdout=subprocess.DEVNULL)
    made = folder / "features.parquet"
    pd.read_csv(source).to_parquet(made)
    return made


def main() -> None:
    """Takes the turns and prints what they gave."""
    parser = argparse.ArgumentParser(description="What a cell costs.")
    parser.add_argument("--quick", action="store_true", help="three turns, the strongest cell only")
    parser.add_argument("--measure", nargs=2, metavar=("CELL", "FEATURES"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.measure[0], Path(asked.measure[1]))))
        return
    import tempfile

    from prefect_gatehouse.workload.runner.choose import MECHANISMS

    cells = ["none", *(each.name for each in MECHANISMS if each.usable())][: 2 if asked.quick else None]
    found: dict[str, list[dict[str, float]]] = {cell: [] for cell in cells}
    with tempfile.TemporaryDirectory() as name:
        data = features(Path(name))
        for turn in range(3 if asked.quick else TURNS):
            for cell in cells if turn % 2 else reversed(cells):
                found[cell].append(one(cell, data))
    median: dict[str, dict[str, float]] = {
        cell: {what: statistics.median(each[what] for each in turns) for what in turns[0]} for cell, turns in found.items()
    }
    for cell, costs in median.items():
        print(f"{cell:12} first step {costs['first']:.2f} s, second step {costs['second']:.2f} s, {costs['mb']:.0f} MB")
    strongest = cells[1] if len(cells) > 1 else "none"
    with_it, without = median[strongest], median["none"]
    figures: dict[str, Any] = {
        "cell": strongest,
        "start_ms": round(1000 * (with_it["first"] - without["first"])),
        "step_overhead_ratio": round(with_it["second"] / without["second"], 2),
        "extra_mb": round(with_it["mb"] - without["mb"]),
    }
    print(json.dumps(figures))


def one(cell: str, data: Path) -> dict[str, float]:
    """A measurement in a fresh process."""
    command = [sys.executable, __file__, "--measure", cell, str(data)]
    done = subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"a measurement failed: {done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
