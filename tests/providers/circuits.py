"""Circuits whose results are known, as the suite of providers has them, and one simulator with everything it needs to run them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.conformance.bounds import distance as distance
from prefect_gatehouse.providers.conformance.counting import flipped as flipped
from prefect_gatehouse.providers.interface import Backend, Connection, JobResult, Progress
from prefect_gatehouse.providers.registry import connect
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.store.run_keys import RunKeys
from prefect_gatehouse.workload.counts import Counts
from tests.support.circuit_lists import batch_of

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from prefect_gatehouse.workload.batch import CircuitBatch

BACKENDS = ["aer", "braket-local"]
LEASE = CredentialLease(Purpose.SUBMIT, None, None, environment="local", tenant="t")


class Desk:
    """One run's spool, under the run's key."""

    def __init__(self, folder: Path, backend: str, run_id: str = "run") -> None:
        self.backend = backend
        self.spool = folder / "spool"
        self.sealer = RunKeys(folder / "keys").obtain(run_id).sealer()

    def provider(self) -> Backend:
        """A provider object of its own at every call, as every process has."""
        return connect(self.backend, Connection(self.spool, self.sealer))

    def submit(self, circuits: Sequence[object] | CircuitBatch, key: str = "run:0:0:0", shots: int = 100) -> str:
        provider = self.provider()
        return provider.submit(provider.encode(batch_of(circuits), shots), key, LEASE)

    def result(self, handle: str, progress: Progress | None = None) -> JobResult:
        return self.provider().result(handle, LEASE, progress)

    def run(self, *circuits: object, key: str = "run:0:0:0", shots: int = 100) -> tuple[Counts, ...]:
        return self.result(self.submit(circuits, key, shots)).counts

    def files(self) -> list[Path]:
        return sorted(path for path in self.spool.rglob("*") if path.is_file())


def crosswise() -> QuantumCircuit:
    """Some of nine qubits, measured crosswise into some bits of two registers; always ``10000010``."""
    from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

    quantum, low, high = QuantumRegister(9), ClassicalRegister(3, "low"), ClassicalRegister(5, "high")
    circuit = QuantumCircuit(quantum, low, high)
    circuit.x(7)
    circuit.cx(7, 2)
    circuit.measure(7, high[4])
    circuit.measure(2, low[1])
    circuit.measure(5, high[0])
    return circuit


def hardly_used() -> QuantumCircuit:
    """200 qubits and bits of which two are used; always a 1 and then zeros."""
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(200, 200)
    circuit.x(150)
    circuit.measure([150, 3], [199, 0])
    return circuit
