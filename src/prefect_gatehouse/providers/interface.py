"""The seam to quantum providers: one protocol, one file per implementation.

To add a provider, write a class with these methods and name it under the entry-point group ``prefect_gatehouse.providers``;
its backends are then available by that name in a manifest. ``aer.py`` is the shortest example. A job is the unit that the
provider bills and names. ``submit`` must make at most one job per key: a provider without an idempotency key of its own finds
the job by the key first. Counts come back in Qiskit bit order (qubit 0 rightmost), full register width, no spaces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from prefect_gatehouse.leases import CredentialLease

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

Progress = Callable[[int, int], None]
"""Called with circuits done and circuits in all."""

Counts = Mapping[str, int]
"""How often each bit string was measured, qubit 0 rightmost."""


@dataclass(frozen=True)
class BackendFacts:
    """What a backend is."""

    name: str
    provider: str
    version: str
    qubits: int
    simulator: bool
    circuits_per_job: int


@dataclass(frozen=True)
class JobResult:
    """What a job gave.

    Attributes:
        counts: One mapping per circuit, in the order of the payload.
        queue_seconds: Between submission and start.
        run_seconds: On the backend.
        calibration: The raw calibration at execution, empty where there is none.
        cost: USD, as billed.
    """

    counts: tuple[Counts, ...]
    queue_seconds: float
    run_seconds: float
    calibration: bytes
    cost: Decimal


class Sealer(Protocol):
    """Encrypts bytes under the run's key; what a provider spools on this side goes through it."""

    def seal(self, data: bytes) -> bytes:
        """Ciphertext of data."""

    def open(self, sealed: bytes) -> bytes:
        """Data of a ciphertext."""


class Provider(Protocol):
    """One backend of one provider."""

    def facts(self) -> BackendFacts:
        """What the backend is, asked now.

        Raises:
            Unavailable: The provider does not answer.
        """

    def price(self, circuits: int, shots: int) -> Decimal:
        """Worst-case price in USD of circuits x shots."""

    def encode(self, circuits: Sequence[QuantumCircuit], shots: int) -> bytes:
        """One job's payload: numbers and gates, no name or metadata of the workload's.

        Raises:
            InputError: A circuit holds what the backend can't run.
        """

    def payload_text(self, payload: bytes) -> str:
        """The payload as text, all of it: shots, a line end, and the circuits' plain form (``workload/circuits.py``).

        The boundary guard searches this text and checks its structure right before ``submit`` is given the same bytes. A payload that
        does not read so is not sent: a provider whose service takes another form translates in ``submit``, from these bytes alone.

        Raises:
            Tampered: The payload is none of ``encode``'s.
        """

    def submit(self, payload: bytes, key: str, lease: CredentialLease) -> str:
        """Makes the job for this key and returns its handle; the same key never makes a second one.

        Raises:
            Denied: The provider definitely refused; no job exists.
            Ambiguous: Nobody can tell whether the job exists.
        """

    def find_by_key(self, key: str, lease: CredentialLease) -> str | None:
        """The handle of the job that was made for a key, None if there is none."""

    def result(self, handle: str, lease: CredentialLease, progress: Progress | None = None) -> JobResult:
        """Waits for a job and returns what it gave.

        Raises:
            JobFailed: The backend reports the job as failed.
            Unavailable: The provider does not answer.
        """

    def cancel(self, handle: str, lease: CredentialLease) -> bool:
        """Cancels a job that has not ended; True if it was cancelled."""

    def delete(self, handle: str) -> str:
        """Deletes the provider's copy; empty if gone, otherwise why it can't be."""
