"""Going on with a run that stopped: whether it may be scheduled again, and scheduling it in Prefect and in the ledger."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.states import Scheduled

from prefect_gatehouse.errors import InputError, Unavailable
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.extended import is_given_up
from prefect_gatehouse.run.holding import holding, why_stopped
from prefect_gatehouse.run.resume_window import resume_window
from prefect_gatehouse.settings import load_settings

_SETTLE_SECONDS = 3.0
"""After a death Prefect's late CRASHED can still arrive; a restart before it would be marked dead while it lives."""


def go_on(client: SyncPrefectClient, ledger: Ledger, run_id: str, *, dead: bool = False) -> None:
    """Schedules a run again that failed for an operational reason, waits in a queue, was suspended by hand, or whose process died.

    Args:
        client: Of the Prefect server.
        ledger: The open ledger.
        run_id: The run.
        dead: The caller knows that the run's process is dead, though its last sign of life is not old enough to tell. Should the
            process live after all, the fence stops it.

    Raises:
        InputError: The run waits for an approval, still runs, is in quarantine, or its time to be resumed is over.
        Unavailable: The server does not schedule the run.
        ObjectNotFound: Prefect does not know it.
    """
    row, state = ledger.run(run_id), client.read_flow_run(UUID(run_id)).state
    _refuse(row, state, run_id, dead=dead)
    _refuse_quarantined(ledger, row)
    _refuse_given_up(ledger, row)
    if state is not None:
        age = (datetime.now(UTC) - state.timestamp).total_seconds()
        time.sleep(max(0.0, _SETTLE_SECONDS - age))
    if not _schedule(client, run_id):
        raise Unavailable("the server did not schedule the run", where=run_id, advice="look at the run in the Prefect UI")
    if row is not None and row.status != "waiting":  # one that waits has its own time, and asks again
        ledger.schedule_again(row, max(row.wait_until or 0.0, time.time() + resume_window(ledger, run_id)))


def suspended_by_hand(state: State[Any]) -> bool:
    """Whether a suspended run waits for no form: an approval always comes with one."""
    return state.type is StateType.PAUSED and not state.state_details.run_input_keyset


def _refuse(row: RunRow | None, state: State[Any] | None, run_id: str, *, dead: bool) -> None:
    if state is None:
        return
    if state.type is StateType.PAUSED and not suspended_by_hand(state):
        raise InputError("the run waits for an approval", where=run_id, advice=f"run: gatehouse approve {run_id}")
    if state.type in {StateType.SCHEDULED, StateType.PENDING}:
        raise InputError(f"Prefect has the run as {state.name}", where=run_id, advice="wait: a worker takes it up; is one running?")
    if dead or (row is not None and (row.status != "running" or row.is_lost())):
        return
    silent = "the ledger has no sign of life of it yet" if row is None else f"the last sign of life of its process is {row.silent_for():.0f} s old"
    if state.type is StateType.RUNNING:
        advice = "if you know that its process is dead, add --dead"
        raise InputError(f"Prefect has the run as running, and {silent}", where=run_id, advice=advice)
    if state.type is StateType.PAUSED:
        advice = "its process leaves after the gate that it is in; then resume it, or add --dead if you know that it is dead"
        raise InputError(f"the run was suspended by hand a moment ago, and {silent}", where=run_id, advice=advice)


def _refuse_quarantined(ledger: Ledger, row: RunRow | None) -> None:
    """A run in quarantine that went on would be denied at its next gate, and end: it waits for the release."""
    why = why_stopped(holding(load_settings(), ledger), row) if row is not None and row.ending is None else []
    if why:
        raise InputError("; ".join(why), where="quarantine", advice="see why: gatehouse quarantine list; resume the run when it is released")


def _refuse_given_up(ledger: Ledger, row: RunRow | None) -> None:
    """What its manifest lets stay for an hour is not there for whoever comes after two, though the sweeper has not come."""
    if row is not None and is_given_up(load_settings(), ledger, row, time.time()):
        raise InputError("the time in which it could be resumed is over, and the sweeper ends it", where=row.run_id, advice="start a new run")


def _schedule(client: SyncPrefectClient, run_id: str) -> bool:
    # A suspension whose time is over is refused once, and is a failure from then on, which can be scheduled.
    for _ in range(2):
        response: OrchestrationResult[Any] = client.set_flow_run_state(UUID(run_id), Scheduled(message="resumed by gatehouse"))
        if response.status is SetStateStatus.ACCEPT:
            return True
    return False
