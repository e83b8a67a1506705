"""The governed pipeline: a chain of gates, each of which takes what the one before it returned."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State

import prefect_gatehouse.flows.cell_first  # noqa: F401 - before whatever else it needs
from prefect_gatehouse.flows.crash import note_crash
from prefect_gatehouse.flows.lifecycle import drive
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.flows.started_by import require_tenant, require_worker
from prefect_gatehouse.identity.request import SignedRequest
from prefect_gatehouse.run.ahead import drop_spare
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.cells import begin_ahead, start_ahead
from prefect_gatehouse.run.values import Plan, WriteBackReceipt
from prefect_gatehouse.tasks.admit import admit
from prefect_gatehouse.tasks.await_approval import wait_for_approval
from prefect_gatehouse.tasks.await_release import wait_for_release
from prefect_gatehouse.tasks.conclude import conclude
from prefect_gatehouse.tasks.fetch_credential import fetch_credential
from prefect_gatehouse.tasks.minimise import minimise
from prefect_gatehouse.tasks.plan import plan
from prefect_gatehouse.tasks.validate_input import validate_input
from prefect_gatehouse.tasks.validate_output import validate_output
from prefect_gatehouse.tasks.write_back import write_back


@flow(name="governed-pipeline", persist_result=False, retries=0, log_prints=False, on_crashed=[note_crash])
def governed_pipeline(manifest: str, request: SignedRequest | None = None) -> State[None]:
    """Runs one manifest through every gate.

    Args:
        manifest: Path of the manifest, as the worker sees it.
        request: The requester's signature; `gatehouse run` makes it.
    """
    return drive(lambda attempt: through_the_gates(attempt, manifest, request))


def through_the_gates(attempt: Attempt, manifest: str, request: SignedRequest | None) -> WriteBackReceipt:
    """Gates 1 to 10, and between the last two the release of what is written; gate 11, clean_up, is the driver's on every way out.

    Gate 6, fetch_credential, is handed to those that need a credential: each passes it right before the use.
    """
    admitted = admit(attempt, manifest, request)
    require_tenant(attempt, admitted.manifest.tenant)
    require_worker(attempt, admitted.tier)
    made = plan.kept(attempt)
    if made is not None and conclude.kept(attempt) is None:
        start_ahead(attempt, admitted, made.body.cell)
        if made.first_round is None:
            begin_ahead(attempt, made.validated.minimised)
    planned = up_to_the_plan(attempt, manifest, request)
    approved = wait_for_approval(attempt, planned)
    raw = run_rounds(attempt, approved)  # submit and collect, once a round
    outcome = validate_output(attempt, raw)
    released = wait_for_release(attempt, outcome)  # suspends only where the tier asks for dual control
    return write_back(attempt, released, fetch_credential)


def up_to_the_plan(attempt: Attempt, manifest: str, request: SignedRequest | None) -> Plan:
    """Gates 1 to 4: what a dry run passes as well."""
    admitted = admit(attempt, manifest, request)
    if plan.kept(attempt) is None:
        start_ahead(attempt, admitted)
        if admitted.manifest.execution.rehearsal == "skip":
            drop_spare()  # nobody starts the workload a second time
    minimised = minimise(attempt, admitted, fetch_credential)
    validated = validate_input(attempt, minimised)
    return plan(attempt, validated, fetch_credential)
