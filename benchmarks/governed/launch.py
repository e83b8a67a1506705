"""Starts one process and prints what it took, as JSON: wall and CPU seconds, and the peak of its memory.

It is a process of its own, and a small one: Linux counts into the peak of a new program what its parent held when it started it.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main(log: str, command: list[str]) -> None:
    """Runs the command, what it says goes to the log."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    streams = [(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, out, 2)]
    started = time.perf_counter()
    child = os.posix_spawn(command[0], command, os.environ, file_actions=streams)
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - started
    code = os.waitstatus_to_exitcode(status)
    print(json.dumps({"code": code, "wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1024}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
