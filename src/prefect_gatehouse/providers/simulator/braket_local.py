"""Amazon Braket's local simulator in this process, through the Braket SDK: one job a circuit, as devices have it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
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

QUBITS = 24  # the simulator's own limit is 25 or so, memory decides


class BraketLocalBackend:
    """State-vector simulation by the Braket SDK."""

    def __init__(self, connection: Connection) -> None:
        self._jobs = JobStore(connection.folder, "braket-local", connection.sealer)

    def facts(self, lease: CredentialLease) -> BackendFacts:
        """What the backend is."""
        return BackendFacts("braket-local", "amazon-braket-sdk", version("amazon-braket-sdk"), QUBITS, True, 1)

    def price(self, circuits: int, shots: int, lease: CredentialLease) -> Decimal:
        """A local simulator bills nothing."""
        return Decimal(0)

    def encode(self, circuits: Sequence[QuantumCircuit], shots: int) -> bytes:
        """One job's payload; what the backend can't run is refused here, before anything is intended."""
        form.require_fit(circuits, "braket-local", QUBITS)
        form.require_terminal_measurements(circuits, "braket-local")
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


def _execute(payload: bytes, _seed: int, progress: Progress) -> Sequence[Counts]:
    """The simulator takes no seed: a job that dies while it runs is drawn anew, one whose result is stored is not run again."""
    from braket.devices import LocalSimulator
    from qiskit_braket_provider import to_braket

    circuits, shots = form.decode(payload)
    counts: list[Counts] = []
    try:
        for circuit in circuits:
            measured = [(qubits, clbits) for name, qubits, clbits, _ in form.operations(circuit) if name == "measure"]
            where = {clbit: qubit for qubits, clbits in measured for qubit, clbit in zip(qubits, clbits, strict=True)}
            bare = circuit.remove_final_measurements(inplace=False)
            bits = {qubit: index for index, qubit in enumerate(bare.qubits)}
            used = sorted({bits[qubit] for item in bare.data if item.operation.name != "barrier" for qubit in item.qubits})
            if not used:
                counts.append({"0" * circuit.num_clbits: shots})
                continue
            task = LocalSimulator().run(to_braket(bare), shots=shots).result()
            place = {qubit: column for column, qubit in enumerate(task.measured_qubits)}
            rows = Counter(_bits(row, place, where, circuit.num_clbits) for row in task.measurements)
            counts.append(dict(rows))
            progress(len(counts), len(circuits))
    except JobFailed:
        raise
    except Exception:  # noqa: BLE001 - the SDK and the translation raise many types; none may carry text out
        raise JobFailed("the simulator reports the job as failed", where="braket-local", advice="check the circuits' width and gates") from None
    return counts


def _bits(row: Sequence[int], place: dict[int, int], where: dict[int, int], width: int) -> str:
    """One shot as a Qiskit bit string: classical bit 0 rightmost, full width; an unused qubit reads 0."""
    return "".join(str(int(row[place[where[clbit]]])) if clbit in where and where[clbit] in place else "0" for clbit in reversed(range(width)))
