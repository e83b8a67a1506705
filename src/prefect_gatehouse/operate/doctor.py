"""Looking over what keeps a workload and Prefect's API in their places: the cell that works here, and what the server has been told.

Anybody with the server's address may change what it has: what a worker would heed is told, and what it ignores.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Literal, get_args

from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import WorkPool
from prefect.client.schemas.responses import DeploymentResponse

from prefect_gatehouse.errors import GatehouseError, Unavailable
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.opening import open_ledger
from prefect_gatehouse.operate.bundle import status
from prefect_gatehouse.operate.runs import server
from prefect_gatehouse.policy.tiers import load_tiers
from prefect_gatehouse.run.registry import is_as_recorded
from prefect_gatehouse.settings import load_settings
from prefect_gatehouse.tickets.config import load_tickets
from prefect_gatehouse.tickets.file import TicketFile
from prefect_gatehouse.value import Value
from prefect_gatehouse.vocabulary import CellName, TicketProof
from prefect_gatehouse.worker.orders import OWN_FLOWS, OWN_VARIABLES
from prefect_gatehouse.worker.template import is_plain
from prefect_gatehouse.workload.runner.choose import denies, strongest


class Finding(Value):
    """One thing that somebody should know.

    Attributes:
        level: ``problem`` where something should be changed, ``note`` where it is as documented.
        where: The object on the server, or this machine.
        message: What was found.
        advice: What to do.
    """

    level: Literal["problem", "note"]
    where: str
    message: str
    advice: str


def examine() -> list[Finding]:
    """The cell that workloads have on this machine, its registry, policies and tickets, and what the Prefect server has of its pools and deployments.

    What can't be looked at is a problem among the others, and keeps nothing else from being looked at.
    """
    found: list[Finding] = []
    for look in (_of_cell, _of_registry, _of_bundle, _of_tickets, _of_server):  # what needs the server last: it may not be there
        try:
            found.extend(look())
        except GatehouseError as error:
            found.append(Finding(level="problem", where=error.where or "this machine", message=error.message, advice=error.advice))
    return found


def _of_server() -> list[Finding]:
    with server() as client:
        try:
            deployments = client.read_deployments(flow_filter=FlowFilter(name=FlowFilterName(any_=list(OWN_FLOWS))))
            pools = {pool.name: pool for pool in client.read_work_pools()}
            flows = {each.flow_id: client.read_flow(each.flow_id).name for each in deployments}
        except Exception:  # noqa: BLE001 - the client lets through whatever its transport raises
            advice = "look at its log, then run gatehouse doctor again"
            raise Unavailable("the Prefect server has stopped answering", where="PREFECT_API_URL", advice=advice) from None
    ours = {each.work_pool_name for each in deployments}
    found = [finding for name, pool in pools.items() if pool.type == "gatehouse" or name in ours for finding in _of_pool(pool)]
    return found + [finding for each in deployments for finding in _of_deployment(flows[each.flow_id], each)]


def _of_cell() -> Iterator[Finding]:
    yield _cell(strongest())


def _cell(cell: CellName) -> Finding:
    message = f"workloads run in the cell {cell}; denied: {denies(cell)}"
    if cell == "bubblewrap":
        return Finding(level="note", where="this machine", message=message, advice="nothing: there is no stronger one")
    advice = "install bubblewrap and let the worker's user make namespaces (docs/operators.md, The cell)"
    if cell == "landlock":
        return Finding(level="note", where="this machine", message=message, advice=f"for the stronger one: {advice}")
    if sys.platform != "linux":
        return Finding(level="note", where="this machine", message=message, advice="run workers of the tiers that ask for a cell on Linux")
    return Finding(level="problem", where="this machine", message=message, advice=advice)


def _of_registry() -> Iterator[Finding]:
    settings = load_settings()
    people = People(settings.people_folder())
    with open_ledger(settings) as ledger:
        right = is_as_recorded(settings, ledger, people)
    if right is False:
        message = "it is not what its recorded changes have made of it: only the prototype tier still goes by it"
        advice = "look: gatehouse people history; then, where it is right: gatehouse people accept --reason WHY"
        yield Finding(level="problem", where="registry of people", message=message, advice=advice)
    elif right is None and people.all():
        message = "none of its changes is in the ledger, so nobody could tell whether it was edited"
        advice = "gatehouse people accept --reason WHY; from then on every change is recorded"
        yield Finding(level="note", where="registry of people", message=message, advice=advice)


def _of_bundle() -> Iterator[Finding]:
    """Only where somebody has begun one: without it the prototype tier is all that there is, and its plans say so."""
    settings = load_settings()
    with open_ledger(settings) as ledger:
        now = status(settings, ledger)
    if now.refusal is not None and (now.history or settings.bundle_file().exists()):
        message = f"{now.refusal.message}: only the prototype tier is open"
        yield Finding(level="problem", where=now.refusal.where, message=message, advice=now.refusal.advice)


def _of_tickets() -> Iterator[Finding]:
    """Only where a bundle is begun, as above."""
    settings = load_settings()
    if not settings.bundle_file().exists():
        return
    system = load_tickets(settings.tickets_file())
    proof: TicketProof = "none" if system is None else "file" if isinstance(system, TicketFile) else "system"
    order = get_args(TicketProof)
    stopped = [name for name, tier in load_tiers(settings.tiers).items() if order.index(tier.ticket) > order.index(proof)]
    if stopped:
        found = "no ticket system is" if system is None else "a list, and no ticket system, is"
        message = f"{found} set up: runs of {', '.join(stopped)} stop at admission"
        advice = f"write {settings.tickets_file()} (docs/operators.md, Tickets)"
        yield Finding(level="problem", where="tickets", message=message, advice=advice)


def _of_pool(pool: WorkPool) -> Iterator[Finding]:
    where = f"work pool {pool.name}"
    if pool.type != "gatehouse":
        message = f"its workers are of the type {pool.type}: they start what whoever may call Prefect's API says"
        yield Finding(level="note", where=where, message=message, advice="only the prototype tier accepts that; for the others: gatehouse worker")
    elif not is_plain(pool.base_job_template):
        message = "its base job template asks for something: a placeholder or a value, which the worker ignores"
        advice = f"somebody changed it; put the plain one back: delete the pool and start the worker, or prefect work-pool update {pool.name}"
        yield Finding(level="problem", where=where, message=message, advice=advice)


def _of_deployment(flow: str, deployment: DeploymentResponse) -> Iterator[Finding]:
    where = f"deployment {flow}/{deployment.name}"
    changed = [
        name
        for name, differs in (
            ("entrypoint", deployment.entrypoint not in (None, OWN_FLOWS[flow])),
            ("pull_steps", bool(deployment.pull_steps)),
            ("job_variables", (deployment.job_variables or {}) not in OWN_VARIABLES),
        )
        if differs
    ]
    if changed:
        message = (
            f"other than deployments/prefect.yaml has it: {', '.join(changed)}; a gatehouse worker ignores that, a process worker does as it says"
        )
        yield Finding(
            level="problem", where=where, message=message, advice="deploy again: prefect deploy --all --prefect-file deployments/prefect.yaml"
        )
