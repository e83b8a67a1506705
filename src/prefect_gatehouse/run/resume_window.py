"""How long a run that stopped can be resumed, and so how long its encrypted artifacts stay."""

from __future__ import annotations

from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.values import AdmittedRun

DEFAULT_WINDOW = 24 * 3600
"""Seconds that a run which was never admitted, and so has neither tier nor manifest, can be resumed."""


def resume_window(ledger: Ledger, run_id: str) -> float:
    """Seconds that a run which was interrupted can be resumed, by what was read at its admission."""
    admitted = Chain(ledger, run_id).read(AdmittedRun.gate, AdmittedRun)
    return window_of(admitted) if admitted is not None else DEFAULT_WINDOW


def window_of(admitted: AdmittedRun) -> float:
    """Seconds: its tier's window, or for as long as its manifest lets artifacts of a run that failed stay, whichever is shorter."""
    return min(float(admitted.tier.resume_window_seconds), admitted.manifest.retention.artifacts.total_seconds())


def abandoned_at(row: RunRow, window: float) -> float:
    """When a run that nobody drives and that waits for nothing is given up, unless somebody has what it holds kept longer.

    Args:
        row: The run.
        window: Seconds that it can be resumed after its process died.
    """
    return row.last_sign + window if row.status == "running" or row.wait_until is None else row.wait_until


def is_interrupted(row: RunRow, now: float) -> bool:
    """Whether an open run stopped and can be resumed: no process drives it, and it waits for neither people nor a queue."""
    return row.ending is None and row.status not in {"waiting", "queued"} and (row.status != "running" or row.is_lost(now))
