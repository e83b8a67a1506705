"""The heartbeat of a process that drives a run: renewed in the ledger for as long as the process lives.

Whoever has to know whether a run's process is dead asks the ledger, not Prefect: Prefect calls a run whose worker died with its
process running for ever, and anybody may set a state there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prefect_gatehouse.errors import StorageError
from prefect_gatehouse.ledger.projection import SILENT_SECONDS
from prefect_gatehouse.ledger.store import Ledger

BEAT_SECONDS = SILENT_SECONDS / 8
"""Seven beats may be lost to a busy machine or a locked ledger before anybody takes the process for dead."""


@contextmanager
def beating(ledger: Ledger, run_id: str, attempt: int, every: float = BEAT_SECONDS) -> Iterator[None]:
    """Renews an attempt's heartbeat from a thread of its own, until the block is left.

    Args:
        ledger: The open ledger.
        run_id: The run.
        attempt: The attempt that drives it.
        every: Seconds between two beats.
    """
    left = threading.Event()

    def beat() -> None:
        while not left.wait(every):
            # A disk that is full or a ledger that is locked: what the run itself writes there tells it, and the next beat tries again.
            with suppress(StorageError):
                ledger.beat(run_id, attempt)

    thread = threading.Thread(target=beat, name="gatehouse-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join(1.0)  # not longer: a beat may wait for a lock, and the process has to leave
