"""Qiskit Aer in this process: the default backend, and the shortest example of a provider."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from prefect_gatehouse.errors import JobFailed
from prefect_gatehouse.providers.interface import BackendFacts, Connection, JobResult, JobStatus, Progress
from prefect_gatehouse.providers.simulator.job_store import JobStore
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.workload import circuits as form
from prefect_gatehouse.workload.counts import Counts

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

QUBITS = 28  # a state vector of 2^28 complex numbers is 4 GiB
_CHUNK = 200  # circuits between two progress reports: about a quarter of a second


class AerBackend:
    """State-vector simulation; one job holds any number of circuits."""

    def __init__(self, connection: Connection) -> None:
        self._jobs = JobStore(connection.folder, "aer", connection.sealer)

    def facts(self, lease: CredentialLease) -> BackendFacts:
        """What the backend is."""
        return BackendFacts("aer", "qiskit-aer", version("qiskit-aer"), QUBITS, True, 100_000)

    def price(self, circuits: int, shots: int, lease: CredentialLease) -> Decimal:
        """A local simulator bills nothing."""
        return Decimal(0)

    def encode(self, circuits: Sequence[QuantumCircuit], shots: int) -> bytes:
        """One job's payload; what the backend can't run is refused here, before anything is intended."""
        form.require_fit(circuits, "aer", QUBITS)
        return form.encode(circuits, shots)

    def payload_text(self, payload: bytes) -> str:
        """The payload as the simulator reads it."""
        return form.text_of(payload)

    def submit(self, payload: bytes, key: str, lease: CredentialLease) -> str:
        """Stores the job."""
        return self._jobs.submit(payload, key)

    def find_by_key(self, key: str, lease: CredentialLease) -> str | None:
        """The stored job of a key."""
        return self._jobs.find(key)

    def status(self, handle: str, lease: CredentialLease) -> JobStatus:
        """There is no queue: a job that is there runs when its result is asked for."""
        return self._jobs.status(handle)

    def result(self, handle: str, lease: CredentialLease, progress: Progress | None = None) -> JobResult:
        """Runs the job if it has not run, and returns its counts."""
        return self._jobs.result(handle, _execute, progress)

    def cancel(self, handle: str, lease: CredentialLease) -> bool:
        """Forgets a job that has not run."""
        return self._jobs.cancel(handle)

    def delete(self, handle: str, lease: CredentialLease) -> str:
        """Removes the job."""
        return self._jobs.delete(handle)


def _execute(payload: bytes, seed: int, progress: Progress) -> Sequence[Counts]:
    from qiskit import transpile
    from qiskit.exceptions import QiskitError
    from qiskit_aer import AerSimulator

    circuits, shots = form.decode(payload)
    # Fusion and threads cost more than they bring for thousands of small circuits; experiments run in parallel instead.
    simulator = AerSimulator(method="statevector", seed_simulator=seed, max_parallel_experiments=0, fusion_enable=False)
    native = set(simulator.operation_names)
    to_native = partial(transpile, backend=simulator, optimization_level=0)
    counts: list[Counts] = []
    try:
        for start in range(0, len(circuits), _CHUNK):
            chunk = [item if native.issuperset(item.count_ops()) else to_native(item) for item in circuits[start : start + _CHUNK]]
            result = simulator.run(chunk, shots=shots, seed_simulator=seed + start).result()
            if not result.success:
                raise QiskitError("failed")
            counts.extend({key.replace(" ", ""): int(value) for key, value in result.get_counts(index).items()} for index in range(len(chunk)))
            progress(len(counts), len(circuits))
    except QiskitError:  # the base of Aer's own
        raise JobFailed("the simulator reports the job as failed", where="aer", advice="check the circuits' width and gates") from None
    return counts
