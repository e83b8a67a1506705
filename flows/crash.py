"""What Prefect calls when the process of a run has died: the ledger is told, so that it does not have the run as running."""

from __future__ import annotations

import time
from typing import Any

from prefect.client.schemas.objects import FlowRun, State

from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.ledger.events import AttemptStarted, RunInterrupted
from prefect_gatehouse.ledger.opening import open_ledger
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.resume_window import resume_window
from prefect_gatehouse.settings import load_settings


def note_crash(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001 - Prefect passes them by name
    """Marks a run whose process died as one that can be resumed.

    Prefect calls it in the dying process or in the worker, and sometimes not at all (the worker died as well): then the sweeper finds
    the run. It may also come late, when the run has been resumed: an attempt that began after the crash is left alone.
    """
    try:
        ledger = open_ledger(load_settings())
    except GatehouseError:
        return  # nothing can be written down; what reads the ledger later judges the run by its last sign of life
    try:
        mark_crashed(ledger, str(flow_run.id), state.timestamp.timestamp())
    finally:
        ledger.close()


def mark_crashed(ledger: Ledger, run_id: str, at: float) -> bool:
    """Marks an open run, whose latest attempt began before the crash and did not leave, as failed.

    Args:
        ledger: The open ledger.
        run_id: The run.
        at: When it crashed, seconds since the epoch.

    Returns:
        Whether it did.
    """
    row = ledger.run(run_id)
    begun = ledger.find(f"{run_id}:attempt:{row.attempt}", AttemptStarted) if row is not None else None
    if row is None or begun is None or begun.when.timestamp() > at:
        return False
    message = f"the process that drove the run died; resume it with: gatehouse resume {run_id}"
    died = RunInterrupted(status="failed", message=message, until=time.time() + resume_window(ledger, run_id))
    with ledger.transaction() as tx:
        return tx.is_at(run_id, row.attempt, "running") and tx.append(f"{run_id}:crashed:{row.attempt}", run_id, died)
