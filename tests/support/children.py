"""Real processes that a test kills: forks of a warm one (``tests/support/child.py``)."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
KEY = "run:0:0:0"


class Child:
    """One process at work."""

    def __init__(self, pid: int, ended: Path) -> None:
        self.pid, self._ended = pid, ended

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert self.wait() is None

    def wait(self, seconds: float = 30) -> int | None:
        """Its exit code, None if it was killed."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                return int(self._ended.read_text()) if self._ended.exists() else None
            time.sleep(0.02)
        os.kill(self.pid, signal.SIGKILL)
        raise TimeoutError


class Children:
    """The warm process and its forks."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._numbers = itertools.count()

    def start(self, desk: Any, **order: Any) -> Child:
        assert self._process.stdin is not None and self._process.stdout is not None
        ended = desk.folder / f"ended-{next(self._numbers)}"
        told = {"url": desk.emulator.url, "environment": desk.emulator.environment, "settings": desk.settings, "folder": str(desk.folder), "key": KEY}
        order = {**told, "journal": str(desk.folder / "journal"), "ended": str(ended), **order}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Child(int(self._process.stdout.readline()), ended)


@contextmanager
def warm_children(module: str) -> Iterator[Children]:
    """One warm process.

    Args:
        module: Below ``tests.support``.
    """
    command = [sys.executable, "-W", "ignore", "-m", f"tests.support.{module}"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT)
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == "warm\n"
        yield Children(process)
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()
