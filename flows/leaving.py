"""Leaving a flow in a state that says what happened: an ending is orderly, so no worker's log holds a traceback of it."""

from __future__ import annotations

import atexit
import gc
import sys
from functools import cache
from typing import NoReturn

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import Abort, ObjectNotFound
from prefect.utilities.engine import propose_state_sync

from prefect_gatehouse.errors import GatehouseError


@cache
def end_quickly() -> None:
    """Has nobody look for garbage among everything that was imported: a look takes 0.2 s, and at the interpreter's end most of a second."""
    gc.freeze()
    atexit.register(gc.freeze)


def leave_as(state: State[None]) -> NoReturn:
    """Sets the flow run's final state and ends its process by Prefect's own signal.

    A failed or cancelled state that a flow returns is set as well, but the engine then raises it as an exception of its own, and the
    worker's log shows that exception's traceback: a denial looks like a crash.

    Raises:
        Abort: Always, carrying the state that was reached: the engine takes it over, and the process ends with exit code 0.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise GatehouseError("this runs only as a Prefect flow", where="flow", advice="use: gatehouse run")
    signal = Abort(state.message or "")
    try:
        with get_client(sync_client=True) as client:
            signal.state = propose_state_sync(client, state, flow_run_id=context.flow_run.id)  # type: ignore[attr-defined]
    except ObjectNotFound:
        pass  # somebody deleted the run in Prefect: there is nothing left to set a state of
    raise signal


def is_an_engine() -> bool:
    """Whether this process is Prefect's engine and nothing else, as a worker starts one for each run."""
    started = getattr(sys.modules["__main__"], "__spec__", None)
    return started is not None and started.name == "prefect.engine"
