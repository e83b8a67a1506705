"""Fresh processes at the price of a fork: a warm process forks one for each order, kills it when its time is up, and tells how it ended.

Standard library only, because the peers' environment imports it as well. An order is one line of JSON; ``kill_after`` is in seconds.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LONGEST = 90.0  # seconds; a child that hangs is a failed start, and the next one takes over


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        killed: By SIGKILL, at its moment.
        code: Its exit code, where it ended by itself.
        seconds: That it took.
    """

    killed: bool
    code: int
    seconds: float


def serve(act: Callable[[dict[str, Any]], None], *, first_here: bool = False) -> None:
    """The warm process: forks a child for every order, until there are no more.

    Args:
        act: What a child does.
        first_here: The first order is done by the warm process itself, which learns from it what would cost every child time; only for what leaves no
            thread behind and no connection that a child could take for its own.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints, prints into the log
    print("warm", file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        began = time.monotonic()
        if first_here:
            act(order)
            killed, code, first_here = False, 0, False
        else:
            gc.freeze()  # a collection in the child would copy every page of what is warm
            child = os.fork()
            if child == 0:
                _become(act, order)
            killed, code = _end(child, began, order.get("kill_after"))
        print(json.dumps({"killed": killed, "code": code, "seconds": time.monotonic() - began}), file=answers, flush=True)


def _become(act: Callable[[dict[str, Any]], None], order: dict[str, Any]) -> None:
    code = 1
    try:
        act(order)
        code = 0
    except BaseException as error:  # noqa: BLE001 - a child must not go on as its parent, whatever happened to it
        sys.stderr.write(f"piece {order['piece']}: {type(error).__name__}: {error}\n")
    finally:
        sys.stderr.flush()
        os._exit(code)


def _end(child: int, began: float, kill_after: float | None) -> tuple[bool, int]:
    until = began + (_LONGEST if kill_after is None else kill_after)
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return False, os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return kill_after is not None, -signal.SIGKILL
        time.sleep(0.002)


def write_answer(path: Path, answer: dict[str, Any]) -> None:
    """What a piece of work came to, whole or not at all, and on the disk before the process says that it is done."""
    half = path.with_suffix(f".{os.getpid()}")
    with half.open("w") as file:
        file.write(json.dumps(answer))
        file.flush()
        os.fsync(file.fileno())
    half.rename(path)


class Warm:
    """A warm process, from outside.

    Args:
        command: Starts it.
        environment: Its own.
        log: What it and its children say.
    """

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as said:
            self._process = subprocess.Popen(
                command, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, process_group=0
            )
        self._log = log

    def ready(self) -> None:
        """Waits until it is warm.

        Raises:
            SystemExit: It died.
        """
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "warm\n":
            raise SystemExit(f"a side does not start: {self._log.read_text()[-2000:]}")

    def run(self, **order: Any) -> Ended:
        """One fresh process.

        Raises:
            SystemExit: The warm process died.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a side ended: {self._log.read_text()[-2000:]}")
        return Ended(**json.loads(line))

    def close(self) -> None:
        """Ends it, and a child that is still at work."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
