"""Looks after the runs that hold no process: those whose jobs have ended go on, and what ended runs have left at providers is put away.

The ledger decides, and the providers' own word about their jobs. Prefect is asked which of these runs somebody cancelled, which the sweeper's rules
then end, and whether the process of a run that is to go on has left.
"""

from __future__ import annotations

import time
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound

from prefect_gatehouse.blocks.reader import read_secret
from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.evidence.tell import tell_outside
from prefect_gatehouse.flows.clean_up import end_if_over
from prefect_gatehouse.flows.looking import look_once
from prefect_gatehouse.flows.reminding import remind
from prefect_gatehouse.flows.resuming import go_on
from prefect_gatehouse.ledger.opening import open_ledger
from prefect_gatehouse.ledger.projection import SILENT_SECONDS, RunRow
from prefect_gatehouse.ledger.seal import seal_home
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.extended import Extended
from prefect_gatehouse.run.reconciliation import Reconciliation
from prefect_gatehouse.settings import Settings

_AT_ONCE = 100  # runs in a question to Prefect: its answers have 200 at most


@flow(name="reconcile", persist_result=False, retries=0, log_prints=False)
def reconcile() -> None:
    """Asks each provider about all open jobs once, resumes runs that can go on, puts away what ended runs left, compares figures, and reminds."""
    nothing = {"about": "none", "done": "", "note": "nothing to do"}
    look_once("reconcile", look_after, nothing, "Runs that went on, jobs of ended runs, and jobs or figures that nobody can explain")


def look_after(settings: Settings, now: float | None = None) -> list[dict[str, str]]:
    """Looks once.

    Args:
        settings: The installation.
        now: Seconds since the epoch; the clock's unless given.

    Returns:
        One row for each run or job: what it is about, what was done, and what is left to say.
    """
    now = time.time() if now is None else now
    with open_ledger(settings) as ledger:
        extended = Extended(settings, ledger, now)
        found = Reconciliation(settings, ledger, read_secret, now).look()
        with get_client(sync_client=True) as client:
            for row in _cancelled(client, ledger):
                ended = end_if_over(settings, ledger, client, row, now, extended)
                if ended is not None:
                    found.tell(row.run_id, *ended)
            for row in found.ready:
                done, note = _resumed(client, ledger, row, now)
                if done:
                    found.tell(row.run_id, done, note)
        seal_home(settings.folder(""), ledger)
        tell_outside(settings, ledger)
        for about, done, note in remind(settings, ledger, now):  # last: it is up to receivers that nobody here runs
            found.tell(about, done, note)
    return found.told


def _cancelled(client: SyncPrefectClient, ledger: Ledger) -> list[RunRow]:
    """Runs that wait and were cancelled in Prefect: they need not wait for the sweeper, whose hour their jobs would be paid for."""
    waiting = {row.run_id: row for row in ledger.runs() if row.status == "queued" and row.ending is None}
    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CANCELLED, StateType.CANCELLING]))
    found: list[RunRow] = []
    names = sorted(waiting)
    for start in range(0, len(names), _AT_ONCE):
        ids = FlowRunFilterId(any_=[UUID(name) for name in names[start : start + _AT_ONCE]])
        found += [waiting[str(each.id)] for each in client.read_flow_runs(flow_run_filter=FlowRunFilter(id=ids, state=states))]
    return found


def _resumed(client: SyncPrefectClient, ledger: Ledger, row: RunRow, now: float) -> tuple[str, str]:
    """What became of a run that can go on; nothing where its process is about to leave, or the sweeper ends it."""
    try:
        state = client.read_flow_run(UUID(row.run_id)).state
        if state is None or state.is_cancelled() or state.is_cancelling():
            return "", ""
        if state.is_running() and now - row.updated < SILENT_SECONDS:
            return "", ""
        go_on(client, ledger, row.run_id)
    except ObjectNotFound:
        return "", ""
    except GatehouseError as error:
        return "not resumed", str(error)
    return "resumed", row.message
