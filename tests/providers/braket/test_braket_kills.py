"""The kill matrix at the provider: whatever dies when, the service has made one task, and the next process has its result.

Every row kills a real process with SIGKILL, then starts another that knows nothing but the journal; what was made is counted at the service.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prefect_gatehouse.testing import BraketEmulator
from tests.support.braket_desk import BraketDesk

_ROOT = Path(__file__).resolve().parents[3]
_GRACE = 1.2
KEY = "run:0:0:0"


class Children:
    """The warm process and its forks."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._numbers = itertools.count()

    def start(self, desk: BraketDesk, **order: Any) -> Child:
        assert self._process.stdin is not None and self._process.stdout is not None
        ended = desk.folder / f"ended-{next(self._numbers)}"
        told = {"url": desk.emulator.url, "environment": desk.emulator.environment, "settings": desk.settings, "folder": str(desk.folder), "key": KEY}
        order = {**told, "journal": str(desk.folder / "journal"), "ended": str(ended), **order}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Child(int(self._process.stdout.readline()), ended)


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
        raise TimeoutError


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    """One warm process for the module."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.braket_child"]
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


@pytest.fixture
def desk(tmp_path: Path, braket: BraketEmulator) -> BraketDesk:
    return BraketDesk(tmp_path, braket, grace_seconds=_GRACE, call_seconds=_GRACE)


def require_one(desk: BraketDesk) -> None:
    """One task, billed once; the journal has its handle and the counts of both circuits."""
    (task,) = desk.emulator.tasks()
    lines = [json.loads(line) for line in (desk.folder / "journal").read_text().splitlines()]
    assert [line["handle"] for line in lines if "handle" in line] == [task["arn"]]
    assert lines[-1] == {"counts": [{"001": 20}, {"100": 20}]}
    assert task["billed"] == "0.358" and task["tags"]["gatehouse-key"] == KEY


MOMENTS = ["before-intent", "after-intent", "after-answer", "polling", "downloading", "storing"]


@pytest.mark.parametrize("dies", MOMENTS)
def test_a_death_between_calls(desk: BraketDesk, children: Children, dies: str) -> None:
    """It dies at a moment of its own; the next process makes no second task, or finds that there is none and makes it."""
    desk.emulator.conduct(queue_seconds=0.3 if dies == "polling" else 0.0)
    assert children.start(desk, dies=dies).wait() is None
    assert len(desk.emulator.tasks()) == (0 if dies.endswith("intent") else 1)
    assert children.start(desk).wait() == 0
    require_one(desk)


MEMORIES: dict[str, dict[str, Any]] = {"remembers": {}, "forgets-tokens": {"forget_tokens": True}, "search-lags": {"search_lag_seconds": 0.4}}
MEMORIES["forgets-and-lags"] = {**MEMORIES["forgets-tokens"], **MEMORIES["search-lags"]}


@pytest.mark.parametrize(("kind", "memory"), [*itertools.product(["hold-before", "hold-after"], MEMORIES), ("lose", "forgets-and-lags")])
def test_a_death_within_the_call(desk: BraketDesk, children: Children, kind: str, memory: str) -> None:
    """It dies while the service has its request: before the task is made (and made all the same, or lost), or before the answer."""
    desk.emulator.conduct(**MEMORIES[memory])
    desk.emulator.fault("CreateQuantumTask", kind)
    child = children.start(desk)
    desk.emulator.wait(lambda state: state["held"] == 1)
    assert len(desk.emulator.tasks()) == (kind == "hold-after")
    child.kill()
    desk.emulator.release()
    assert children.start(desk).wait() == 0
    require_one(desk)


def test_a_request_that_is_served_after_the_next_process_has_asked(desk: BraketDesk, children: Children) -> None:
    """Slower than the grace: the second process finds nothing and sends the same token; the first request then answers with its task."""
    desk.emulator.fault("CreateQuantumTask", "hold-before")
    child = children.start(desk)
    desk.emulator.wait(lambda state: state["held"] == 1)
    child.kill()
    assert children.start(desk).wait() == 0
    desk.emulator.release()
    desk.emulator.wait(lambda state: state["held"] == 0 and state["calls"]["CreateQuantumTask"] == 2)
    require_one(desk)


@pytest.mark.parametrize("memory", MEMORIES)
def test_two_submitters_at_once(desk: BraketDesk, children: Children, tmp_path: Path, memory: str) -> None:
    """Both have intended and neither knows of the other: one task, and both have its handle."""
    desk.emulator.conduct(**MEMORIES[memory])
    both = [children.start(desk, journal=str(tmp_path / name)) for name in ("journal", "journal-2")]
    assert [child.wait() for child in both] == [0, 0]
    require_one(desk)
    assert desk.emulator.tasks()[0]["arn"] in (tmp_path / "journal-2").read_text()


def test_a_clock_that_is_wrong(desk: BraketDesk, children: Children) -> None:
    """How long is searched S3's clock says, not this machine's: an intent that seems a week old finds its task, which is not shown yet."""
    desk.emulator.conduct(forget_tokens=True, search_lag_seconds=0.4)
    assert children.start(desk, dies="after-answer").wait() is None
    (desk.folder / "journal").write_text(json.dumps({"intended": time.time() - 10**6}) + "\n")
    assert children.start(desk).wait() == 0
    require_one(desk)
