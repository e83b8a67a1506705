"""A piece of work on prefect-qiskit 0.2.1: a flow whose circuit goes through a ``QuantumRuntime`` with a runtime client for Amazon Braket.

prefect-qiskit has no client for Braket, so this is one as its interface asks for it, over boto3 with boto3's own client tokens and retries; errors
are turned into ``RuntimeJobFailure`` as the package's client for IBM Quantum does. Retries and everything else of the runtime are the default, but
for the 300 seconds between two tries, which nobody would wait for here. Runs in an environment of its own (``prefect_qiskit.in``).
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import boto3
from botocore.exceptions import BotoCoreError, ClientError
from once.warm import serve, write_answer
from once.work import QUBITS, SHOTS, bits_of
from prefect import flow
from prefect.blocks.abstract import CredentialsBlock
from prefect_qiskit import QuantumRuntime
from prefect_qiskit.exceptions import RuntimeJobFailure
from prefect_qiskit.models import JobMetrics
from qiskit import QuantumCircuit
from qiskit.primitives import BitArray, DataBin, PrimitiveResult, SamplerPubResult
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.transpiler import Target

_STATES: dict[str, Literal["QUEUED", "RUNNING", "COMPLETED"]] = {
    "CREATED": "QUEUED",
    "QUEUED": "QUEUED",
    "RUNNING": "RUNNING",
    "COMPLETED": "COMPLETED",
}


class BraketClient:
    """The runtime client interface, version 1, on Amazon Braket."""

    def __init__(self, device: str, bucket: str) -> None:
        self._device, self._bucket = device, bucket

    @cached_property
    def _braket(self) -> Any:
        return boto3.Session().client("braket")

    @cached_property
    def _s3(self) -> Any:
        return boto3.Session().client("s3")

    @staticmethod
    async def _called(call: Callable[..., Any], **parameters: Any) -> Any:
        try:
            return await asyncio.to_thread(call, **parameters)
        except (ClientError, BotoCoreError) as error:
            raise RuntimeJobFailure(reason=type(error).__name__, retry=True) from None

    async def check_resource_available(self, resource_name: str) -> bool:
        """Whether the device is online."""
        answer = await self._called(self._braket.get_device, deviceArn=self._device)
        return bool(answer["deviceStatus"] == "ONLINE")

    async def get_resources(self) -> list[str]:
        """The one device."""
        return ["garnet"]

    async def get_target(self, resource_name: str) -> Target:
        """What a user would transpile for; the circuits here are run as they are."""
        return Target(num_qubits=QUBITS)

    async def run_primitive(self, program_id: str, inputs: list[SamplerPub], resource_name: str, options: dict[str, Any]) -> str:
        """Makes a task."""
        (pub,) = inputs
        program = {"braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"}, "source": _openqasm(pub.circuit), "inputs": {}}
        answer = await self._called(
            self._braket.create_quantum_task,
            deviceArn=self._device,
            shots=pub.shots or SHOTS,
            action=json.dumps(program),
            outputS3Bucket=self._bucket,
            outputS3KeyPrefix="prefect-qiskit",
            tags=options["tags"],
        )
        return str(answer["quantumTaskArn"])

    async def get_job_status(self, job_id: str) -> str:
        """Where a task is."""
        task = await self._called(self._braket.get_quantum_task, quantumTaskArn=job_id)
        if task["status"] not in _STATES:
            raise RuntimeJobFailure(reason=f"the task is {task['status']}", job_id=job_id, retry=task["status"] == "FAILED")
        return _STATES[task["status"]]

    async def get_primitive_result(self, job_id: str) -> PrimitiveResult:
        """The counts of a task that has ended."""
        task = await self._called(self._braket.get_quantum_task, quantumTaskArn=job_id)
        answer = await self._called(self._s3.get_object, Bucket=task["outputS3Bucket"], Key=f"{task['outputS3Directory']}/results.json")
        document = json.loads(answer["Body"].read())
        rows = document["measurements"]
        counts = Counter("".join(str(bit) for bit in reversed(row)) for row in rows)
        data = DataBin(meas=BitArray.from_counts(counts, num_bits=QUBITS))
        return PrimitiveResult([SamplerPubResult(data)], metadata={"job_id": job_id})

    async def get_job_metrics(self, job_id: str) -> JobMetrics:
        """When it was made and when it ended."""
        task = await self._called(self._braket.get_quantum_task, quantumTaskArn=job_id)
        return JobMetrics(qpu_usage=None, timestamp_created=task["createdAt"], timestamp_started=None, timestamp_completed=task.get("endedAt"))


def _openqasm(circuit: QuantumCircuit) -> str:
    """A circuit of rotations, measured whole, in the service's language."""
    gates = [
        f"rx({float(item.operation.params[0])!r}) q[{circuit.find_bit(item.qubits[0]).index}];"
        for item in circuit.data
        if item.operation.name == "rx"
    ]
    return "\n".join(["OPENQASM 3.0;", f"bit[{QUBITS}] b;", f"qubit[{QUBITS}] q;", *gates, *(f"b[{n}] = measure q[{n}];" for n in range(QUBITS))])


class BraketCredentials(CredentialsBlock):
    """The block that gives the client."""

    device: str
    bucket: str

    def get_client(self) -> BraketClient:
        """A client."""
        return BraketClient(self.device, self.bucket)


class BraketRuntime(QuantumRuntime):
    """The runtime, whose own list of vendors is closed."""

    credentials: CredentialsBlock  # type: ignore[assignment]


@flow(name="prefect-qiskit-braket")
def one_piece(device: str, bucket: str, piece: int) -> tuple[str, dict[str, int]]:
    """Samples the piece's circuit."""
    runtime = BraketRuntime(resource_name="garnet", credentials=BraketCredentials(device=device, bucket=bucket), retry_delay=1)
    circuit = QuantumCircuit(QUBITS)
    for qubit, bit in enumerate(bits_of(piece)):
        circuit.rx(math.pi * int(bit), qubit)
    circuit.measure_all()
    result = runtime.sampler([(circuit, None, SHOTS)], options={"tags": {"piece": str(piece)}})
    return result.metadata["job_id"], {bits[::-1]: number for bits, number in result[0].data.meas.get_counts().items()}


def act(order: dict[str, Any]) -> None:
    """One run of the flow; who restarts it runs it anew."""
    os.environ.update(order["environment"])
    handle, counts = one_piece(order["device"], order["bucket"], order["piece"])
    write_answer(Path(order["answers"]) / f"{order['piece']}.json", {"handles": [handle], "counts": counts})


if __name__ == "__main__":
    serve(act)
