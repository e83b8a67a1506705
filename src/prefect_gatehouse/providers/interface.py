"""The seam to quantum providers: one protocol, a folder per vendor.

To add one, write a ``Provider`` and name it under the entry-point group ``prefect_gatehouse.providers``; its devices are then available in a
manifest as ``provider/device``. ``simulator/`` is the shortest example. Every call that could reach the vendor has a lease. A job is the unit
that the provider bills and names. ``submit`` must make at most one job per key: a provider without an idempotency key of its own finds the job by
the key first. Counts come back in Qiskit bit order (qubit 0 rightmost), full register width, no spaces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.settings import SHIPPED_PRICES
from prefect_gatehouse.store.sealer import Sealer
from prefect_gatehouse.workload.counts import Counts

if TYPE_CHECKING:
    from prefect_gatehouse.workload.batch import CircuitBatch

Progress = Callable[[int, int], None]
"""Called with circuits done and circuits in all."""


@dataclass(frozen=True)
class BackendFacts:
    """What a backend is."""

    name: str
    provider: str
    version: str
    qubits: int
    simulator: bool
    circuits_per_job: int
    grace_seconds: float = 2.0
    """How long a submission whose answer was lost is looked for before the same key is sent again; longer than the call's timeout."""
    poll_seconds: float = 0.5
    """How long to wait before a job that is not ready is asked for again."""
    priced_as: str = ""
    """The provider's own name of the device, by which the price table has it; empty where nothing is billed."""
    job_minutes: Decimal | None = None
    """After so many minutes on the device the provider ends a job, because it was told to; None where the price table says when."""
    fewest_shots: int = 1
    """Of a circuit; the device takes no job of fewer."""


@dataclass(frozen=True)
class DeviceState:
    """How a device is now.

    Attributes:
        online: Whether it takes jobs now.
        queue: Jobs that wait there, at least so many; None where nobody says.
        calibrated: When it was calibrated, None where nobody says.
        calibration: What was calibrated, raw; empty where there is none.
    """

    online: bool
    queue: int | None
    calibrated: datetime | None
    calibration: bytes


JobState = Literal["queued", "running", "ready", "failed", "cancelled"]


@dataclass(frozen=True)
class JobStatus:
    """Where a job is.

    Attributes:
        state: ``ready`` where ``result`` has not to wait for a queue.
        position: Jobs before it in the queue, None where nobody says.
    """

    state: JobState
    position: int | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more becomes of it."""
        return self.state not in {"queued", "running"}


@dataclass(frozen=True)
class SeenJob:
    """A job of ours that a provider shows.

    Attributes:
        handle: The provider's name of it.
        key: The key that it was made for.
        state: Where it is.
    """

    handle: str
    key: str
    state: JobState


def _nowhere(_: Mapping[str, Json]) -> str:
    return ""


@dataclass(frozen=True)
class DeviceBlock:
    """The blocks that an administrator fills in, one for each device.

    Attributes:
        type: The type's slug: the settings of ``provider/device`` are in the block ``type/device``.
        shown: Settings that people read one by one before they approve, such as the region. A plan covers all of them.
        region: Gives the region that jobs go to, of the settings; empty where they do not say. A tier that names regions takes no such device.
    """

    type: str
    shown: tuple[str, ...]
    region: Callable[[Mapping[str, Json]], str] = _nowhere


SettingsReader = Callable[[str], Mapping[str, Json]]
"""Gives what is set in a block, by its reference ``type/name``; none of it is secret.

Raises:
    Unavailable: The block is missing, or its server does not answer.
