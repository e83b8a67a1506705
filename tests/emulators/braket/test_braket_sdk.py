"""The unmodified Braket SDK at the emulator: it finds devices, runs circuits and program sets, waits, reads, cancels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from prefect_gatehouse.testing import BraketEmulator, braket_emulator
from prefect_gatehouse.testing.braket import CEPHEUS, FORTE, MACHINE, SIMULATOR
from tests.providers.circuits import distance


@pytest.fixture
def environment(braket: BraketEmulator, monkeypatch: pytest.MonkeyPatch) -> BraketEmulator:
    """The SDK finds the emulator where its environment says."""
    for name, value in braket.environment.items():
        monkeypatch.setenv(name, value)
    return braket


def test_devices(environment: BraketEmulator) -> None:
    """Found by name, with properties in the SDK's own classes, connectivity, queue and status."""
    from braket.aws import AwsDevice

    (machine,) = AwsDevice.get_devices(provider_names=["IQM"])
    assert (machine.arn, machine.status, machine.is_available) == (MACHINE, "ONLINE", True)
    assert machine.properties.action["braket.ir.openqasm.program_set"].maximumExecutables == 100
    assert machine.properties.paradigm.nativeGateSet == ["cz", "prx"] and len(machine.topology_graph) == 20
    assert machine.queue_depth().quantum_tasks
    environment.device(status="OFFLINE", queue=17)
    machine.refresh_metadata()
    assert machine.status == "OFFLINE" and "17" in str(machine.queue_depth())
    assert AwsDevice(SIMULATOR).properties.paradigm.qubitCount == 34


@pytest.mark.parametrize("arn", [MACHINE, SIMULATOR])
def test_a_circuit(environment: BraketEmulator, arn: str) -> None:
    """To the SDK's default bucket, which it makes through STS and S3."""
    from braket.aws import AwsDevice
    from braket.circuits import Circuit

    task = AwsDevice(arn).run(Circuit().x(0).cnot(0, 1).i(2), shots=30, tags={"a": "b"})
    result = task.result()
    assert result.measurement_counts == {"110": 30} and task.metadata()["tags"] == {"a": "b"}
    assert task.state() == "COMPLETED" and result.task_metadata.id == task.id
    assert task.queue_position().queue_position is None


@pytest.mark.parametrize(
    ("arn", "right", "wrong"),
    [
        (CEPHEUS, lambda box: box.rx(0, math.pi).rz(0, 0.3).cz(0, 1).rx(1, -math.pi / 2).rx(1, math.pi / 2), lambda box: box.rx(0, 0.3)),
        (FORTE, lambda box: box.gpi(0, 0.4).zz(0, 1, math.pi / 2).gpi(1, 0).gpi(1, 0.2), lambda box: box.ms(0, 1, 0, 0)),
    ],
)
def test_a_verbatim_box(environment: BraketEmulator, arn: str, right: Callable[[Any], Any], wrong: Callable[[Any], Any]) -> None:
    """As the SDK writes one for Rigetti's and IonQ's machines, in their own regions: run as it stands, or refused before there is a task."""
    from botocore.exceptions import ClientError
    from braket.aws import AwsDevice
    from braket.circuits import Circuit

    device = AwsDevice(arn)
    assert device.properties.paradigm.qubitCount == len(device.topology_graph)
    result = device.run(Circuit().add_verbatim_box(right(Circuit())), shots=100, disable_qubit_rewiring=True).result()
    assert result.measurement_counts == {"10": 100}
    with pytest.raises(ClientError, match="a gate in a verbatim box"):
        device.run(Circuit().add_verbatim_box(wrong(Circuit())), shots=100, disable_qubit_rewiring=True)
    assert len(environment.tasks()) == 1


