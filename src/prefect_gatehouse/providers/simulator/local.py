"""What the simulators on this machine share: jobs in a store, no queue, no bill; a subclass says what it is and runs a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from decimal import Decimal
from importlib.metadata import version
from typing import ClassVar

from prefect_gatehouse.providers.interface import BackendFacts, Connection, DeviceState, JobResult, JobStatus, Prepared, Progress
from prefect_gatehouse.providers.preparation import as_it_is
from prefect_gatehouse.providers.simulator.job_store import JobStore
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.workload import plain_form
from prefect_gatehouse.workload.batch import CircuitBatch, require_fit
from prefect_gatehouse.workload.counts import Counts


class LocalSimulator(ABC):
    """A backend in this process."""

    name: ClassVar[str]
    package: ClassVar[str]
    """The distribution that simulates."""
    qubits: ClassVar[int]
    circuits_per_job: ClassVar[int]

    def __init__(self, connection: Connection) -> None:
        self._jobs = JobStore(connection.folder, self.name, connection.sealer)

    @abstractmethod
    def execute(self, batch: CircuitBatch, shots: int, seed: int, progress: Progress) -> Sequence[Counts]:
        """Runs circuits and gives each one's counts.

        Raises:
            JobFailed: The simulator can't.
        """

    def require_runnable(self, batch: CircuitBatch) -> None:
        """Stops circuits that the simulator can't run.

        Raises:
            InputError: Names the backend.
        """
        require_fit(batch, self.name, self.qubits)

    def facts(self, lease: CredentialLease) -> BackendFacts:
        """What the backend is."""
        return BackendFacts(self.name, self.package, version(self.package), self.qubits, True, self.circuits_per_job)

    def state(self, lease: CredentialLease) -> DeviceState:
        """Always there, without a queue and without a calibration."""
        return DeviceState(online=True, queue=0, calibrated=None, calibration=b"")

    def price(self, circuits: int, shots: int, lease: CredentialLease) -> Decimal:
        """A local simulator bills nothing."""
        return Decimal(0)

    def prepare(self, batch: CircuitBatch, shots: int, lease: CredentialLease) -> Prepared:
        """Nothing is transpiled: the simulator runs every standard gate, on any qubits."""
        return as_it_is(batch, "a simulator runs every standard gate on any qubits")

    def encode(self, batch: CircuitBatch, shots: int) -> bytes:
        """One job's payload; what the backend can't run is refused here, before anything is intended."""
        self.require_runnable(batch)
        return plain_form.write(batch, shots)

    def plain_form(self, payload: bytes) -> bytes:
        """The payload as it is: the simulators read the plain form."""
        return payload

    def submit(self, payload: bytes, key: str, lease: CredentialLease) -> str:
        """Stores the job."""
        return self._jobs.submit(payload, key)

    def find_by_key(self, key: str, lease: CredentialLease) -> str | None:
        """The stored job of a key."""
        return self._jobs.find(key)

    def status(self, handle: str, lease: CredentialLease) -> JobStatus:
        """There is no queue: a job that is there runs when its result is asked for."""
        return self._jobs.status(handle)

    def statuses(self, handles: Sequence[str], lease: CredentialLease) -> Mapping[str, JobStatus]:
        """Each is a look at a file."""
        return {handle: self._jobs.status(handle) for handle in handles}

    def result(self, handle: str, lease: CredentialLease, progress: Progress | None = None) -> JobResult:
        """Runs the job if it has not run, and returns its counts."""
        return self._jobs.result(handle, self._run, progress)

    def _run(self, payload: bytes, seed: int, progress: Progress) -> Sequence[Counts]:
        batch, shots = plain_form.decode(payload)
        return self.execute(batch, shots, seed, progress)

    def cancel(self, handle: str, lease: CredentialLease) -> bool:
        """Forgets a job that has not run."""
        return self._jobs.cancel(handle)

    def delete(self, handle: str, lease: CredentialLease) -> str:
        """Removes the job."""
        return self._jobs.delete(handle)
