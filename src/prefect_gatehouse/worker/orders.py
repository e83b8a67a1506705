"""What the API says of a run, against what the worker goes by: the ledger, and this installation's own flows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.identity.request import SignedRequest
from prefect_gatehouse.ledger.events import OrdersIgnored, RunRequested
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.values import AdmittedRun
from prefect_gatehouse.worker.configuration import WorkerConfiguration

# deployments/prefect.yaml names it for process workers; this worker starts its runs so anyhow.
OWN_VARIABLES: tuple[dict[str, Any], ...] = ({}, {"env": {"PYTHONHASHSEED": "0"}})
OWN_FLOWS = {
    "governed-pipeline": "prefect_gatehouse.flows.governed_pipeline.governed_pipeline",
    "clean-up": "prefect_gatehouse.flows.clean_up.clean_up",
    "reconcile": "prefect_gatehouse.flows.reconcile.reconcile",
}
"""The flows that there are to run, by name, with the entry point that a deployment of ours has."""


@dataclass(frozen=True)
class Asked:
    """What Prefect has of one run.

    Attributes:
        run_id: The run.
        flow: Name of its flow.
        deployment: Name of its deployment; empty where it has none.
        parameters: The flow run's.
        job_variables: The flow run's.
        retries: Whether its policy asks for retries.
        entrypoint: The deployment's.
        pull_steps: Whether the deployment names any.
        deployment_variables: The deployment's job variables.
        plain_pool: Whether the pool's template is without placeholders.
    """

    run_id: str
    flow: str
    deployment: str
    parameters: Mapping[str, Any]
    job_variables: Mapping[str, Any]
    retries: bool
    entrypoint: str
    pull_steps: bool
    deployment_variables: Mapping[str, Any]
    plain_pool: bool

    @property
    def label(self) -> str:
        """FLOW/DEPLOYMENT."""
        return f"{self.flow}/{self.deployment}"


@dataclass(frozen=True)
class Work:
    """What is run.

    Attributes:
        flow: Name of one of this installation's flows.
        parameters: What it is called with.
    """

    flow: str
    parameters: dict[str, Any]


def work_of(configuration: WorkerConfiguration, ledger: Ledger, asked: Asked) -> Work:
    """What to run for a run, and an event that tells what was asked for beside it.

    Raises:
        InputError: Nothing of this is to be run here; an event says why.
    """
    held = _held(ledger, asked.run_id)
    if held is None:
        try:
            return _first(configuration, ledger, asked)
        except InputError as error:
            _tell(ledger, asked.run_id, (error.where, *_beside(asked)), str(error))
            raise
    changed = [*_beside(asked), *(["flow_run.parameters"] if not _same(asked.parameters, held) else [])]
    if asked.label not in configuration.deployments:
        changed.append("flow_run.deployment_id")
    _tell(ledger, asked.run_id, changed)
    return Work("governed-pipeline", _parameters(held))


def _first(configuration: WorkerConfiguration, ledger: Ledger, asked: Asked) -> Work:
    """A run that the ledger does not know yet: the one time when something is taken from the API."""
    if asked.label not in configuration.deployments or asked.flow not in OWN_FLOWS:
        advice = "the worker's own configuration names the deployments that it runs"
        raise InputError("this worker does not run the deployment", where="flow_run.deployment_id", advice=advice)
    if asked.flow != "governed-pipeline":
        _tell(ledger, asked.run_id, [*_beside(asked), *(["flow_run.parameters"] if asked.parameters else [])])
        return Work(asked.flow, {})
    held = _requested(configuration, asked.parameters)
    _tell(ledger, asked.run_id, _beside(asked))
    with ledger.transaction() as tx:
        tx.append(f"{asked.run_id}:requested", asked.run_id, held)
    return Work(asked.flow, _parameters(held))


def _requested(configuration: WorkerConfiguration, given: Mapping[str, Any]) -> RunRequested:
    where, advice = "flow_run.parameters", "start the run again: gatehouse run"
    manifest, request = given.get("manifest"), given.get("request")
    if set(given) - {"manifest", "request"} or not isinstance(manifest, str):
        raise InputError("the parameters are not manifest and request", where=where, advice=advice)
    try:
        path = Path(manifest).resolve()
        signed = None if request is None else SignedRequest.model_validate_json(json.dumps(request))
    except (ValidationError, ValueError, OSError, RuntimeError, RecursionError):
        raise InputError("the parameters are no path and signed request", where=where, advice=advice) from None
    if not path.is_absolute() or not configuration.admits(path):
        advice = "the worker's own configuration names the folders: GATEHOUSE_WORKER_FOLDERS, or folders in its file"
        raise InputError("the manifest lies in no folder that this worker takes manifests from", where=where, advice=advice)
    return RunRequested(manifest=str(path), request=None if signed is None else signed.model_dump(mode="json"))


def _held(ledger: Ledger, run_id: str) -> RunRequested | None:
    """What the ledger holds of a run's request; of a run that another worker began, whose admission is behind it, the manifest is enough."""
    event = ledger.find(f"{run_id}:requested", RunRequested)
    if event is not None:
        return event.fact
    admitted = Chain(ledger, run_id).read(AdmittedRun.gate, AdmittedRun)
    return None if admitted is None else RunRequested(manifest=str((Path(admitted.folder) / admitted.file).resolve()))


def _parameters(held: RunRequested) -> dict[str, Any]:
    request = None if held.request is None else SignedRequest.model_validate_json(json.dumps(held.request))
    return {"manifest": held.manifest, "request": request}


def _same(given: Mapping[str, Any], held: RunRequested) -> bool:
    """Whether the API still has the parameters that were taken; the signature alone tells one request from another."""
    try:
        signature = (given.get("request") or {}).get("signature")
        same_path = str(Path(str(given.get("manifest"))).resolve()) == held.manifest
    except (AttributeError, ValueError, OSError, RuntimeError):
        return False
    return not set(given) - {"manifest", "request"} and same_path and signature == (held.request or {}).get("signature")


def _beside(asked: Asked) -> Iterator[str]:
    """What is set there that this worker does not heed."""
    if asked.job_variables not in OWN_VARIABLES:
        yield "flow_run.job_variables"
    if asked.retries:
        yield "flow_run.empirical_policy"
    if asked.deployment_variables not in OWN_VARIABLES:
        yield "deployment.job_variables"
    if asked.entrypoint != OWN_FLOWS.get(asked.flow, asked.entrypoint):
        yield "deployment.entrypoint"
    if asked.pull_steps:
        yield "deployment.pull_steps"
    if not asked.plain_pool:
        yield "work_pool.base_job_template"


def _tell(ledger: Ledger, run_id: str, fields: Any, refused: str = "") -> None:
    """One event for each set of fields: who repeats it fills no ledger."""
    names = tuple(sorted(set(fields)))
    if not names:
        return
    name = digest([*names, refused])[:16]
    with ledger.transaction() as tx:
        tx.append(f"{run_id}:ignored:{name}", run_id, OrdersIgnored(fields=names, refused=refused[:500]))