"""


@dataclass(frozen=True)
class Connection:
    """What a backend is made with.

    Attributes:
        settings: Of the block that the manifest names; empty where there is none.
        folder: Where this side may keep what belongs to the run; deleted when the run ends.
        sealer: Encrypts what is kept there.
        labels: Gives what the provider's own record of each job is to say of the run (``run/labels.py``); the same each time.
        prices: File of the prices of devices.
    """

    folder: Path
    sealer: Sealer
    settings: Mapping[str, Json] = field(default_factory=dict)
    labels: Callable[[], Mapping[str, str]] = dict
    prices: Path = SHIPPED_PRICES


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


@dataclass(frozen=True)
class SpendingLimit:
    """A cap that the provider itself checks on every job of a device.

    Attributes:
        name: The provider's name of it.
        amount: USD.
        queued: USD that waiting and running jobs may cost.
        spent: USD.
        start: Of its period.
        end: Of its period.
    """

    name: str
    amount: Decimal
    queued: Decimal
    spent: Decimal
    start: datetime
    end: datetime

    @property
    def left(self) -> Decimal:
        """USD that the provider still lets pass."""
        return max(Decimal(0), self.amount - self.queued - self.spent)

    def holds(self, at: datetime) -> bool:
        """Whether its period has begun and not ended."""
        return self.start <= at < self.end


@dataclass(frozen=True)
class Prepared:
    """A batch as it will be sent, before anybody approves it.

    Attributes:
        batch: What ``encode`` is given: the same circuits in the same order, over the same classical bits, in gates and on qubits of the device.
        settings: How it came to be: transpiler, optimisation level, seed, basis, digest of the coupling, versions. Whoever has the same settings and
            the same circuits gets the same batch.
        depth_before: Of the deepest template as the workload yielded it.
        depth_after: Of the deepest one as it will be sent; turns about z that take no time on the device need not count.
        two_qubit_before: Gates on two qubits or more, of the template that has most of them, as yielded.
        two_qubit_after: The same, as it will be sent.
        quality: Estimated chance that a shot is free of error, of the worst circuit; None where the calibration allows no estimate.
    """

    batch: CircuitBatch
    settings: Mapping[str, Json]
    depth_before: int
    depth_after: int
    two_qubit_before: int
    two_qubit_after: int
    quality: float | None


class Provider(Protocol):
    """One vendor.

    Attributes:
        block: Where the settings of its devices are; None where they need none.
    """

    block: DeviceBlock | None

    def devices(self) -> tuple[str, ...]:
        """Names of the devices that are known without asking anybody; others may be there."""

    def connect(self, device: str, connection: Connection) -> Backend:
        """One device, ready to be asked; nothing has been sent yet.

        Raises:
            InputError: There is no such device, or a setting is wrong.
        """


class Backend(Protocol):
    """One device of one vendor."""

    def facts(self, lease: CredentialLease) -> BackendFacts:
        """What the backend is, asked now.

        Raises:
            Unavailable: The provider does not answer.
        """

    def state(self, lease: CredentialLease) -> DeviceState:
        """Whether the device takes jobs now, how many wait there, and its calibration.

        Raises:
            Unavailable: The provider does not answer.
        """

    def price(self, circuits: int, shots: int, lease: CredentialLease) -> Decimal:
        """Worst-case price in USD of circuits x shots."""

    def prepare(self, batch: CircuitBatch, shots: int, lease: CredentialLease) -> Prepared:
        """Transpiles a round's templates for this device, with a fixed seed, before anybody approves it.

        The same circuits give the same batch as long as the settings are the same, in any process. What errs differently every day, the
        calibration, decides the estimate of the quality alone.

        Raises:
            Denied: A circuit does not fit the device.
            Unavailable: The provider does not answer.
        """

    def encode(self, batch: CircuitBatch, shots: int) -> bytes:
        """One job's payload: numbers and gates, no name or metadata of the workload's.

        Raises:
            InputError: A circuit holds what the backend can't run.
        """

    def plain_form(self, payload: bytes) -> bytes:
        """The payload in the plain form, all of it (``workload/plain_form.py``).

        The boundary guard searches and reads this right before ``submit`` is given the payload. A payload that does not read so is not
        sent: a provider whose service takes another form translates in ``submit``, from these bytes alone. Circuits that differ in their angles
        only are one template with a table, which a service that knows parameter sweeps takes as one.

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

    def status(self, handle: str, lease: CredentialLease) -> JobStatus:
        """Where a job is, without waiting for it.

        Raises:
            Unavailable: The provider does not answer.
        """

    def statuses(self, handles: Sequence[str], lease: CredentialLease) -> Mapping[str, JobStatus]:
        """Where many jobs are, in as few calls as the provider allows.

        Args:
            handles: The jobs, oldest first: a provider that searches by time then knows where to begin.
            lease: Signs in.

        Returns:
            By handle; one that the provider does not tell about now is absent.

        Raises:
            Unavailable: The provider does not answer.
        """

    def result(self, handle: str, lease: CredentialLease, progress: Progress | None = None) -> JobResult:
        """What a job gave, once it is ready.

        Raises:
            JobFailed: The backend reports the job as failed.
            Unavailable: The provider does not answer.
        """

    def cancel(self, handle: str, lease: CredentialLease) -> bool:
        """Cancels a job that has not ended; True if it was cancelled."""

    def delete(self, handle: str, lease: CredentialLease) -> str:
        """Deletes the provider's copy; empty if gone, otherwise why it can't be."""


# What follows a backend may have as well: whoever asks looks whether it has.


@runtime_checkable
class ListsJobs(Protocol):
    """A backend that shows every job of ours, a page in a call, so that one that no journal knows is found."""

    def tasks_since(self, since: datetime, lease: CredentialLease) -> tuple[SeenJob, ...]:
        """Every job of ours on this device that was made since then; the newest may be missing for a while.

        Raises:
            Unavailable: The provider does not answer.
        """


@runtime_checkable
class SaysBill(Protocol):
    """A backend that knows what a job has cost without its result, which nobody can read once the run's key is gone."""

    def billed(self, handle: str, lease: CredentialLease) -> Decimal | None:
        """USD that a job that has ended is billed, None where the provider does not say.

        Raises:
            Unavailable: The provider does not answer.
        """


@runtime_checkable
class LimitsSpending(Protocol):
    """A backend whose provider checks caps of its own on every job: a second wall behind our budgets."""

    def spending_limits(self, lease: CredentialLease) -> tuple[SpendingLimit, ...]:
        """The caps on this device, whoever set them; empty where it has none.

        Raises:
            Unavailable: The provider does not answer.
        """

    def limit_spending(self, amount: Decimal, start: datetime, end: datetime, lease: CredentialLease) -> None:
        """Sets the cap of a period, or changes the one that was set for it; repeating changes nothing.

        Raises:
            Denied: The provider refuses.
            Unavailable: The provider does not answer.
        """


@runtime_checkable
class Described(Protocol):
    """What a backend has beside the rest where it can tell, item by item, what people should know has changed (``providers/description.py``)."""

    def described(self, lease: CredentialLease) -> Mapping[str, Json]:
        """What the provider is like now, without what changes every day: by item, in words that people read; large things by their digest.

        Raises:
            Unavailable: The provider does not answer.
        """
