"""What a device says of itself now, and where many tasks are, in few calls."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from prefect_gatehouse.errors import Unavailable
from prefect_gatehouse.providers.interface import JobStatus, ListsJobs, SaysBill
from prefect_gatehouse.testing.braket import MACHINE, SIMULATOR
from tests.providers.circuits import BACKENDS, LEASE, flipped
from tests.providers.circuits import Desk as LocalDesk
from tests.support.braket_desk import BraketDesk

ACTION = json.dumps({"braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"}, "source": "OPENQASM 3.0; qubit[1] q; x q[0];"})


def made(desk: BraketDesk, number: int) -> list[str]:
    """Tasks of ours, made without us."""
    client, bucket = desk.emulator.client("braket"), desk.settings["bucket"]
    asked = {"deviceArn": MACHINE, "shots": 1, "action": ACTION, "outputS3Bucket": bucket, "outputS3KeyPrefix": "x"}
    tags = [{"gatehouse-key": f"run:0:{each}:0"} for each in range(number)]
    return [client.create_quantum_task(clientToken=str(each), tags=tag, **asked)["quantumTaskArn"] for each, tag in enumerate(tags)]


def test_a_device_as_it_is_now(desk: BraketDesk) -> None:
    """Online or not, its queue, and the calibration with its time; a managed simulator has none."""
    found = desk.backend().state(desk.lease)
    assert (found.online, found.queue, found.calibrated) == (True, 3, datetime(2026, 11, 1, tzinfo=UTC))
    assert "standardized" in json.loads(found.calibration)
    desk.emulator.device(status="OFFLINE", queue=">4000")
    found = desk.backend().state(desk.lease)
    assert (found.online, found.queue) == (False, 4000)
    found = desk.backend(device_arn=SIMULATOR).state(desk.lease)
    assert (found.online, found.calibrated, found.calibration) == (True, None, b"")


def test_many_tasks_in_few_calls(desk: BraketDesk) -> None:
    """250 tasks are four calls; one that the service does not know is absent, and so are most of those that its search does not show yet."""
    desk.emulator.conduct(queue_seconds=600)
    handles = made(desk, 250)
    desk.emulator.client("braket").cancel_quantum_task(quantumTaskArn=handles[7])
    before = sum(desk.emulator.state()["calls"].values())
    found = desk.backend().statuses(handles, desk.lease)
    assert sum(desk.emulator.state()["calls"].values()) - before == 4
    assert list(found) == handles and found[handles[7]] == JobStatus("cancelled")
    assert {found[handle].state for handle in handles if handle != handles[7]} == {"queued"}
    unknown = handles[0][:-4] + "0000"
    assert set(desk.backend().statuses([*handles[:3], unknown], desk.lease)) == set(handles[:3])
    desk.emulator.conduct(search_lag_seconds=600)
    assert len(desk.backend().statuses(handles, desk.lease)) == 10
    desk.emulator.fault("GetQuantumTask", "error", times=3)
    with pytest.raises(Unavailable):
        desk.backend().statuses(handles[:1], desk.lease)


def test_what_a_task_has_cost(desk: BraketDesk) -> None:
    """Nothing before it has ended, nothing where it was cancelled in its queue; otherwise what the service bills."""
    backend = desk.backend()
    ended = desk.submit([flipped(1)])
    desk.ready(ended)
    desk.emulator.conduct(queue_seconds=600)
    waiting = desk.submit([flipped(1)], key="run:0:1:0")
    assert backend.billed(waiting, desk.lease) is None
    backend.cancel(waiting, desk.lease)
    assert backend.billed(waiting, desk.lease) == 0
    assert str(backend.billed(ended, desk.lease)).rstrip("0") == desk.emulator.tasks()[0]["billed"].rstrip("0")
    assert isinstance(backend, ListsJobs) and isinstance(backend, SaysBill)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_simulator_is_always_there(backend: str, tmp_path: object) -> None:
    """No queue, no calibration, and each of its jobs where it is."""
    local = LocalDesk(tmp_path, backend)  # type: ignore[arg-type]
    provider = local.provider()
    state = provider.state(LEASE)
    assert (state.online, state.queue, state.calibration) == (True, 0, b"")
    handle = local.submit([flipped(1)])
    assert provider.statuses([handle], LEASE) == {handle: JobStatus("ready")}
