"""Why a run does not go on: from the ledger's heartbeats and from what Prefect has, so that nobody waits for what won't come."""

from __future__ import annotations

import time

from prefect.client.schemas.objects import State, StateType

from prefect_gatehouse.errors import GatehouseError, Interrupted, Unavailable
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.operate.runs import flow_run, server

_LOOK_SECONDS = 3.0  # between two questions to the server; the ledger is read far more often
_WORKER_SECONDS = 60.0  # a worker asks every ten seconds unless told otherwise
_PROCESS_SECONDS = 180.0  # a process imports for seconds; on a machine full of them, for much longer
_SCHEDULED = {
    "AwaitingConcurrencySlot": ("as many runs as the deployment allows are going", "it starts when one of them ends"),
}
_NO_WORKER = ("no worker has taken the run up", "start one: prefect worker start --pool gatehouse; the run goes on then by itself")


class Watch:
    """Looks after one run that should go on.

    Args:
        ledger: The open ledger.
        run_id: The run.
        since: The newest attempt when the run was scheduled: it goes on when a later one has begun. 0 for a new run.
    """

    def __init__(self, ledger: Ledger, run_id: str, since: int = 0) -> None:
        self._ledger = ledger
        self._run_id = run_id
        self._since = since
        self._began = self._next = time.monotonic()

    def row(self) -> RunRow | None:
        """The run in the ledger, None while no process has begun the attempt that is waited for."""
        row = self._ledger.run(self._run_id)
        return row if row is not None and (row.attempt > self._since or row.ending is not None) else None

    def look(self) -> None:
        """Asks, every few seconds, whether the run can still go on.

        Raises:
            Interrupted: Its process is dead.
            Unavailable: Nobody has taken it up in time.
        """
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _LOOK_SECONDS
        state = self._state()
        # Read after Prefect was asked: a process writes the ledger first, so an end that Prefect knows is in the ledger as well.
        row = self.row()
        if row is None or row.status == "scheduled":
            self._refuse_not_begun(state)
            return
        self._began = time.monotonic()  # should somebody schedule it again, its next process has as long as this one had
        if row.status == "running":
            self._refuse_dead(row, state)

    def _refuse_dead(self, row: RunRow, state: State | None) -> None:
        advice = f"run: gatehouse resume {self._run_id} --follow"
        if state is not None and state.type is StateType.CRASHED:
            raise Interrupted("the process of the run has died", where=self._run_id, advice=advice)
        if state is not None and state.type is StateType.FAILED:
            raise Interrupted(state.message or "the run failed", where=self._run_id, advice=advice)
        if row.is_lost():
            silent = f"{row.silent_for() or 0:.0f} s"
            raise Interrupted(f"the process of the run has given no sign of life for {silent}: it is dead", where=self._run_id, advice=advice)

    def _refuse_not_begun(self, state: State | None) -> None:
        waited = time.monotonic() - self._began
        here = "Prefect runs it, but this ledger hears nothing of it", "set GATEHOUSE_HOME and GATEHOUSE_LEDGER_URL as the worker has them"
        if state is None:
            what, limit = ("the Prefect server does not answer", "start it with: prefect server start"), _WORKER_SECONDS
        elif state.type is StateType.SCHEDULED:
            what, limit = _SCHEDULED.get(state.name or "", _NO_WORKER), _WORKER_SECONDS
        elif state.type is StateType.PENDING:
            what, limit = ("a worker took the run up, but its process does not start", "look at the worker's log"), _PROCESS_SECONDS
        elif state.type is StateType.CRASHED:
            raise Interrupted("the process died before it began", where=self._run_id, advice="look at the worker's log")
        elif state.type is StateType.FAILED:
            raise Interrupted(state.message or "the run failed before it began", where=self._run_id, advice="look at the worker's log")
        elif state.type in {StateType.CANCELLED, StateType.CANCELLING}:
            raise Interrupted("the run was cancelled in Prefect before it began", where=self._run_id, advice="start a new run")
        else:
            what, limit = here, 0.0 if state.is_final() else _PROCESS_SECONDS
        if waited >= limit:
            message, advice = what
            raise Unavailable(f"{message}, in {waited:.0f} s" if limit else message, where=self._run_id, advice=advice)

    def _state(self) -> State | None:
        """What Prefect has; None where its server does not answer, which stops no process that runs."""
        try:
            with server() as client:
                return flow_run(client, self._run_id).state
        except GatehouseError:
            return None
