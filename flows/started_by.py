"""Which kind of worker started this process, and whether that is enough for the run's tier."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

from prefect_gatehouse.errors import Interrupted
from prefect_gatehouse.identity.warrant import SignedWarrant, check_warrant
from prefect_gatehouse.ledger.events import RunTaken
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.started import worker_of
from prefect_gatehouse.vocabulary import WorkerKind

_HANDED: list[SignedWarrant] = []
"""What the worker handed over before the flow began; nothing that Prefect's API sets reaches this."""

_forked: list[bool] = []


def hand_over(warrant: SignedWarrant) -> None:
    """Keeps the worker's proof for the attempt that this process begins; called by the worker's own fork."""
    _HANDED[:] = [warrant]
    _forked[:] = [True]


def by_gatehouse_worker() -> bool:
    """Whether a `gatehouse` worker forked this process."""
    return bool(_forked)


def take(attempt: Attempt) -> None:
    """Checks the worker's proof, where there is one, and writes it down for the attempt.

    Raises:
        Denied: The proof is not good.
    """
    if not _HANDED:
        return
    signed = _HANDED.pop()
    key = attempt.settings.worker_key_file()
    by = check_warrant(signed, key, run_id=attempt.run_id, environment=attempt.settings.environment, now=datetime.now(UTC))
    taken = RunTaken(worker=signed.warrant.worker, fingerprint=by, warrant=signed.warrant.message().decode(), signature=signed.signature)
    attempt.record(f"taken:{attempt.number}", taken)


def require_tenant(attempt: Attempt, tenant: str) -> None:
    """Stops a process of an installation that does not drive this tenant's runs, on the first attempt and on every later one.

    Nothing that the run is about has been read by then, but for its manifest.

    Raises:
        Interrupted: Says where the run goes on.
    """
    served = attempt.settings.served_tenants()
    if served and tenant not in served:
        raise Interrupted(
            f"this worker drives the runs of {', '.join(sorted(served))}, and the run is of the tenant {tenant}",
            where="GATEHOUSE_TENANTS",
            advice=f"start it on the work pool of {tenant}; on a worker that drives its runs it goes on with: gatehouse resume {attempt.run_id[:8]}",
        )


def require_worker(attempt: Attempt, tier: TierRules) -> None:
    """Stops a process that a weaker worker started than the tier accepts; before the first thing is read that the run is about.

    Raises:
        Interrupted: Says which worker the tier wants; there the run can be resumed.
    """
    kinds = get_args(WorkerKind)
    worker = worker_of(attempt)
    if kinds.index(worker) < kinds.index(tier.worker):
        raise Interrupted(
            f"the tier {tier.name} wants its runs started by a {tier.worker} worker, and this process was started by a {worker} worker",
            where="worker",
            advice=f"start one: gatehouse worker; then: gatehouse resume {attempt.run_id[:8]}",
        )
