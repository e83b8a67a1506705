"""Whether somebody has cancelled or suspended the run in Prefect: a state that is set directly stops no process, so gates ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import FlowRunContext, SyncClientContext
from prefect.exceptions import ObjectNotFound, Pause

from prefect_gatehouse.errors import Cancelled
from prefect_gatehouse.ledger.events import EndingDecided
from prefect_gatehouse.run.attempt import Attempt, not_stopped


def asked_beside(attempt: Attempt, where: str) -> Callable[[], None]:
    """Asks in a thread; whatever is not a plain yes is asked again where it is waited for.

    Args:
        attempt: Of the run.
        where: The gate that asks.

    Returns:
        Waits for the answer, and raises what ``refuse_if_stopped`` does.
    """
    context, at = SyncClientContext.get(), time.monotonic()
    if context is None or not _is_of(FlowRunContext.get(), attempt):
        refuse_if_stopped(attempt, where)
        return not_stopped
    yes: list[bool] = []

    def ask() -> None:
        with suppress(Exception):
            yes.append(_goes_on(context.client, attempt.run_id))

    thread = threading.Thread(target=copy_context().run, args=(ask,), name="gatehouse-heed", daemon=True)
    thread.start()

    def heed() -> None:
        thread.join()
        if any(yes):
            attempt.asked_prefect = max(at, attempt.asked_prefect)
        else:
            refuse_if_stopped(attempt, where)
            yes.append(True)

    return heed


def refuse_if_stopped(attempt: Attempt, where: str) -> None:
    """Asks Prefect whether somebody cancelled or suspended the run; for what waits inside a gate, too.

    Raises:
        Cancelled: It was cancelled, or deleted there.
        Pause: It was suspended by hand, and its end has not been decided: what cleans up goes on.
    """
    if not _is_of(FlowRunContext.get(), attempt):
        return
    with get_client(sync_client=True) as client:
        goes_on = _goes_on(client, attempt.run_id)
        attempt.asked_prefect = time.monotonic()
        if goes_on:
            return
        try:
            state = client.read_flow_run(UUID(attempt.run_id)).state
        except ObjectNotFound:
            raise Cancelled("the run was deleted in Prefect", where=where, advice="start a new run") from None
    if state is not None and (state.is_cancelled() or state.is_cancelling()):
        raise Cancelled("the run was cancelled in Prefect", where=where, advice="start a new run")
    if state is not None and state.is_paused() and attempt.find("ending", EndingDecided) is None:
        raise Pause(state=state)


def _is_of(context: FlowRunContext | None, attempt: Attempt) -> bool:
    return context is not None and context.flow_run is not None and str(context.flow_run.id) == attempt.run_id


def _goes_on(client: SyncPrefectClient, run_id: str) -> bool:
    """Whether Prefect has the run in a state in which it goes on; a number costs its server half of what a run does."""
    stopped = {"type": {"not_any_": ["CANCELLED", "CANCELLING", "PAUSED"]}}
    return bool(client.request("POST", "/flow_runs/count", json={"flow_runs": {"id": {"any_": [run_id]}, "state": stopped}}).json() == 1)
