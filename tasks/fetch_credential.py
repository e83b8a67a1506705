"""Gate 6: a credential, just in time, for one purpose; what is kept of it is its record."""

from __future__ import annotations

from prefect_gatehouse.ledger.events import EndingDecided
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.policy_questions import ask_secret
from prefect_gatehouse.run.quarantined import refuse_quarantined_run
from prefect_gatehouse.run.services import service_now, service_of_the_day
from prefect_gatehouse.run.started import started
from prefect_gatehouse.run.values import AdmittedRun
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.tasks.gate import gate


def _none_needed(attempt: Attempt, admitted: AdmittedRun, purpose: Purpose) -> CredentialLease | None:
    """A lease of nothing, for a purpose that the admitted manifest gives no block; the policy is asked all the same."""
    if admitted.manifest.credentials.of(purpose) is not None:
        return None
    ask_secret(attempt.policy, admitted, purpose, attempt.settings.environment, started(attempt, admitted))
    return CredentialLease(purpose, None, None, environment=attempt.settings.environment, tenant=admitted.manifest.tenant)


@gate(CredentialLease, nothing_to_do=_none_needed)
def fetch_credential(attempt: Attempt, admitted: AdmittedRun, purpose: Purpose) -> CredentialLease:
    """Asks the policy, then reads the secret that the manifest names for a purpose. Where it names none, nothing is read and no event tells of it.

    Raises:
        Quarantined: The run is in quarantine; it gets what it needs to be ended.
        Denied: The policy or the store says no, or no service of the installation may fetch the block.
        PlanChanged: Another service would fetch it than the plan says.
        Unavailable: The store does not answer.
    """
    ends = attempt.find("ending", EndingDecided) is not None
    if not ends:
        refuse_quarantined_run(attempt)
    block = admitted.manifest.credentials.of(purpose)
    ask_secret(attempt.policy, admitted, purpose, attempt.settings.environment, started(attempt, admitted))
    named = service_of_the_day if ends else service_now
    service = named(attempt, admitted, purpose, block) if block is not None else ""
    secret = attempt.read_secret(block) if block is not None else None
    lease = CredentialLease(purpose, block, secret, environment=attempt.settings.environment, tenant=admitted.manifest.tenant, service=service)
    attempt.leases.append(lease)
    return lease
