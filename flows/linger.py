"""Staying for the answer: a process whose run waits for an approval stays a while, and goes on with the run itself when it is answered.

Who approves within minutes would otherwise wait for a worker to ask for work and for a process to import everything once more. What the process
knew of the run is dropped before it stays, as if it left: leases, plaintext, the open ledger. It takes the answered run as a worker does, by setting
it pending, which Prefect lets only one do; whoever comes second leaves it alone. Then the flow begins from its start under an engine of its own, as
in a fresh process: a new attempt, which takes the fence and compares everything with the plan.
"""

from __future__ import annotations

import time
from contextlib import suppress
from contextvars import Context
from datetime import UTC, datetime
from uuid import UUID

from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import Abort, ObjectNotFound, TerminationSignal
from prefect.flow_engine import run_flow
from prefect.states import Pending

from prefect_gatehouse.flows.started_by import by_gatehouse_worker
from prefect_gatehouse.run.packages import look_again
from prefect_gatehouse.settings import load_settings

_PAUSES = (0.2, 1.0)  # seconds between two looks at the run: the first, and the longest


def go_on_here() -> None:
    """Stays until the run is answered, and drives it then; returns where nobody answered in time or somebody else drives it.

    A ``gatehouse`` worker's process leaves at once: the next one is forked within a moment, and takes the worker's proof with it.

    Raises:
        Abort: The run went on here and has its state: there is nothing left for the engine that it began under.
        Pause: It went on here and waits again.
    """
    context = FlowRunContext.get()
    seconds = load_settings().linger_seconds
    if seconds == 0 or by_gatehouse_worker() or context is None or context.flow is None or context.flow_run is None:
        return
    if context.flow_run.deployment_id is None:  # Prefect resumes no such run
        return
    flow, taken = context.flow, None
    # Told to stop, no server, deleted: the run waits as it would without this process.
    with suppress(TerminationSignal, HTTPError, ObjectNotFound, Abort), get_client(sync_client=True) as client:
        taken = _taken(client, context.flow_run.id, time.monotonic() + seconds)
    if taken is None:
        return
    look_again()
    Context().run(lambda: run_flow(flow, flow_run=taken, return_type="state"))
    raise Abort("the run went on in this process")


def _taken(client: SyncPrefectClient, run_id: UUID, until: float) -> FlowRun | None:
    """The run, once it is answered and set pending by this process; None where it is not, or went another way."""
    pause, longest = _PAUSES
    while time.monotonic() < until:
        time.sleep(pause)
        pause = min(pause * 1.1, longest)
        state = client.read_flow_run(run_id).state
        if state is None or not (state.is_paused() or state.is_scheduled()):
            return None
        due = state.state_details.scheduled_time
        if state.is_scheduled() and (due is None or due <= datetime.now(UTC)):
            if client.set_flow_run_state(run_id, Pending()).status.value != "ACCEPT":
                return None  # a worker was quicker
            return client.read_flow_run(run_id)
    return None
