"""The kill matrix at a service without idempotency tokens: whatever dies when, it has made one job, and the next process has its result.

Every row kills a real process with SIGKILL, then starts another that knows nothing but the journal; what was made is counted at the service.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prefect_gatehouse.testing import IBMEmulator
from tests.support.children import KEY, Children, warm_children
from tests.support.ibm_desk import IBMDesk

_GRACE = 1.0
_LONG = 60.0
CREATE = "create_job"
SECONDS = 2  # that the machine is held by two circuits of 20 shots


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    """One warm process for the module."""
    with warm_children("ibm_child") as warm:
        yield warm


@pytest.fixture
def desk(tmp_path: Path, ibm: IBMEmulator) -> IBMDesk:
    return IBMDesk(tmp_path, ibm, grace_seconds=_GRACE, call_seconds=_GRACE)


def require_result(desk: IBMDesk, journal: str = "journal") -> str:
    """The journal has one handle and the counts of both circuits; gives the handle."""
    lines = [json.loads(line) for line in (desk.folder / journal).read_text().splitlines()]
    (handle,) = [line["handle"] for line in lines if "handle" in line]
    assert lines[-1] == {"counts": [{"001": 20}, {"100": 20}]}
    return str(handle)


def require_one(desk: IBMDesk) -> None:
    """One job, billed once, with the key among its tags."""
    (job,) = desk.emulator.jobs()
    assert job["id"] == require_result(desk)
    assert job["seconds"] == SECONDS and f"gatehouse-key:{KEY}" in job["tags"]


MOMENTS = ["before-intent", "after-intent", "after-answer", "polling", "downloading", "storing"]


@pytest.mark.parametrize("dies", MOMENTS)
def test_a_death_between_calls(desk: IBMDesk, children: Children, dies: str) -> None:
    """It dies at a moment of its own; the next process makes no second job, or finds that there is none and makes it."""
    desk.emulator.conduct(queue_seconds=0.3 if dies == "polling" else 0.0)
    assert children.start(desk, dies=dies).wait() is None
    assert len(desk.emulator.jobs()) == (0 if dies.endswith("intent") else 1)
    assert children.start(desk).wait() == 0
    require_one(desk)


LISTS: dict[str, dict[str, Any]] = {"at-once": {}, "lags": {"search_lag_seconds": 0.5}}


WITHIN = [*itertools.product(["same"], ["hold-before", "hold-after"], LISTS), ("same", "lose", "lags")]
WITHIN += [("another", kind, "lags") for kind in ("hold-before", "hold-after", "lose")]


@pytest.mark.parametrize(("host", "kind", "shown"), WITHIN)
def test_a_death_within_the_call(desk: IBMDesk, children: Children, tmp_path: Path, host: str, kind: str, shown: str) -> None:
    """It dies while the service has its request: before the job is made (and made all the same, or lost), or before the answer."""
    desk.emulator.conduct(**LISTS[shown])
    desk.emulator.fault(CREATE, kind)
    child = children.start(desk)
    desk.emulator.wait(lambda state: state["held"] == 1)
    assert len(desk.emulator.jobs()) == (kind == "hold-after")
    child.kill()
    desk.emulator.release()
    # Another host knows what the journal says, and none of this one's notes.
    elsewhere = {"folder": str(tmp_path / "elsewhere")} if host == "another" else {}
    assert children.start(desk, **elsewhere).wait() == 0
    require_one(desk)


@pytest.mark.parametrize("shown", LISTS)
def test_two_submitters_at_once(desk: IBMDesk, children: Children, shown: str) -> None:
    """Two processes of a host, both have intended and neither knows of the other: one job, and both have its handle."""
    desk.emulator.conduct(**LISTS[shown])
    both = [children.start(desk, journal=str(desk.folder / name)) for name in ("journal", "journal-2")]
    assert [child.wait() for child in both] == [0, 0]
    require_one(desk)
    assert require_result(desk) == require_result(desk, "journal-2")


def test_a_clock_that_is_wrong(desk: IBMDesk, children: Children) -> None:
    """How long is searched a clock says that nobody sets: an intent that seems a week old finds its job, which is not shown yet."""
    desk.emulator.conduct(search_lag_seconds=0.5)
    assert children.start(desk, dies="after-answer").wait() is None
    (desk.folder / "journal").write_text(json.dumps({"intended": time.time() - 10**6}) + "\n")
    assert children.start(desk).wait() == 0
    require_one(desk)


@pytest.mark.parametrize("shown", LISTS)
def test_a_process_that_was_stopped_before_it_sent(desk: IBMDesk, children: Children, shown: str) -> None:
    """What cannot be excluded, 1: its request lies at the service while another process takes over. It sees both jobs and cancels its own."""
    desk.emulator.conduct(queue_seconds=_LONG, **LISTS[shown])
    desk.emulator.fault(CREATE, "hold-before")
    # It waits for its answer longer than a busy machine takes to stop it, and the queue is as long as it takes to cancel.
    patient = desk.settings | {"grace_seconds": _LONG, "call_seconds": _LONG}
    stopped = children.start(desk, journal=str(desk.folder / "journal-2"), settings=patient)
    desk.emulator.wait(lambda state: state["held"] == 1)
    os.kill(stopped.pid, signal.SIGSTOP)
    other = children.start(desk)
    desk.emulator.wait(lambda state: len(state["jobs"]) == 1)
    time.sleep(LISTS[shown].get("search_lag_seconds", 0.0))
    desk.emulator.release()
    desk.emulator.wait(lambda state: len(state["jobs"]) == 2)
    os.kill(stopped.pid, signal.SIGCONT)
    desk.emulator.wait(lambda state: state["jobs"][1]["status"] == "Cancelled")
    desk.emulator.conduct(queue_seconds=0.0, **LISTS[shown])
    assert [other.wait(), stopped.wait()] == [0, 0]
    first, second = desk.emulator.jobs()
    assert (first["status"], second["status"]) == ("Completed", "Cancelled") and first["seconds"] + second["seconds"] == SECONDS
    assert first["id"] == require_result(desk) == require_result(desk, "journal-2")


@pytest.mark.parametrize("waits", [True, False], ids=["waits", "has-run"])
def test_a_request_that_is_served_after_the_next_process_has_asked(desk: IBMDesk, children: Children, waits: bool) -> None:
    """What cannot be excluded, 2: nobody is left to see the second job when it is made. With the result it is seen: cancelled, or on the bill."""
    desk.emulator.fault(CREATE, "hold-before")
    child = children.start(desk)
    desk.emulator.wait(lambda state: state["held"] == 1)
    child.kill()
    assert children.start(desk, dies="downloading").wait() is None
    desk.emulator.conduct(queue_seconds=60 if waits else 0)
    desk.emulator.release()
    desk.emulator.wait(lambda state: len(state["jobs"]) == 2 and (waits or state["jobs"][1]["status"] == "Completed"))
    first = desk.emulator.jobs()[0]
    result = desk.backend().result(first["id"], desk.lease)
    assert desk.emulator.jobs()[1]["status"] == ("Cancelled" if waits else "Completed")
    assert result.cost == Decimal("1.6") * (SECONDS if waits else 2 * SECONDS)
    assert [dict(each) for each in result.counts] == [{"001": 20}, {"100": 20}]
    assert desk.backend().delete(first["id"], desk.lease) == "" and desk.emulator.jobs() == []
