"""What a run's row in the ledger means to whoever looks at it at night: its state in a word, and what to do next."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect_gatehouse.ledger.projection import RunRow


def in_utc(seconds: float) -> str:
    """A time for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def state_of(row: RunRow, now: float | None = None) -> str:
    """One word: how the run ended, or what it does; ``lost`` where its process is silent."""
    return row.ending or ("lost" if row.is_lost(now) else row.status)


def next_step(row: RunRow, now: float | None = None) -> str:
    """What an open run waits for, and the command that helps; empty for a run that has ended."""
    now = time.time() if now is None else now
    short = row.run_id[:8]
    until = f", until {in_utc(row.wait_until)} UTC" if row.wait_until is not None else ""
    if row.ending is not None:
        return ""
    if row.status == "waiting":
        return f"{row.message or 'waits for approval'}{until}: gatehouse approve {short}"
    if row.status == "queued":
        return f"{row.message}{until}; goes on by itself, the deployment reconcile looks after it (by hand: gatehouse reconcile)"
    if row.status == "suspended":
        return f"was suspended by hand in Prefect; can be resumed{until}: gatehouse resume {short}"
    if row.status == "scheduled":
        return f"was resumed, and no worker has taken it up yet{until}; is one running? prefect worker start --pool gatehouse"
    if row.status == "failed":
        return f"failed, keeps what it has; mend the cause, then{until}: gatehouse resume {short}"
    silent = _span(row.silent_for(now) or 0)
    if row.is_lost(now):
        return f"no sign of life from its process for {silent}: it is dead; go on with: gatehouse resume {short}"
    return f"runs; the last sign of life is {silent} old"


def _span(seconds: float) -> str:
    size, unit = next((size, unit) for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")) if seconds >= size or size == 1)
    return f"{seconds // size:.0f} {unit}"
