"""What Prefect calls when the process of a run has died: the ledger is told, so that it does not have the run as running."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from sqlalchemy import update

from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.flows.driving import DEFAULT_WINDOW
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.ledger.tables import runs
from prefect_gatehouse.settings import load_settings


def note_crash(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001 - Prefect passes them by name
    """Marks a run whose process died as one that can be resumed.

    Prefect calls it in the dying process or in the worker, and sometimes not at all (the worker died as well): then the sweeper finds
    the run. It may also come late, when the run has been resumed: an attempt that began after the crash is left alone.
    """
    try:
        ledger = Ledger(load_settings().ledger())
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
    begun = ledger.event(f"{run_id}:attempt:{row.attempt}") if row is not None else None
    if row is None or begun is None or datetime.fromisoformat(begun.at).timestamp() > at:
        return False
    same = (runs.c.run_id == run_id) & (runs.c.attempt == row.attempt) & (runs.c.status == "running") & runs.c.ending.is_(None)
    now = time.time()
    died = {
        "status": "failed",
        "message": f"the process that drove the run died; resume it with: gatehouse resume {run_id}",
        "wait_until": now + _resume_window(ledger, run_id),
        "updated": now,
    }
    with ledger.transaction() as tx:
        return bool(tx.connection.execute(update(runs).where(same).values(**died)).rowcount)


def _resume_window(ledger: Ledger, run_id: str) -> float:
    admitted = ledger.event(f"{run_id}:admit")
    return float(admitted.data["value"]["tier"]["resume_window_seconds"]) if admitted is not None else DEFAULT_WINDOW
