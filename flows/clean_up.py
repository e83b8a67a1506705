"""The sweeper: ends what nobody ended - runs that expired, were cancelled or deleted while nobody drove them, or were not resumed in time.

The ledger decides, by its own times and the heartbeat of whoever drives a run. Of Prefect the sweeper believes one thing only: that
somebody cancelled or deleted a run, and that only where no process lives that would notice it itself. A state that is forced
keeps nothing open and closes nothing that lives.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterId
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import ObjectNotFound

from prefect_gatehouse.blocks.devices import read_settings
from prefect_gatehouse.blocks.reader import read_secret
from prefect_gatehouse.data.scratch import remove_dead
from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.evidence.tell import tell_outside
from prefect_gatehouse.flows.ending import end
from prefect_gatehouse.flows.lifecycle import state_of
from prefect_gatehouse.flows.looking import look_once
from prefect_gatehouse.ledger.events import AttemptStarted, EndingDecided
from prefect_gatehouse.ledger.opening import open_ledger
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.ledger.seal import seal_home
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run import reproducible, reusable
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.extended import Extended, Extension
from prefect_gatehouse.run.resume_window import abandoned_at, resume_window
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.validation.retention import delete_expired
from prefect_gatehouse.vocabulary import Ending

Claim = Literal["cancelled", "deleted", ""]
"""What Prefect says that the sweeper believes."""


@flow(name="clean-up", persist_result=False, retries=0, log_prints=False)
def clean_up() -> None:
    """Looks at every open run once, ends those that are over, and signs a head of the ledger."""
    look_once("clean-up", sweep, {"run": "none", "ending": "", "note": "nothing to clean up"}, "Runs that the sweeper ended")


def sweep(settings: Settings, now: float | None = None) -> list[dict[str, str]]:
    """Ends every open run that is over; deletes pages, kept circuits and kept results whose retention has passed, and what killed dry runs left.

    Args:
        settings: The installation.
        now: Seconds since the epoch; the clock's unless given.

    Returns:
        One row a run: its identifier, its ending, and what was left to say; and one a page.
    """
    now = time.time() if now is None else now
    with open_ledger(settings) as ledger:
        swept, extended = [], Extended(settings, ledger, now)
        with get_client(sync_client=True) as client:
            for row in ledger.runs():
                ended = end_if_over(settings, ledger, client, row, now, extended)
                if ended is not None:
                    swept.append({"run": row.run_id, "ending": ended[0], "note": _note(ended[1], extended.void_of_run(row.run_id))})
        gone = delete_expired(ledger, settings.folder("reports"), datetime.fromtimestamp(now, UTC), extended.until)
        for files in (reproducible.FILES, reusable.FILES):
            gone += files.delete_due(settings, ledger, now, extended.until)
        swept += [{"run": each.uri, "ending": "retention", "note": _note(each.note or "deleted", extended.void_of(each.uri))} for each in gone]
        remove_dead()
        seal_home(settings.folder(""), ledger)
        told = tell_outside(settings, ledger)
        if told is not None and told.why:
            swept.append({"run": "lineage", "ending": "", "note": f"{told.left} events are still to be told: {told.why}"})
    return swept


def _note(what: str, void: Iterable[Extension]) -> str:
    """What is left to say, and whose word did not keep it."""
    return "; ".join(filter(None, [what, *(f"an extension did not count [{each.event.seq}]: {each.void}" for each in void)]))


def end_if_over(
    settings: Settings, ledger: Ledger, client: SyncPrefectClient, row: RunRow, now: float, extended: Extended
) -> tuple[Ending, str] | None:
    """Ends an open run that is over; gives how it ended and what was left to say, None where it goes on or had ended."""
    over = _over(ledger, client, row, now, extended) if row.ending is None else None
    return None if over is None else (over[0], _end(settings, ledger, client, row, *over))


def ending_of(
    row: RunRow, decided: Ending | None, claim: Claim, window: float, now: float, kept_until: Callable[[float], float] = float
) -> tuple[Ending, str] | None:
    """How an open run has ended although nobody ended it, and why; None where it goes on.

    Args:
        row: The run in the ledger.
        decided: The ending that a process decided on before it died.
        claim: What Prefect says of it.
        window: Seconds that the run can be resumed after its process died.
        now: Seconds since the epoch.
        kept_until: Gives until when somebody has the run's artifacts kept, of when it would be given up.
    """
    if row.status == "running" and not row.is_lost(now):
        return None  # its process lives, and looks for itself whether the run was cancelled
    if decided is not None:
        return decided, "the end had been decided before"
    if claim:
        return "cancelled", f"{claim} in Prefect"
    if row.status == "waiting":
        return ("expired", "nobody decided within the approval window") if row.wait_until is not None and now >= row.wait_until else None
    if row.status == "queued":
        over = row.wait_until is not None and now >= row.wait_until
        return ("expired", "what it waited for did not come before its deadline") if over else None
    until = abandoned_at(row, window)
    return ("abandoned", "not resumed in time") if now >= until and now >= kept_until(until) else None


def _over(ledger: Ledger, client: SyncPrefectClient, row: RunRow, now: float, extended: Extended) -> tuple[Ending, str] | None:
    event = ledger.find(f"{row.run_id}:ending", EndingDecided)
    decided = event.fact.ending if event is not None else None
    claim, window = _claim(ledger, client, row.run_id), resume_window(ledger, row.run_id)
    return ending_of(row, decided, claim, window, now, lambda until: extended.run_until(row.run_id, until))


def _claim(ledger: Ledger, client: SyncPrefectClient, run_id: str) -> Claim:
    try:
        state = client.read_flow_run(UUID(run_id)).state
    except ObjectNotFound:
        return "deleted" if _is_its_server(ledger, client, run_id) else ""
    return "cancelled" if state is not None and state.type in {StateType.CANCELLED, StateType.CANCELLING} else ""


def _is_its_server(ledger: Ledger, client: SyncPrefectClient, run_id: str) -> bool:
    """Whether this server knows the flow that the run was of: to another one every run would look deleted."""
    flows = [UUID(event.fact.prefect_flow) for event in ledger.facts(AttemptStarted, run_id) if event.fact.prefect_flow]
    return bool(flows) and bool(client.read_flows(flow_filter=FlowFilter(id=FlowFilterId(any_=flows[-1:]))))


def _end(settings: Settings, ledger: Ledger, client: SyncPrefectClient, row: RunRow, ending: Ending, why: str) -> str:
    try:
        attempt = Attempt(settings, ledger, row.run_id, read_secret, read_settings=read_settings, after=row.attempt)
        receipt = end(attempt, ending, why)
    except GatehouseError as error:
        return str(error)
    _show(client, row.run_id, state_of(ending, f"{why}; ended by the sweeper"))
    return "; ".join(receipt.obligations)


def _show(client: SyncPrefectClient, run_id: str, state: State[None]) -> None:
    """Lets Prefect's picture of a run follow the ledger, where there is one that does not yet."""
    try:
        shown = client.read_flow_run(UUID(run_id)).state
    except ObjectNotFound:
        return
    if shown is not None and not shown.is_final():
        client.set_flow_run_state(UUID(run_id), state, force=True)
