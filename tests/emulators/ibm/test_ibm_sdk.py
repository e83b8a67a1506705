"""The unmodified SDK at the emulator: it signs in, finds instance and machine, runs PUBs, waits, reads, cancels, deletes."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.transpiler import generate_preset_pass_manager

from prefect_gatehouse.testing import IBMEmulator, ibm_emulator
from prefect_gatehouse.testing.ibm import MACHINE
from tests.providers.circuits import distance, flipped

pytestmark = pytest.mark.filterwarnings("ignore:The SamplerV2 class is deprecated:DeprecationWarning")


def service_at(emulator: IBMEmulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The SDK, which knows nothing but its environment."""
    from qiskit_ibm_runtime import QiskitRuntimeService

    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    return QiskitRuntimeService()


@pytest.fixture
def service(ibm: IBMEmulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    return service_at(ibm, monkeypatch)


def sampler(backend: Any, *tags: str) -> Any:
    from qiskit_ibm_runtime import SamplerV2

    return SamplerV2(mode=backend, options={"environment": {"job_tags": list(tags)}})


def written_for(backend: Any, circuit: QuantumCircuit) -> QuantumCircuit:
    return generate_preset_pass_manager(2, target=backend.target, seed_transpiler=1).run(circuit)


def test_instance_and_machine(service: Any, ibm: IBMEmulator) -> None:
    """Found through IAM, the search and the catalogue; the machine has its configuration, its calibration and its queue."""
    assert [instance["crn"] for instance in service.instances()] == [ibm.instance] and service.usage()["usage_consumed_seconds"] == 0
    backend = service.backend(MACHINE)
    assert (backend.num_qubits, backend.target.num_qubits, len(backend.coupling_map.get_edges())) == (133, 133, 300)
    assert backend.properties().t1(3) > 0 and 0 < backend.target["measure"][(3,)].error < 0.5
    ibm.device(queue=17)
    assert (backend.status().pending_jobs, backend.status().operational) == (17, True)
    assert service.least_busy().name == MACHINE


def test_the_calibration_of_a_time(service: Any, ibm: IBMEmulator) -> None:
    """The one that held then, not the newest."""
    backend = service.backend(MACHINE)
    before, then = backend.properties().last_update_date, datetime.now(UTC)
    ibm.device(properties={"last_update_date": "2026-11-29T00:00:00+00:00"})
    assert backend.properties(datetime=then).last_update_date == before
    assert backend.properties(refresh=True).last_update_date == datetime(2026, 11, 29, tzinfo=UTC)


def test_a_sweep_and_a_circuit(service: Any, ibm: IBMEmulator) -> None:
    """A PUB with an array of angles beside one without; bits, shots and times as the SDK gives them."""
    backend = service.backend(MACHINE)
    circuit = QuantumCircuit(2, 2)
    for qubit, angle in enumerate(ParameterVector("t", 2)):
        circuit.rx(angle, qubit)
    circuit.measure(range(2), range(2))
    angles = np.array([[0, math.pi], [math.pi, 0], [0, 0]])
    job = sampler(backend, "mine").run([(written_for(backend, circuit), angles), written_for(backend, flipped(3, 0))], shots=20)
    sweep, alone = job.result()
    assert [sweep.data.c[place].get_counts() for place in range(3)] == [{"10": 20}, {"01": 20}, {"00": 20}]
    assert alone.data.c.get_counts() == {"001": 20}
    metrics = job.metrics()
    assert job.usage() == metrics["usage"]["quantum_seconds"] == 2 and metrics["timestamps"]["finished"]
    assert job.properties().backend_name == MACHINE
    (told,) = ibm.jobs()
    assert (told["id"], told["tags"], told["pubs"], told["circuits"], told["executions"]) == (job.job_id(), ["mine"], 2, 4, 80)
    assert job.inputs["pubs"][0][1].shape == (3, 2)


def test_listed_by_tag(service: Any, ibm: IBMEmulator) -> None:
    """All tags have to match; pages, order, what waits and what has ended; a new job may be missing for a while."""
    backend = service.backend(MACHINE)
    circuit = written_for(backend, flipped(1, 0))
    ended = sampler(backend, "ours", "a").run([circuit], shots=1)
    ended.result()
    ibm.conduct(queue_seconds=60)
    waiting = [sampler(backend, "ours", tag).run([circuit], shots=1) for tag in "bc"]

    def listed(**filters: Any) -> list[str]:
        return [job.job_id() for job in service.jobs(**filters)]

    names = [job.job_id() for job in waiting]
    assert listed(job_tags=["ours"]) == [*names[::-1], ended.job_id()] and listed(job_tags=["ours", "b"]) == names[:1]
    assert listed(job_tags=["ours"], limit=1, skip=1) == names[:1] and listed(job_tags=["ours"], limit=None, descending=False)[-1] == names[1]
    assert listed(pending=True) == names[::-1] and listed(pending=False) == [ended.job_id()] and listed(job_tags=["theirs"]) == []
    ibm.conduct(search_lag_seconds=60)
    assert listed() == []


def test_cancelled_and_deleted(service: Any, ibm: IBMEmulator) -> None:
    """In the queue a job has a place there and can be cancelled; one that has ended can be deleted, and is gone."""
    from qiskit_ibm_runtime import RuntimeInvalidStateError, RuntimeJobNotFound

    backend = service.backend(MACHINE)
    circuit = written_for(backend, flipped(1, 0))
    ibm.conduct(queue_seconds=60)
    job = sampler(backend).run([circuit], shots=1)
    assert job.status() == "QUEUED" and job.metrics()["position_in_queue"] == 1
    job.cancel()
    assert job.status() == "CANCELLED"
    with pytest.raises(RuntimeInvalidStateError):
        job.cancel()
    service.delete_job(job.job_id())
    with pytest.raises(RuntimeJobNotFound):
        service.job(job.job_id())


def test_jobs_that_fail(service: Any, ibm: IBMEmulator) -> None:
    """The reason is told: made to fail, not written for the machine, longer than it may be, the machine retired meanwhile."""
    from qiskit_ibm_runtime import RuntimeJobFailureError, RuntimeJobMaxTimeoutError, SamplerV2

    backend = service.backend(MACHINE)
    circuit = written_for(backend, flipped(1, 0))
    ibm.conduct(fail_jobs=1)
    with pytest.raises(RuntimeJobFailureError, match="made to fail"):
        sampler(backend).run([circuit], shots=1).result()
    raw = QuantumCircuit(1, 1)
    raw.h(0)
    raw.measure(0, 0)
    name = service._active_api_client.program_run("sampler", MACHINE, {"pubs": [(raw, [], 5)]}, None, None, None)["id"]
    failed = ibm.wait(lambda state: state["jobs"][-1]["status"] == "Failed")["jobs"][-1]
    assert failed["id"] == name and "The instruction h" in failed["reason"]
    with pytest.raises(RuntimeJobMaxTimeoutError):
        SamplerV2(mode=backend, options={"max_execution_time": 1}).run([circuit], shots=5000).result()
    ibm.conduct(queue_seconds=60)
    waiting = sampler(backend).run([circuit], shots=1)
    ibm.device(status="retired")
    assert waiting.status() == "ERROR" and "retired" in str(waiting.error_message())


def test_refused(service: Any, ibm: IBMEmulator) -> None:
    """An instance that has met its limit takes no jobs; an API key that nobody knows opens nothing."""
    from qiskit_ibm_runtime import IBMRuntimeError, QiskitRuntimeService

    backend = service.backend(MACHINE)
    circuit = written_for(backend, flipped(1, 0))
    sampler(backend).run([circuit], shots=1).result()
    ibm.conduct(usage_limit_seconds=1)
    refused = sampler(backend)
    with pytest.warns(UserWarning, match="usage limit"), pytest.raises(IBMRuntimeError, match="409"):
        refused.run([circuit], shots=1)
    assert len(ibm.jobs()) == 1
    with pytest.raises(Exception, match="API token"):
        QiskitRuntimeService(token="wrong", url=ibm.environment["QISKIT_IBM_URL"], channel="ibm_quantum_platform")


def test_the_sdk_s_own_client_makes_two_of_one(service: Any, ibm: IBMEmulator) -> None:
    """Why ours is another: a 500 after the job was made, and the SDK's session sends it again."""
    backend = service.backend(MACHINE)
    circuit = written_for(backend, flipped(1, 0))
    ibm.fault("create_job", "error-after")
    sampler(backend, "one").run([circuit], shots=1)
    assert [job["tags"] for job in ibm.jobs()] == [["one"], ["one"]]


def test_noise_of_the_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with noise errs about as its calibration says: visible, and far from useless."""
    with ibm_emulator() as noisy:
        service = service_at(noisy, monkeypatch)
        backend = service.backend(MACHINE)
        circuit = QuantumCircuit(2, 2)
        circuit.h(0)
        circuit.cx(0, 1)
        circuit.measure(range(2), range(2))
        counts = sampler(backend).run([written_for(backend, circuit)], shots=4000).result()[0].data.c.get_counts()
    assert 0.005 < distance(counts, {"00": 0.5, "11": 0.5}) < 0.15
