"""Prefect's worker type `gatehouse`: `prefect worker start --pool POOL --type gatehouse`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.exceptions import InfrastructureNotFound, ObjectNotFound
from prefect.settings import PREFECT_WORKER_QUERY_SECONDS, get_current_settings, temporary_settings
from prefect.states import Cancelled
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.identity.warrant import obtain_worker_key, sign_warrant
from prefect_gatehouse.settings import Settings, load_settings
from prefect_gatehouse.worker.configuration import load_configuration
from prefect_gatehouse.worker.hand import Forked, Hand
from prefect_gatehouse.worker.protocol import Drive, NoteCrash
from prefect_gatehouse.worker.template import PLAIN, is_plain

if TYPE_CHECKING:
    import anyio.abc
    from prefect.client.schemas.objects import FlowRun

_LOOK_SECONDS = 2.0  # between two looks for runs that somebody cancelled
_GRACE_SECONDS = 30.0


class NoConfiguration(BaseJobConfiguration):
    """A job's configuration that nobody can say anything in."""

    @classmethod
    async def from_template_and_values(cls, *_: Any, **__: Any) -> Self:
        """Neither the pool's template nor anybody's values; nor are blocks and variables read that they name."""
        return cls()

    @classmethod
    async def resolve_for_flow_run(cls, flow_run: FlowRun, **_: Any) -> Self:
        """The same for every run, but for the run itself, which Prefect's events name."""
        configuration = cls()
        configuration.prepare_for_flow_run(flow_run)
        return configuration

    def prepare_for_flow_run(self, flow_run: FlowRun, *_: Any, **__: Any) -> None:
        """Keeps the run."""
        self._related_objects = {"flow-run": flow_run}

    def run_id(self) -> UUID | None:
        """The run that this is the configuration of."""
        flow_run = self._related_objects.get("flow-run")
        return None if flow_run is None else flow_run.id


class GatehouseResult(BaseWorkerResult):
    """How a process ended."""


class GatehouseWorker(BaseWorker[NoConfiguration, BaseVariables, GatehouseResult]):
    """Runs this installation's own flows, each run in a fork of a warm process; from Prefect's API it takes which run is due."""

    type = "gatehouse"
    job_configuration = NoConfiguration
    _description = "Runs Gatehouse's governed pipelines; takes no orders from the API: job variables, commands and environments are ignored."
    _display_name = "Gatehouse"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hand: Hand | None = None
        self._settings: Settings | None = None
        self._living: dict[UUID, Forked] = {}
        self._stopping: set[UUID] = set()
        self._looked = 0.0

    @classmethod
    def get_default_base_job_template(cls) -> dict[str, Any]:
        """A template without placeholders."""
        return {**PLAIN, "variables": dict(PLAIN["variables"])}

    async def start(self, run_once: bool = False, with_healthcheck: bool = False, printer: Callable[..., None] = print) -> None:
        """Polls as often as the worker's own configuration says.

        Raises:
            SystemExit: The configuration is not usable; it has been told how.
        """
        try:
            configuration = load_configuration(os.environ)
            os.environ.update(configuration.settings)
            self._settings = load_settings()
            obtain_worker_key(self._settings.worker_key_file())
        except GatehouseError as error:
            printer(f"error: {error}")
            raise SystemExit(error.exit_code) from None
        self._hand = Hand(configuration, _environment(), lambda: self._logger.info("Worker %r is warm: runs are forked from here", self.name))
        with temporary_settings({PREFECT_WORKER_QUERY_SECONDS: configuration.query_seconds}):
            await super().start(run_once=run_once, with_healthcheck=with_healthcheck, printer=printer)

    async def setup(self) -> None:
        """Begins to warm up while the worker says hello to the API."""
        if self._hand is not None:
            await self._hand.start()
        await super().setup()

    async def teardown(self, *exc_info: Any) -> None:
        """Lets the runs stop in order before the client is closed by which their ends are told."""
        if self._hand is not None:
            await self._hand.close()
        await super().teardown(*exc_info)

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Looks for cancelled runs, then for those that are due."""
        await self._stop_cancelled()
        return await super().get_and_submit_flow_runs()

    async def run(self, flow_run: FlowRun, configuration: NoConfiguration, task_status: anyio.abc.TaskStatus[int] | None = None) -> GatehouseResult:
        """Has one process forked for the run and waits for its end."""
        assert self._hand is not None and self._settings is not None  # start made them
        warrant = sign_warrant(self._settings.worker_key_file(), str(flow_run.id), self._settings.environment)
        number = self._hand.number()
        order = Drive(number=number, run_id=str(flow_run.id), warrant=warrant, plain_pool=is_plain(self.work_pool.base_job_template))
        forked = await self._hand.fork(number, order)
        pid = forked.pid.result()
        self._living[flow_run.id] = forked
        if task_status is not None:
            task_status.started(pid)
        try:
            code = await forked.ended
        finally:
            self._living.pop(flow_run.id, None)
        if flow_run.id in self._stopping:
            self._stopping.discard(flow_run.id)
            await self._mark_cancelled(flow_run.id)
            code = 0
        elif code:
            await self._note_crash(str(flow_run.id))
        return GatehouseResult(identifier=str(pid), status_code=code)

    async def kill_infrastructure(self, infrastructure_pid: str, configuration: NoConfiguration, grace_seconds: int = 30) -> None:
        """Stops the run's process; which one that is, this worker knows by itself: anybody may write another number into the API.

        Raises:
            InfrastructureNotFound: This worker has no process for the run.
        """
        run_id = configuration.run_id()
        forked = self._living.get(run_id) if run_id is not None else None
        if forked is None or self._hand is None:
            raise InfrastructureNotFound("this worker has no process for the run")
        await self._stop(forked, grace_seconds)

    async def _stop(self, forked: Forked, grace_seconds: float) -> None:
        assert self._hand is not None
        self._hand.stop(forked)
        done, _ = await asyncio.wait({forked.ended}, timeout=grace_seconds)
        if not done:
            self._hand.stop(forked, hard=True)

    async def _stop_cancelled(self) -> None:
        """Tells the processes of runs that somebody is cancelling to stop; they clean up, and are killed if they do not."""
        living = [run_id for run_id in self._living if run_id not in self._stopping]
        if not living or time.monotonic() < self._looked + _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        cancelling = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CANCELLING]))
        for found in await self.client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=living), state=cancelling)):
            forked = self._living.get(found.id)
            if forked is not None and self._runs_task_group is not None:
                self._stopping.add(found.id)
                self._runs_task_group.start_soon(self._stop, forked, _GRACE_SECONDS)

    async def _mark_cancelled(self, run_id: UUID) -> None:
        with suppress(ObjectNotFound):
            state = (await self.client.read_flow_run(run_id)).state
            if state is None or not state.is_final():
                await self.client.set_flow_run_state(run_id, Cancelled(message="cancelled in Prefect"), force=True)

    async def _note_crash(self, run_id: str) -> None:
        """The dead process could not tell the ledger."""
        assert self._hand is not None
        number = self._hand.number()
        with suppress(GatehouseError):  # the heartbeat tells as well, later
            forked = await self._hand.fork(number, NoteCrash(number=number, run_id=run_id, at=time.time()))
            await forked.ended


def _environment() -> dict[str, str]:
    """The runs' environment: the worker's own, with the settings of Prefect that its profile holds, without what Prefect says of a process."""
    own = {**os.environ, **get_current_settings().to_environment_variables(exclude_unset=True)}
    return {name: value for name, value in own.items() if not name.startswith("PREFECT__")}
