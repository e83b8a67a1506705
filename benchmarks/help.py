"""How soon the command line answers: ``gatehouse --help`` beside ``prefect --help`` and an empty Python, in turn.

The last line is one JSON object: median seconds of each and the median of the pairs' ratios.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

TURNS = 7


def seconds(*command: str) -> float:
    """Wall seconds of one process."""
    started = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - started


def main() -> None:
    """Runs the turns and prints the figures."""
    here = Path(sys.executable).parent
    turns = [(seconds(sys.executable, "-c", ""), seconds(f"{here}/gatehouse", "--help"), seconds(f"{here}/prefect", "--help")) for _ in range(TURNS)]
    print(
        json.dumps(
            {
                "benchmark": "help",
                "turns": TURNS,
                "python_seconds": round(statistics.median(turn[0] for turn in turns), 3),
                "gatehouse_seconds": round(statistics.median(turn[1] for turn in turns), 3),
                "prefect_seconds": round(statistics.median(turn[2] for turn in turns), 3),
                "gatehouse_to_prefect": round(statistics.median(turn[1] / turn[2] for turn in turns), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
