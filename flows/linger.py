"""Staying for the answer: a process whose run waits for an approval stays a while, and goes on with the run itself when it is answered.

Who approves within minutes would otherwise wait for a worker to ask for work and for a process to import everything once more. What the process
knew of the run is dropped before it stays, as if it left: leases, plaintext, the open ledger. It takes the answered run as a worker does, by setting
it pending, which Prefect lets only one do; whoever comes second leaves it alone. Then the flow begins from its start under an engine of its own, as
in a fresh process: a new attempt, which takes the fence and compares everything with the plan.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import Context
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from httpx import HTTPError
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import OrchestrationResult
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext, SettingsContext, SyncClientContext, get_settings_context
from prefect.exceptions import Abort, ObjectNotFound, Pause, TerminationSignal
from prefect.flow_engine import run_flow
from prefect.states import Pending

from prefect_gatehouse.flows.leaving import is_an_engine
from prefect_gatehouse.flows.started_by import by_gatehouse_worker
from prefect_gatehouse.flows.unwatched import unwatched
from prefect_gatehouse.run.ahead import drop_aside
from prefect_gatehouse.run.under import look_anew
from prefect_gatehouse.run_process import end_process
from prefect_gatehouse.settings import load_settings

_SOONEST, _LATEST = 0.1, 0.5
"""Seconds between two looks at the run, of which a server answers hundreds in a second."""
_SHARE = 1 / 30
"""Of the time that a run has waited: so much more it waits at most until its answer is seen, between the two."""


_told_to_stop: list[bool] = []


def leave() -> None:
    """Has this process not stay: it was told to stop while it got ready to."""
    drop_aside()
    _told_to_stop[:] = [True]


def stays(waits: Pause) -> bool:
    """Whether this process stays for what its run waits for.

    For people it does, who may answer within the minute; a provider's queue, or whoever suspended the run by hand, does not. A ``gatehouse``
    worker's process leaves at once: the next one is forked within a moment, and takes the worker's proof with it. Without a deployment Prefect
    resumes no run.
    """
    context = FlowRunContext.get()
    asked = waits.state is not None and waits.state.state_details.run_input_keyset
    deployed = context is not None and context.flow is not None and context.flow_run is not None and context.flow_run.deployment_id is not None
    return bool(asked) and deployed and not by_gatehouse_worker() and not _told_to_stop and load_settings().linger_seconds > 0


def go_on_here() -> None:
    """Stays until the run is answered, and drives it then; returns where nobody answered in time or somebody else drives it.

    A process that is an engine and nothing else ends here, with exit code 0, when the run went on and has its state.

    Raises:
        Abort: The run went on here and has its state: there is nothing left for the engine that it began under.
        Pause: It went on here and waits again.
    """
    context = FlowRunContext.get()
    assert context is not None  # whoever stays is in a flow
    assert context.flow is not None
    assert context.flow_run is not None
    flow, taken = context.flow, None
    try:
        # Told to stop, no server, deleted: the run waits as it would without this process.
        with suppress(TerminationSignal, HTTPError, ObjectNotFound, Abort), get_client(sync_client=True) as client:
            taken = _taken(client, context.flow_run.id, time.monotonic() + load_settings().linger_seconds)
        if taken is None:
            return
        at = taken.state.timestamp if taken.state is not None else datetime.now(UTC)
        try:
            _begin_anew(flow, taken)
        except Pause:
            # Prefect's event that the run was suspended stops whichever engine drives it in this process when it comes, once. On a busy server it
            # comes late, and then nobody has suspended the one that went on.
            stopped = _not_suspended(taken.id, at)
            if stopped is None:
                raise
            look_anew()
            _begin_anew(flow, stopped)
    finally:
        drop_aside()
    if is_an_engine():
        end_process(0)  # the run has its state, and the engine around would only end its own threads
    raise Abort("the run went on in this process")


def _begin_anew(flow: Flow[..., Any], taken: FlowRun) -> None:
    Context().run(_drive, flow, taken, SyncClientContext.get())


def _not_suspended(run_id: UUID, since: datetime) -> FlowRun | None:
    """The run, where it has been running and nothing else since this process took it: it was not suspended, and no worker has taken it after that."""
    with suppress(HTTPError, ObjectNotFound), get_client(sync_client=True) as client:
        if all(state.is_running() for state in client.read_flow_run_states(run_id) if state.timestamp > since):
            return client.read_flow_run(run_id)
    return None


def _drive(flow: Flow[..., Any], taken: FlowRun, client: SyncClientContext | None) -> None:
    if client is not None:
        SyncClientContext.__var__.set(client)  # the engine's own, with its connections; a new one would read every certificate there is once more
    with _no_second_heartbeat():
        run_flow(flow, flow_run=unwatched(taken), return_type="state")


def _no_second_heartbeat() -> AbstractContextManager[object]:
    """The engine around goes on telling that the process lives, and the end of a run waits for whoever tells it."""
    context = get_settings_context()
    flows = getattr(context.settings, "flows", None)  # which Prefect has since 3.6
    if flows is None or not hasattr(flows, "heartbeat_frequency"):
        return nullcontext()
    # A copy of what was read: Prefect's own way would read environment and files once more.
    quiet = context.settings.model_copy(update={"flows": flows.model_copy(update={"heartbeat_frequency": None})})
    return SettingsContext(profile=context.profile, settings=quiet)


def _taken(client: SyncPrefectClient, run_id: UUID, until: float) -> FlowRun | None:
    """The run, once it is answered and set pending by this process; None where it is not, or went another way."""
    begun = time.monotonic()
    while (now := time.monotonic()) < until:
        time.sleep(min(_LATEST, max(_SOONEST, _SHARE * (now - begun))))
        run = client.read_flow_run(run_id)
        state = run.state
        if state is None or not (state.is_paused() or state.is_scheduled()):
            return None
        due = state.state_details.scheduled_time
        if state.is_scheduled() and (due is None or due <= datetime.now(UTC)):
            look_anew()
            taken: OrchestrationResult[Any] = client.set_flow_run_state(run_id, Pending())
            # Where it was not accepted, a worker was quicker.
            return run.model_copy(update={"state": taken.state}) if taken.status.value == "ACCEPT" else None
    return None
