"""What the gates cost: the tumour example as a plain Prefect flow and as a governed run, pair by pair, in fresh processes.

Both read the same 569 patients, run the same 4 544 circuits on Aer with the same shots against the same Prefect server, and write
the same rows into SQLite. The plain flow minimises nothing, asks nobody, keeps no journal and deletes nothing. The last line is
one JSON object: seconds of each side (median) and the median of the pairs' ratios.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from prefect_gatehouse.cli.demo import Desk, make_desk, save_blocks
from prefect_gatehouse.cli.quiet import quiet_prefect
from prefect_gatehouse.cli.stack import Stack
from prefect_gatehouse.settings import Settings

PAIRS = 3


def plain(desk: Desk) -> float:
    """Seconds of the plain flow's process."""
    target = desk.folder / "plain.sqlite"
    command = [sys.executable, str(Path(__file__).with_name("plain_flow") / "flow.py"), str(desk.manifest.parent / "source.csv"), str(target)]
    return timed(command, dict(os.environ))


def governed(desk: Desk) -> float:
    """Seconds of a governed run's two processes, with an approval between them that takes nobody's time."""
    from prefect_gatehouse.ledger.store import Ledger
    from prefect_gatehouse.operate import runs as control
    from prefect_gatehouse.workload.hashing import SEED

    run_id = control.start(desk.settings, desk.manifest, signed=True)
    command = [sys.executable, "-m", "prefect.engine"]
    environment = {**os.environ, "PREFECT__FLOW_RUN_ID": run_id, "PYTHONHASHSEED": SEED}  # as a worker starts it
    seconds = timed(command, environment)
    ledger = Ledger(desk.settings.ledger())
    control.answer(run_id, "approve", proof=control.sign_answer(desk.approver, ledger, run_id, "approve"))
    seconds += timed(command, environment)
    row = ledger.run(run_id)
    ledger.close()
    if row is None or row.ending != "completed":
        raise SystemExit(f"the governed run did not complete: {row.message if row else 'unknown'}")
    return seconds


def timed(command: list[str], environment: dict[str, str]) -> float:
    """Seconds of a process from start to end."""
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[1]} failed: {done.stderr[-2000:]}")
    return time.perf_counter() - started


def main() -> None:
    """Runs the pairs and prints the figures."""
    quiet_prefect()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        stack = Stack(folder, folder / "home")
        stack.start_server()
        os.environ.update(stack.environment)
        os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
        try:
            desk = make_desk(folder, Settings(home=folder / "home"))
            stack.wait()
            stack.create_pool()
            save_blocks(desk)
            stack.deploy()
            pairs: list[tuple[float, float]] = []
            for number in range(PAIRS):
                pairs.append((plain(desk), governed(desk)))
                print(f"pair {number + 1}: plain {pairs[-1][0]:.1f} s, governed {pairs[-1][1]:.1f} s", flush=True)
        finally:
            stack.stop()
    figures = {
        "benchmark": "overhead",
        "pairs": PAIRS,
        "plain_seconds": round(statistics.median(pair[0] for pair in pairs), 2),
        "governed_seconds": round(statistics.median(pair[1] for pair in pairs), 2),
        "ratio": round(statistics.median(pair[1] / pair[0] for pair in pairs), 2),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
