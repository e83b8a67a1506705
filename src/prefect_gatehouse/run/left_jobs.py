"""What becomes of a job whose run has ended: cancelled at its provider, billed, its copy deleted; what can't be done yet is an obligation.

Gate 11 does it as the run ends, and ``reconcile`` goes on with what that left, until nothing is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from prefect_gatehouse.errors import GatehouseError, Unavailable
from prefect_gatehouse.ledger.jobs import JobClosed, JobGone, JobLeft
from prefect_gatehouse.ledger.projection import OPEN
from prefect_gatehouse.ledger.store import Ledger, Transaction
from prefect_gatehouse.providers.interface import Backend, JobState, SaysBill
from prefect_gatehouse.run import journal
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.usd import is_amount, up

_HIDDEN_SECONDS = 3600.0
"""How long a job of which nobody knows whether it was made is looked for: far longer than any search lags behind."""

Outcome = Literal["cancelled", "too-late", "failed", "never-made"]


@dataclass(frozen=True)
class PutAway:
    """What became of a job.

    Attributes:
        outcome: Empty where it was over before, or is not over yet.
        why: Why something of it is left; empty where nothing is.
        cost: USD, where there is an outcome.
        met: Whether an obligation was met by this.
    """

    outcome: Outcome | Literal[""] = ""
    why: str = ""
    cost: Decimal = Decimal(0)
    met: bool = False


class LeftJobs:
    """The jobs of one run that ends or has ended.

    Args:
        ledger: The open ledger.
        run_id: The run.
        attempt: The attempt that acts, or was the run's last.
        writing: Begins a transaction: fenced, where the run is not closed yet.
    """

    def __init__(self, ledger: Ledger, run_id: str, attempt: int, writing: Callable[[], AbstractContextManager[Transaction]]) -> None:
        self._ledger, self._run_id, self._attempt, self._writing = ledger, run_id, attempt, writing

    def put_away(self, entry: journal.Entry, backend: Backend, lease: CredentialLease, seen: JobState | None = None) -> PutAway:
        """Cancels, bills and deletes, as far as it goes now; each step may have been done before.

        Args:
            entry: Of the journal; its handle may have been found since.
            backend: Where.
            lease: May cancel and delete.
            seen: Where the provider has just shown the job.
        """
        fact: JobClosed | None = None
        try:
            fact = self._closed(entry, backend, lease, seen) if entry.state in OPEN else None
            if fact is not None:
                self._write(entry, fact)
            why = backend.delete(entry.handle, lease) if entry.handle is not None else ""
        except GatehouseError as error:
            why = error.message
        met = self.note(entry, why)
        return PutAway(why=why, met=met) if fact is None else PutAway(fact.outcome, why, fact.cost_usd, met)

    def note(self, entry: journal.Entry, why: str) -> bool:
        """Writes down what is left of a job, or that nothing is any more where something was; True where that met an obligation."""
        name = entry.key.partition(":")[2]
        left = self._ledger.find(f"{self._run_id}:left:{name}", JobLeft) is not None
        fact = JobLeft(key=entry.key, backend=entry.backend, why=why[:500]) if why else JobGone(key=entry.key)
        if left == bool(why):
            return False
        with self._writing() as tx:
            return tx.append(f"{self._run_id}:{'left' if why else 'gone'}:{name}", self._run_id, fact, attempt=self._attempt) and not why

    def _closed(self, entry: journal.Entry, backend: Backend, lease: CredentialLease, seen: JobState | None) -> JobClosed:
        """What is told of a job that is over.

        Raises:
            Unavailable: It is not yet.
        """
        if entry.handle is None:
            if time.time() - entry.intended < _HIDDEN_SECONDS:
                raise Unavailable(f"a job may exist at {entry.backend}; it is looked for", where=entry.backend)
            return JobClosed(key=entry.key, backend=entry.backend, outcome="never-made", cost_usd=Decimal(0))
        cancelled, state = False, seen
        if state is None or state in {"queued", "running"}:
            cancelled = backend.cancel(entry.handle, lease)
            state = backend.status(entry.handle, lease).state
        if state in {"queued", "running"}:
            raise Unavailable("the job was cancelled and has not ended yet" if cancelled else "the job can't be cancelled", where=entry.backend)
        outcome: Outcome = "too-late" if state == "ready" else "cancelled" if cancelled or state == "cancelled" else "failed"
        cost, basis = _cost(entry, entry.handle, backend, lease)
        return JobClosed(key=entry.key, backend=entry.backend, job=entry.handle, outcome=outcome, cost_usd=cost, basis=basis)

    def _write(self, entry: journal.Entry, fact: JobClosed) -> None:
        with self._writing() as tx:
            if journal.close(tx, fact):
                tx.append(f"{self._run_id}:closed:{entry.key.partition(':')[2]}", self._run_id, fact, attempt=self._attempt)


def _cost(entry: journal.Entry, handle: str, backend: Backend, lease: CredentialLease) -> tuple[Decimal, Literal["billed", "reserved"]]:
    """What a job cost, and who says so; nothing was reserved for one that can't cost anything."""
    if not entry.reserved:
        return Decimal(0), "billed"
    cost = backend.billed(handle, lease) if isinstance(backend, SaysBill) else None
    return (up(cost), "billed") if cost is not None and is_amount(cost) else (entry.reserved, "reserved")
