"""In the forked process: read from the API which run it is, take everything else from the ledger, and run this installation's own flow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.context import SyncClientContext
from prefect.engine import handle_engine_signals
from prefect.exceptions import Abort, ObjectNotFound
from prefect.flow_engine import run_flow
from prefect.states import Failed
from prefect.utilities.engine import propose_state_sync

from prefect_gatehouse.errors import GatehouseError, InputError
from prefect_gatehouse.flows.clean_up import clean_up
from prefect_gatehouse.flows.crash import mark_crashed
from prefect_gatehouse.flows.governed_pipeline import governed_pipeline
from prefect_gatehouse.flows.reconcile import reconcile
from prefect_gatehouse.flows.started_by import hand_over
from prefect_gatehouse.flows.unwatched import unwatched
from prefect_gatehouse.ledger.opening import open_ledger
from prefect_gatehouse.policy.cedar import load_policy
from prefect_gatehouse.run.ahead import drop_aside, drop_spare, prepared
from prefect_gatehouse.run.cells import get_spares, start_aside
from prefect_gatehouse.run.under import look_anew
from prefect_gatehouse.settings import load_settings
from prefect_gatehouse.tasks.gate import sanitised
from prefect_gatehouse.worker.configuration import WorkerConfiguration
from prefect_gatehouse.worker.orders import Asked, Work, work_of
from prefect_gatehouse.worker.protocol import Drive, NoteCrash

_NAMES: dict[UUID, str] = {}
"""Of flows that were met while this process waited; Prefect lets nobody rename one."""
_FLOWS: dict[str, Flow[..., Any]] = {"governed-pipeline": governed_pipeline, "clean-up": clean_up, "reconcile": reconcile}


def drive(configuration: WorkerConfiguration, order: Drive) -> None:
    """Runs a run's flow until it waits or ends.

    Raises:
        SystemExit: With the code that Prefect's own engine would end with.
    """
    os.environ["PREFECT__FLOW_RUN_ID"] = order.run_id
    look_anew()  # what was installed when this process got ready is not what counts
    run_id = UUID(order.run_id)
    with handle_engine_signals(run_id), ExitStack() as kept:
        kept.callback(drop_aside)
        imported = prepared() > 0
        if not imported:
            _start_aside(order.run_id)
        client = kept.enter_context(SyncClientContext.get_or_create()).client  # the engine's, too
        try:
            flow_run = client.read_flow_run(run_id)
            work = _work(configuration, order, client, flow_run)
        except ObjectNotFound:
            return  # deleted meanwhile: the sweeper ends what the ledger has of it
        except Exception as error:  # noqa: BLE001 - a foreign error's text would be stored
            _refuse(client, run_id, sanitised(error, "worker"))
            return
        hand_over(order.warrant)
        if imported:  # what is installed has been looked at meanwhile
            _start_aside(order.run_id)
        flow, flow_run = _FLOWS[work.flow], _without_orders(flow_run)
        run_flow(flow, flow_run=unwatched(flow_run) if flow is governed_pipeline else flow_run, parameters=work.parameters, return_type="state")


@contextmanager
def ready() -> Iterator[None]:
    """Gets ready for a run that nobody knows yet: a cell, the policies as they are now, a client of Prefect's that has met its server.

    What of it can't be had the run gets for itself, or is told why not.
    """
    with ExitStack() as kept:
        kept.callback(drop_spare)
        with suppress(Exception):
            settings = load_settings()
            get_spares(settings)
            load_policy(settings.policies).parsed()  # once for the same text
        with suppress(Exception):
            client = kept.enter_context(SyncClientContext.get_or_create()).client
            own = FlowFilter(name=FlowFilterName(any_=list(_FLOWS)))
            _NAMES.update({each.id: each.name for each in client.read_flows(flow_filter=own)})  # the first call that is no GET fetches a token, too
        yield


def _start_aside(run_id: str) -> None:
    """The cell of a run that was answered takes the workload, and imports what it needs, while Prefect is asked about the run."""
    with suppress(Exception):  # it saves time and nothing else: whoever drives the run says what is wrong
        settings = load_settings()
        with open_ledger(settings) as ledger:
            start_aside(settings, ledger, run_id)


def _work(configuration: WorkerConfiguration, order: Drive, client: SyncPrefectClient, flow_run: FlowRun) -> Work:
    with open_ledger(load_settings()) as ledger:
        return work_of(configuration, ledger, _asked(order, client, flow_run))


def _asked(order: Drive, client: SyncPrefectClient, flow_run: FlowRun) -> Asked:
    deployment = None
    if flow_run.deployment_id is not None:
        try:
            deployment = client.read_deployment(flow_run.deployment_id)
        except ObjectNotFound:
            deployment = None
    return Asked(
        run_id=order.run_id,
        flow=_NAMES.get(flow_run.flow_id) or client.read_flow(flow_run.flow_id).name,
        deployment=deployment.name if deployment is not None else "",
        parameters=flow_run.parameters,
        job_variables=flow_run.job_variables or {},
        retries=bool(flow_run.empirical_policy.retries),
        entrypoint=(deployment.entrypoint or "") if deployment is not None else "",
        pull_steps=bool(deployment is not None and deployment.pull_steps),
        deployment_variables=(deployment.job_variables or {}) if deployment is not None else {},
        plain_pool=order.plain_pool,
    )


def _without_orders(flow_run: FlowRun) -> FlowRun:
    """The run as its engine may have it: no retries, by which the flow would run again in this process."""
    policy = flow_run.empirical_policy.model_copy(update={"retries": 0, "retry_delay": 0})
    return flow_run.model_copy(update={"empirical_policy": policy, "parameters": {}, "job_variables": {}})


def _refuse(client: SyncPrefectClient, run_id: UUID, error: GatehouseError) -> None:
    """Sets a state that says why; whoever mends the cause can schedule the run again."""
    name = "Refused" if isinstance(error, InputError) else "Resumable"
    try:
        propose_state_sync(client, Failed(name=name, message=f"{error}; then: gatehouse resume {run_id}"), flow_run_id=run_id)
    except (Abort, ObjectNotFound):
        return  # somebody else has ended it


def note_crash(order: NoteCrash) -> None:
    """Tells the ledger that the process of a run has died, which the dead one could not."""
    with open_ledger(load_settings()) as ledger:
        mark_crashed(ledger, order.run_id, order.at)
