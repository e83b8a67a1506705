"""What a process cost, and running one to see."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True)
class Cost:
    """What one process took, or two in a row.

    Attributes:
        wall: Seconds from start to end.
        cpu: Seconds of CPU, user and system, of the process and its children.
        peak_mb: The peak of its resident memory, in MiB; of two processes the larger one.
    """

    wall: float
    cpu: float
    peak_mb: float

    def then(self, later: Self) -> Cost:
        """This process and one after it."""
        return Cost(self.wall + later.wall, self.cpu + later.cpu, max(self.peak_mb, later.peak_mb))


def cost_of(command: list[str], environment: Mapping[str, str], log: Path, meanwhile: Callable[[], float] | None = None) -> Cost:
    """Runs a process from start to end.

    Args:
        command: What it is.
        environment: Its.
        log: What it says.
        meanwhile: Done while it runs; gives the seconds of it that people took, which do not count.

    Raises:
        SystemExit: It failed; with the end of what it said.
    """
    people = 0.0
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(log), *command]
    with subprocess.Popen(launcher, env=dict(environment), stdout=subprocess.PIPE, text=True, process_group=0) as running:
        try:
            if meanwhile is not None:
                people = meanwhile()
            said, _ = running.communicate()
        except BaseException:
            os.killpg(running.pid, signal.SIGKILL)  # the launcher and what it started: nobody waits for them any more
            raise
    took = json.loads(said)
    if took.pop("code"):
        raise SystemExit(f"{' '.join(command[:4])} failed: {log.read_text()[-2000:]}")
    cost = Cost(**took)
    return Cost(cost.wall - people, cost.cpu, cost.peak_mb)
