"""The sweeper: ends what nobody ended - runs that expired, were cancelled while suspended, or were not resumed in time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from uuid import UUID

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Failed

from prefect_gatehouse.attempt import Attempt
from prefect_gatehouse.blocks.reader import read_secret
from prefect_gatehouse.data.scratch import remove_dead
from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.flows.driving import DEFAULT_WINDOW
from prefect_gatehouse.ledger.note import ledger_key
from prefect_gatehouse.ledger.seal import ORIGIN, seal
from prefect_gatehouse.ledger.store import Event, Ledger, RunRow
from prefect_gatehouse.settings import Settings, load_settings
from prefect_gatehouse.tasks.clean_up import end
from prefect_gatehouse.tasks.gate import sanitised
from prefect_gatehouse.validation.retention import delete_expired
from prefect_gatehouse.values import Ending


@flow(name="clean-up", persist_result=False, retries=0, log_prints=False)
def clean_up() -> State[None] | None:
    """Looks at every open run once, ends those that are over, and signs a head of the ledger."""
    try:
        swept = sweep(load_settings())
    except Exception as error:  # noqa: BLE001 - Prefect would store a foreign error's text and traceback
        return Failed(message=str(sanitised(error, "clean-up")))
    create_table_artifact(
        key="gatehouse-clean-up",
        table=swept or [{"run": "none", "ending": "", "note": "nothing to clean up"}],
        description="Runs that the sweeper ended",
    )
    return None


def sweep(settings: Settings, now: float | None = None) -> list[dict[str, str]]:
    """Ends every open run that is over; deletes the pages of suites whose retention has passed and what killed dry runs left.

    Args:
        settings: The installation.
        now: Seconds since the epoch; the clock's unless given.

    Returns:
        One row a run: its identifier, its ending, and what was left to say; and one a page.
    """
    now = time.time() if now is None else now
    settings.folder("")
    ledger = Ledger(settings.ledger())
    swept = []
    try:
        with get_client(sync_client=True) as client:
            for row in ledger.runs():
                ending = ending_of(row, _state(client, row.run_id), ledger.event(f"{row.run_id}:ending"), ledger, now)
                if ending is not None:
                    swept.append({"run": row.run_id, "ending": ending, "note": _end(settings, ledger, client, row.run_id, ending)})
        for page in delete_expired(ledger, settings.folder("reports"), datetime.fromtimestamp(now, UTC)):
            swept.append({"run": page.uri, "ending": "retention", "note": page.note or "deleted"})
        remove_dead()
        key, _ = ledger_key(settings.folder(""), ORIGIN)
        seal(ledger, key)
    finally:
        ledger.close()
    return swept


def ending_of(row: RunRow, state: State | None, decided: Event | None, ledger: Ledger, now: float) -> Ending | None:
    """How an open run has ended although nobody ended it; None where it goes on."""
    if row.ending is not None:
        return None
    active = state is not None and state.type in {StateType.RUNNING, StateType.PENDING, StateType.SCHEDULED}
    if decided is not None:
        return None if active else decided.data["ending"]
    if state is not None and state.type in {StateType.CANCELLED, StateType.CANCELLING}:
        return "cancelled" if state.type is StateType.CANCELLED else None
    if row.status == "waiting":
        return "expired" if row.wait_until is not None and now >= row.wait_until else None
    if active:
        return None
    until = row.wait_until if row.status == "failed" and row.wait_until is not None else row.updated + _window(ledger, row.run_id)
    return "abandoned" if now >= until else None


def _window(ledger: Ledger, run_id: str) -> float:
    admitted = ledger.event(f"{run_id}:admit")
    return float(admitted.data["value"]["tier"]["resume_window_seconds"]) if admitted is not None else DEFAULT_WINDOW


def _state(client: SyncPrefectClient, run_id: str) -> State | None:
    try:
        return client.read_flow_run(UUID(run_id)).state
    except (ObjectNotFound, ValueError):
        return None


def _end(settings: Settings, ledger: Ledger, client: SyncPrefectClient, run_id: str, ending: Ending) -> str:
    try:
        attempt = Attempt(settings, ledger, run_id, read_secret)
        receipt = end(attempt, ending, "the sweeper found the run over")
    except GatehouseError as error:
        return str(error)
    state = _state(client, run_id)
    if state is not None and not state.is_final():
        client.set_flow_run_state(UUID(run_id), Failed(name=ending.capitalize(), message="ended by the sweeper"), force=True)
    return "; ".join(receipt.obligations)
