"""Gate 5: the run is suspended until enough authentic approvals of exactly this plan are in the ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from prefect.context import FlowRunContext
from prefect.flow_runs import suspend_flow_run
from prefect.input import Keyset, RunInput, delete_flow_run_input, keyset_from_paused_state, read_flow_run_input
from prefect.states import Suspended
from pydantic import Field, ValidationError

from prefect_gatehouse.approvals import ask, closes_at, judge, refuse_late, require_approved, standing
from prefect_gatehouse.attempt import Attempt
from prefect_gatehouse.identity.approval import Answer
from prefect_gatehouse.plan_view import as_markdown
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.tasks.tagging import tag_flow_run
from prefect_gatehouse.values import ApprovedPlan, Plan

_GRACE_SECONDS = 3600
"""How much later than the ledger Prefect gives up: the ledger decides, and its sweeper cleans up."""


class ApprovalForm(RunInput):
    """What an operator fills in. The decision has no default, so a state that is forced approves nothing."""

    decision: Literal["approve", "reject"] = Field(title="Decision", description="Approve or reject exactly the plan above.")
    approver: str = Field(
        default="", max_length=200, title="Approver", description="Your identifier in the registry of people; needed with a one-time code."
    )
    proof: str = Field(
        default="", max_length=20_000, title="Proof", description="Your current one-time code, or the SSH signature of the statement above."
    )
    reason: str = Field(default="", max_length=500, title="Reason", description="Optional, for the record of a rejection.")

    @classmethod
    def save(cls, keyset: Keyset, flow_run_id: UUID | None = None) -> None:
        """Saves the form whole, if it is not there yet.

        Prefect suspends first and saves then: a process that died in between left a run that nobody could answer, or, between the form's
        two parts, one that could be answered without its plan. So the form is saved before, and Prefect's own saving finds it there.
        """
        if read_flow_run_input(keyset["description"], flow_run_id) is not None:
            return  # saved last, so the fields are there as well
        if read_flow_run_input(keyset["schema"], flow_run_id) is not None:
            delete_flow_run_input(keyset["schema"], flow_run_id)
        super().save(keyset, flow_run_id)


@gate(ApprovedPlan)
def await_approval(attempt: Attempt, plan: Plan) -> ApprovedPlan:
    """Turns the approvals in the ledger into the permission to go on.

    Raises:
        Rejected: An approver said no.
        Denied: An approval no longer stands.
    """
    return ApprovedPlan(
        plan=plan,
        approvals=require_approved(attempt.ledger, plan, attempt.people),
        decided_at=datetime.now(UTC),
    )


def wait_for_approval(attempt: Attempt, plan: Plan) -> ApprovedPlan:
    """Suspends the run as often as it takes; each time the process ends here and a new one comes back to this line.

    Raises:
        Expired: Nobody decided in time.
        Rejected: An approver said no.
    """
    while await_approval.kept(attempt) is None and not standing(attempt.ledger, plan).decided:
        refuse_late(plan)
        _suspend(attempt, plan)
    return await_approval(attempt, plan)


def _suspend(attempt: Attempt, plan: Plan) -> None:
    now = standing(attempt.ledger, plan)
    context = FlowRunContext.get()
    restarts = context.flow_run.run_count if context is not None and context.flow_run is not None else 0
    # Resuming does not raise run_count, restarting does: an answer is found again after the first and asked for anew after
    # the second. The default key is a counter of the process and would give one form's answer to the next.
    key = f"{plan.digest[:16]}-{now.answers}-{restarts}"
    approve, reject = ask(attempt, plan, key)
    remaining = (closes_at(plan) - datetime.now(UTC)).total_seconds()
    with attempt.effect() as tx:
        tx.set_run(attempt.run_id, status="waiting", wait_until=closes_at(plan).timestamp(), message="waits for approval")
    tag_flow_run(attempt, (plan,))
    form = ApprovalForm.with_initial_data(description=as_markdown(plan, now, approve, reject))
    form.save(keyset_from_paused_state(Suspended(pause_key=key)))
    try:
        given = suspend_flow_run(wait_for_input=form, key=key, timeout=int(remaining) + _GRACE_SECONDS)
    except ValidationError:
        given = None  # somebody forced the state: there is no answer, and no is what that means
    with attempt.effect() as tx:
        tx.set_run(attempt.run_id, status="running", wait_until=None, message="")
    answer = None if given is None else Answer(decision=given.decision, approver=given.approver, proof=given.proof, reason=given.reason)
    judge(attempt, plan, key, answer)
