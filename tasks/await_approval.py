"""Gate 5: the run is suspended until enough authentic approvals of exactly this plan are in the ledger."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect_gatehouse.run.approvals import require_approved
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.quarantined import refuse_quarantined_run
from prefect_gatehouse.run.values import ApprovedPlan, Plan
from prefect_gatehouse.tasks.asking import wait_until_decided
from prefect_gatehouse.tasks.gate import gate


@gate(ApprovedPlan)
def await_approval(attempt: Attempt, plan: Plan) -> ApprovedPlan:
    """Turns the approvals in the ledger into the permission to go on.

    Raises:
        Rejected: An approver said no.
        Denied: An approval no longer stands.
        Quarantined: The run is in quarantine.
    """
    refuse_quarantined_run(attempt)
    return ApprovedPlan(
        plan=plan,
        approvals=require_approved(attempt.ledger, plan, attempt.people, attempt.approving_policy, holding(attempt.settings, attempt.ledger)),
        decided_at=datetime.now(UTC),
    )


def wait_for_approval(attempt: Attempt, plan: Plan) -> ApprovedPlan:
    """Suspends the run as often as it takes; each time the process ends here and a new one comes back to this line.

    Raises:
        Expired: Nobody decided in time.
        Rejected: An approver said no.
    """
    if await_approval.kept(attempt) is None:
        wait_until_decided(attempt, plan)
    return await_approval(attempt, plan)
