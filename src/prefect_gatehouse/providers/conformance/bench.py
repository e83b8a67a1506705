"""What the checks run on: one backend, with a lease, keys of its own, and a cap on what all of it may cost."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING

from prefect_gatehouse.errors import Denied, GatehouseError
from prefect_gatehouse.providers.interface import Backend, BackendFacts, Progress
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.workload import plain_form
from prefect_gatehouse.workload.counts import Counts
from prefect_gatehouse.workload.pubs import read_round

if TYPE_CHECKING:
    from prefect_gatehouse.workload.batch import CircuitBatch


class Nonconformant(AssertionError):
    """A backend does not do what the protocol says; the text says what it does instead."""


def require(holds: bool, otherwise: str) -> None:
    """Stops a check.

    Raises:
        Nonconformant: It does not hold.
    """
    if not holds:
        raise Nonconformant(otherwise)


@dataclass(frozen=True)
class Subject:
    """A backend that is to prove itself.

    Attributes:
        name: As a manifest names it.
        connect: Gives an object of its own at every call, as every process has one.
        lease: Gives a lease for submitting, which has not ended.
    """

    name: str
    connect: Callable[[], Backend]
    lease: Callable[[], CredentialLease]


@dataclass(frozen=True)
class Extent:
    """How much is run.

    Attributes:
        shots: Of each circuit whose counts are looked at statistically.
        circuits: Of the largest sweep.
        sweep_shots: Of each of its circuits.
        most_usd: What all jobs may cost at worst; a job that would go beyond is not made.
        patience_seconds: How long a job is waited for.
    """

    shots: int = 1000
    circuits: int = 4000
    sweep_shots: int = 15
    most_usd: Decimal = Decimal(0)
    patience_seconds: float = 3600.0


class Bench:
    """One backend under test.

    Args:
        subject: The backend.
        extent: How much is run.
    """

    def __init__(self, subject: Subject, extent: Extent) -> None:
        self.subject, self.extent = subject, extent
        self.spent = Decimal(0)
        self.left: list[str] = []
        """Copies at the provider that could not be deleted, with why."""
        self.refused: list[str] = []
        """Gates that the backend does not take."""
        self._run = str(uuid.uuid4())
        self._numbers = itertools.count()
        self._made: dict[str, None] = {}

    @cached_property
    def backend(self) -> Backend:
        """The object that most checks use."""
        return self.subject.connect()

    @property
    def lease(self) -> CredentialLease:
        """A lease that has not ended."""
        return self.subject.lease()

    @cached_property
    def facts(self) -> BackendFacts:
        """What the backend says it is."""
        return self.backend.facts(self.lease)

    @property
    def noisy(self) -> bool:
        """Whether its results err: no simulator's do."""
        return not self.facts.simulator

    def shots(self, wanted: int) -> int:
        """So many shots of a circuit, or as many as the device takes at least."""
        return max(wanted, self.facts.fewest_shots)

    def key(self) -> str:
        """A key that no job has, in the form of the journal's."""
        return f"{self._run}:0:{next(self._numbers)}:0"

    def prepared(self, batch: CircuitBatch, shots: int) -> CircuitBatch:
        """A batch as a run would send it."""
        return self.backend.prepare(batch, shots, self.lease).batch

    def payload(self, circuits: Sequence[object], shots: int = 100) -> bytes:
        """One job's payload, as a run makes it: prepared, then encoded."""
        return self.backend.encode(self.prepared(batch_of(circuits), shots), shots)

    def submit(self, circuits: Sequence[object], key: str, shots: int = 100) -> str:
        """Makes a job, within the cap."""
        payload = self.payload(circuits, shots)
        self.reserve(len(batch_of(circuits)), shots)
        return self.send(self.backend, payload, key)

    def reserve(self, circuits: int, shots: int) -> None:
        """Counts a job's worst case.

        Raises:
            Denied: The cap has no room for it.
        """
        price = self.backend.price(circuits, shots, self.lease)
        if self.spent + price > self.extent.most_usd:
            advice = f"allow more: {self.spent + price} USD are needed for this check alone and those before it"
            raise Denied(f"the jobs could cost more than {self.extent.most_usd} USD", where=self.subject.name, advice=advice)
        self.spent += price

    def send(self, backend: Backend, payload: bytes, key: str) -> str:
        """Submits a payload and remembers the job, which is deleted in the end."""
        handle = backend.submit(payload, key, self.lease)
        self._made[handle] = None
        return handle

    def wait(self, handle: str) -> None:
        """Waits until a job is ready.

        Raises:
            Nonconformant: It failed, or was not ready in time.
        """
        until = time.monotonic() + self.extent.patience_seconds
        while (found := self.backend.status(handle, self.lease)).state in {"queued", "running"}:
            require(time.monotonic() < until, f"a job is still {found.state} after {self.extent.patience_seconds:.0f} s")
            time.sleep(self.facts.poll_seconds)
        require(found.state == "ready", f"a job that nobody cancelled is {found.state}")

    def run(self, *circuits: object, shots: int | None = None, progress: Progress | None = None) -> list[Counts]:
        """The counts of circuits and PUBs, prepared, as ``run_batch``."""
        each = self.shots(shots or self.extent.shots)
        return self.run_batch(self.prepared(batch_of(circuits), each), each, progress)

    def run_batch(self, batch: CircuitBatch, each: int, progress: Progress | None = None) -> list[Counts]:
        """The counts of a prepared batch, in as many jobs as the backend needs, each over the full width.

        Args:
            batch: The circuits.
            each: Shots of each of them.
            progress: Told of each job.

        Raises:
            Nonconformant: There are not as many counts as circuits.
        """
        parts = list(batch.parts(self.facts.circuits_per_job))
        handles = []
        for part in parts:
            payload = self.backend.encode(part, each)
            self.reserve(len(part), each)
            handles.append(self.send(self.backend, payload, self.key()))
        counts: list[Counts] = []
        for handle, part in zip(handles, parts, strict=True):
            self.wait(handle)
            found = self.backend.result(handle, self.lease, progress).counts
            require(len(found) == len(part), f"a job of {len(part)} circuits gave the counts of {len(found)}")
            counts += found
        for one, width in zip(counts, batch.clbits(), strict=True):
            _require_counts(one, width, each)
        return counts

    def close(self) -> None:
        """Deletes every job that was made; what can't be deleted is told in ``left``."""
        for handle in self._made:
            with suppress(GatehouseError):  # a job that is no longer there
                because = self.backend.delete(handle, self.lease)
                if because:
                    self.left.append(f"{handle}: {because}")


def batch_of(circuits: Sequence[object]) -> CircuitBatch:
    """Circuits and PUBs as a workload yields them."""
    return read_round(list(circuits)).batch


def bytes_of(batch: CircuitBatch) -> bytes:
    """What two batches are compared by."""
    return plain_form.write(batch, 1)


def _require_counts(counts: Counts, width: int, shots: int) -> None:
    strange = next((key for key in counts if len(key) != width or set(key) - {"0", "1"}), None)
    require(strange is None, f"a circuit of {width} classical bits has a result of {len(strange or '')} characters; it has to be its bits, no spaces")
    require(all(type(value) is int and value > 0 for value in counts.values()), "a number of shots is not a whole number above zero")
    require(sum(counts.values()) == shots, f"{shots} shots were asked for, the counts hold {sum(counts.values())}")
