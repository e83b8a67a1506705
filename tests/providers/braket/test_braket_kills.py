"""The kill matrix at the provider: whatever dies when, the service has made one task, and the next process has its result.

Every row kills a real process with SIGKILL, then starts another that knows nothing but the journal; what was made is counted at the service.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prefect_gatehouse.testing import BraketEmulator
from tests.support.braket_desk import BraketDesk
from tests.support.children import KEY, Children, warm_children

_GRACE = 1.2


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    """One warm process for the module."""
    with warm_children("braket_child") as warm:
        yield warm


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