def test_a_program_set(environment: BraketEmulator) -> None:
    """Each binding's inputs, in order; the metadata counts programs and executables."""
    from braket.aws import AwsDevice
    from braket.circuits import Circuit, FreeParameter
    from braket.program_sets import CircuitBinding, ProgramSet

    sweep = CircuitBinding(Circuit().rx(0, FreeParameter("a")).cnot(0, 1), input_sets={"a": [0, math.pi, 0]})
    task = AwsDevice(MACHINE).run(ProgramSet([sweep, Circuit().x(1).i(0)], shots_per_executable=20))
    found = [[dict(each.counts) for each in program.entries] for program in task.result().entries]
    assert found == [
        [{"00": 20}, {"11": 20}, {"00": 20}],
        [{"01": 20}],
    ]
    metadata = task.metadata()
    assert metadata["actionMetadata"] == {"actionType": "braket.ir.openqasm.program_set", "programCount": 2, "executableCount": 4}
    assert metadata["numSuccessfulShots"] == 80


def test_a_partially_failed_set(environment: BraketEmulator) -> None:
    """As the SDK tells it: the executables that failed carry their reason."""
    from braket.aws import AwsDevice
    from braket.circuits import Circuit
    from braket.program_sets import ProgramSet

    environment.conduct(fail_executables=1)
    task = AwsDevice(MACHINE).run(ProgramSet([Circuit().x(0), Circuit().x(0)], shots_per_executable=10))
    result = task.result()
    assert result.num_executables == 2 and result.task_metadata.totalFailedExecutables == 1
    assert "broke off" in str(result.entries[1].entries[0]) and task.metadata()["numSuccessfulShots"] == 10


def test_a_failed_task_has_no_result(environment: BraketEmulator) -> None:
    """``result()`` gives None, as the service does."""
    from braket.aws import AwsDevice
    from braket.circuits import Circuit

    environment.conduct(fail_tasks=1)
    task = AwsDevice(MACHINE).run(Circuit().x(0), shots=10)
    assert task.result() is None and "made to fail" in task.metadata()["failureReason"]


def test_cancelled_in_the_queue(environment: BraketEmulator) -> None:
    """The SDK sees its place in the queue, and the task ends without a result."""
    from braket.aws import AwsDevice
    from braket.circuits import Circuit

    environment.conduct(queue_seconds=60)
    task = AwsDevice(MACHINE).run(Circuit().x(0), shots=10)
    assert task.state() == "QUEUED" and task.queue_position().queue_position == "1"
    task.cancel()
    assert task.state() == "CANCELLED" and task.result() is None


def test_a_chosen_token_through_the_sdk(environment: BraketEmulator) -> None:
    """The SDK sends a token of its own; an event of the boto3 session puts another in its place, and two runs are one task."""
    import boto3
    from braket.aws import AwsDevice, AwsSession
    from braket.circuits import Circuit

    def inject(params: dict[str, Any], **_: object) -> dict[str, Any]:
        return {**params, "clientToken": "chosen"}

    session = boto3.Session(region_name="eu-north-1")
    session.events.register("provide-client-params.braket.CreateQuantumTask", inject)
    device = AwsDevice(MACHINE, AwsSession(boto_session=session))
    circuit = Circuit().x(0)
    assert device.run(circuit, shots=10).id == device.run(circuit, shots=10).id
    assert [task["token"] for task in environment.tasks()] == ["chosen"]


def test_noise_of_the_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with noise errs about as often as its calibration says: visible, and far from useless."""
    from braket.aws import AwsDevice
    from braket.circuits import Circuit

    with braket_emulator() as noisy:
        for name, value in noisy.environment.items():
            monkeypatch.setenv(name, value)
        counts = AwsDevice(MACHINE).run(Circuit().h(0).cnot(0, 1), shots=4000).result().measurement_counts
    # Two read-outs of 2.7 % each put about 5 % of the shots beside 00 and 11; sampling adds a third of a per cent.
    assert 0.025 < distance(counts, {"00": 0.5, "11": 0.5}) < 0.10
