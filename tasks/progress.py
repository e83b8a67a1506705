"""Progress of a long gate, as a progress artifact on its task in Prefect."""

from __future__ import annotations

import time

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import TaskRunContext

from prefect_gatehouse.providers.interface import Progress

EVERY_SECONDS = 1.0
"""Each update is a call to the server; more often than this nobody sees."""


def progress_of(what: str) -> Progress:
    """A reporter that moves a progress artifact; outside a task run it does nothing, nor for what takes no longer than a look.

    Args:
        what: A few words for the artifact's description; no data.
    """
    if TaskRunContext.get() is None:
        return lambda done, total: None
    artifact = None
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal artifact, last
        now = time.monotonic()
        if (done < total or artifact is None) and now - last < EVERY_SECONDS:
            return
        last = now
        percent = 100.0 * done / total if total else 100.0
        # Progress is a courtesy: a server that does not answer must not stop the gate.
        try:
            if artifact is None:
                artifact = create_progress_artifact(progress=percent, description=what)
            else:
                update_progress_artifact(artifact_id=artifact, progress=percent)
        except Exception:  # noqa: BLE001 - whatever the client raises, the work goes on
            last = now + 30

    return report
