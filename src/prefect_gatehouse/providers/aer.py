"""Qiskit Aer in this process: the default backend, and the shortest example of a provider."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_gatehouse.errors import JobFailed
from prefect_gatehouse.leases import CredentialLease
from prefect_gatehouse.providers.interface import BackendFacts, Counts, JobResult, Progress, Sealer
from prefect_gatehouse.providers.spool import Spool
from prefect_gatehouse.workload import circuits as form

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

QUBITS = 28  # a state vector of 2^28 complex numbers is 4 GiB
_CHUNK = 200  # circuits between two progress reports: about a quarter of a second


class AerProvider:
    """State-vector simulation; one job holds any number of circuits."""

    def __init__(self, spool: Path, sealer: Sealer) -> None:
        self._spool = Spool(spool, "aer", sealer)

    def facts(self) -> BackendFacts:
        """What the backend is."""
        return BackendFacts("aer", "qiskit-aer", version("qiskit-aer"), QUBITS, True, 100_000)

    def price(self, circuits: int, shots: int) -> Decimal:
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
        """Spools the job."""
        return self._spool.submit(payload, key)

    def find_by_key(self, key: str, lease: CredentialLease) -> str | None:
        """The spooled job of a key."""
        return self._spool.find(key)

    def result(self, handle: str, lease: CredentialLease, progress: Progress | None = None) -> JobResult:
        """Runs the job if it has not run, and returns its counts."""
        return self._spool.result(handle, _execute, progress)

    def cancel(self, handle: str, lease: CredentialLease) -> bool:
        """Forgets a job that has not run."""
        return self._spool.cancel(handle)

    def delete(self, handle: str) -> str:
        """Removes the job."""
        return self._spool.delete(handle)


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
