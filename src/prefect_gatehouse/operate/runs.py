"""Acting on runs from outside: start, answer, resume, abandon - through the same calls that the Prefect UI makes."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from httpx import HTTPStatusError, codes
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import ObjectNotFound
from prefect.input import read_flow_run_input
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled

from prefect_gatehouse.blocks.devices import read_settings
from prefect_gatehouse.blocks.reader import read_secret
from prefect_gatehouse.errors import GatehouseError, InputError, Unavailable
from prefect_gatehouse.flows.ending import end
from prefect_gatehouse.flows.resuming import go_on
from prefect_gatehouse.identity.methods.certificate import own_certificate
from prefect_gatehouse.identity.request import LIFETIME, SignedRequest, sign_request, subject_of
from prefect_gatehouse.identity.sshsig import sign
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.policy.tiers import load_tiers
from prefect_gatehouse.run.apart import workload_beside
from prefect_gatehouse.run.approvals import last_asked, statements
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.matter import matter_of
from prefect_gatehouse.run.values import CleanupReceipt, run_name
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import Ending

DEPLOYMENT = "governed-pipeline/governed-pipeline"
_TRIES = 6  # the SQLite server answers 503 now and then; with the pause below that is six seconds

_RETRY = (
    "not paused",  # Prefect's client asked again by itself after an acknowledgement was lost, or somebody else was faster
    "schema not found",  # the form follows the state in a moment
)
"""Why an answer may not have been taken, so that it is worth another look; anything else the server refuses again."""


def server() -> SyncPrefectClient:
    """A client of the Prefect server that is set.

    Raises:
        Unavailable: None is set, none answers, or what answers is no Prefect server.
    """
    url = PREFECT_API_URL.value()
    if not url:
        # Without an address Prefect would start a server of its own, empty, for this one command.
        advice = "set it to the server's address, such as http://127.0.0.1:4200/api, or try: gatehouse demo"
        raise Unavailable("no Prefect server is set", where="PREFECT_API_URL", advice=advice)
    where = f"PREFECT_API_URL={re.sub('//[^/@]*@', '//', url)}"  # without a user's name and password
    client = get_client(sync_client=True)
    try:
        with get_client(sync_client=True) as probe:  # an httpx client that was used can't be entered any more
            status = probe.hello().status_code
    except HTTPStatusError as error:  # of Prefect's client, which raises on a status by itself
        status = error.response.status_code
    except Exception:  # noqa: BLE001 - the client lets through whatever its transport raises
        advice = "is the address right? a server on this machine is started with: prefect server start"
        raise Unavailable("the Prefect server does not answer", where=where, advice=advice) from None
    if status == codes.NOT_FOUND:
        raise Unavailable("something answers there that is no Prefect server", where=where, advice="the address of a server's API ends with /api")
    if not codes.is_success(status):
        raise Unavailable(f"the Prefect server answers with status {status}", where=where, advice="try again, or look at the server's log")
    return client


def signed_for(settings: Settings, path: Path) -> SignedRequest:
    """A request for a manifest and the workload beside it, signed with the caller's own key.

    Raises:
        InputError: The manifest, its workload or the key is not usable.
    """
    loaded = load_manifest(path)
    workload = workload_beside(settings, loaded.manifest, path)
    lifetime = min(LIFETIME, timedelta(seconds=load_tiers(settings.tiers)[loaded.manifest.tier].request_age_seconds))
    return sign_request(settings.identity_key(), subject_of(loaded.digest, str(path.parent), workload.digest), settings.environment, lifetime)


def start(settings: Settings, manifest: Path, *, signed: bool, deployment: str = DEPLOYMENT) -> str:
    """Signs a request and starts a run.

    Returns:
        The run's identifier.

    Raises:
        InputError: The manifest or the key is not usable, or there is no such deployment.
    """
    path = manifest.resolve()
    called = run_name(load_manifest(path).manifest)  # what is wrong with it is told here, not by a run
    request = signed_for(settings, path) if signed else None
    parameters: dict[str, Any] = {"manifest": str(path), "request": request.model_dump(mode="json") if request else None}
    with server() as client:
        try:
            found = client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            advice = "run: prefect deploy --all --prefect-file deployments/prefect.yaml"
            raise InputError("there is no such deployment", where=deployment, advice=advice) from None
        return str(client.create_flow_run_from_deployment(found.id, parameters=parameters, name=called).id)


def flow_run(client: SyncPrefectClient, run_id: str) -> FlowRun:
    """A run as Prefect knows it.

    Raises:
        InputError: Prefect does not know it.
    """
    try:
        return client.read_flow_run(UUID(run_id))
    except (ObjectNotFound, ValueError):
        raise InputError("Prefect does not know this run", where=run_id, advice="is PREFECT_API_URL the right server?") from None


def sign_answer(settings: Settings, ledger: Ledger, run_id: str, decision: Literal["approve", "reject"]) -> str:
    """The caller's SSH signature of the statement that a waiting run asks about, with the certificate beside the key where there is one.

    Raises:
        InputError: The run waits for nobody, or there is no key.
    """
    matter = matter_of(ledger, run_id)
    asked = last_asked(ledger, matter) if matter is not None else None
    if matter is None or asked is None:
        raise InputError("the run does not wait for an approval", where=run_id, advice=f"look at: gatehouse show {run_id}")
    approve, reject = statements(matter, asked)
    key = settings.identity_key()
    message = (approve if decision == "approve" else reject).message()
    return sign(key, message, certificate=own_certificate(key, datetime.now(UTC)))


def answer(run_id: str, decision: Literal["approve", "reject"], *, approver: str = "", proof: str, reason: str = "") -> None:
    """Fills in the form of a suspended run and resumes it.

    Raises:
        InputError: The run is not suspended.
        Unavailable: The server does not take the answer.
    """
    form = {"decision": decision, "approver": approver, "proof": proof, "reason": reason}
    asked: dict[str, str] | None = None
    with server() as client:
        for left in reversed(range(_TRIES)):
            state = flow_run(client, run_id).state
            waits = state is not None and state.type is StateType.PAUSED
            keys = state.state_details.run_input_keyset if state is not None and waits else None
            if asked is not None and keys != asked and read_flow_run_input(asked["response"], UUID(run_id)) == form:
                return  # the server took exactly this answer, but its acknowledgement was lost
            if not waits:
                raise InputError("the run does not wait for an answer", where=run_id, advice=f"look at: gatehouse show {run_id}")
            if not keys:
                raise InputError("the run was suspended by hand and asks nothing", where=run_id, advice=f"run: gatehouse resume {run_id}")
            asked = keys
            try:
                response = client.resume_flow_run(UUID(run_id), run_input=form)
            except Exception:  # noqa: BLE001 - a busy server's 503, a reset: whether it took the answer shows at the next look
                why = _RETRY[0]
            else:
                if response.status is SetStateStatus.ACCEPT:
                    return
                why = str(getattr(response.details, "reason", "") or "")
            if not any(words in why for words in _RETRY):
                break
            if left:
                time.sleep(1)
    raise Unavailable("the server did not take the answer", where=run_id, advice="try again", retry=True)


def resume(ledger: Ledger, run_id: str, *, dead: bool = False) -> None:
    """Schedules a run again that failed for an operational reason, waits in a queue, was suspended by hand, or whose process died.

    Args:
        ledger: The open ledger.
        run_id: The run.
        dead: The caller knows that the run's process is dead, though its last sign of life is not old enough to tell. Should the
            process live after all, the fence stops it.

    Raises:
        InputError: The run is closed, waits for an approval, or still runs.
        Unavailable: The server does not schedule the run.
    """
    row = ledger.run(run_id)
    if row is not None and row.ending is not None:
        raise InputError(f"the run is closed ({row.ending})", where=run_id, advice="start a new run")
    with server() as client:
        flow_run(client, run_id)
        go_on(client, ledger, run_id, dead=dead)


def abandon(settings: Settings, ledger: Ledger, run_id: str) -> CleanupReceipt:
    """Ends a run that nobody will resume; a process that still drives it is fenced out and stops.

    Raises:
        GatehouseError: Cleaning up failed; the sweeper tries again.
    """
    return end_by_hand(settings, ledger, run_id, "abandoned", "abandoned by hand")


def end_by_hand(settings: Settings, ledger: Ledger, run_id: str, ending: Ending, why: str) -> CleanupReceipt:
    """Takes a run over from whatever drives it, and ends it.

    Raises:
        GatehouseError: Cleaning up failed; the sweeper tries again.
    """
    attempt = Attempt(settings, ledger, run_id, read_secret, read_settings=read_settings)
    receipt = end(attempt, ending, why)
    try:
        with server() as client:
            state = flow_run(client, run_id).state
            if state is None or not state.is_final():
                client.set_flow_run_state(UUID(run_id), Cancelled(message=why), force=True)
    except GatehouseError:
        pass  # the ledger has closed the run; Prefect's picture of it is not what counts
    return receipt
