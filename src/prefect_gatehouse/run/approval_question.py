"""May this person approve this plan, or release this outcome? Asked beside what the tier demands of either.

It is asked when an answer is judged, and again before jobs are made or rows written.
"""

from __future__ import annotations

from collections.abc import Callable

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.identity.person import Person
from prefect_gatehouse.policy.act_questions import question_of, refuse_act
from prefect_gatehouse.policy.decision import Decision
from prefect_gatehouse.policy.interface import Fact, Policy
from prefect_gatehouse.run.matter import Matter, plan_of, terms_of
from prefect_gatehouse.usd import micro
from prefect_gatehouse.vocabulary import Method


def refuse_approval(policy: Callable[[], Policy], matter: Matter, approver: Person | None, method: Method) -> Decision:
    """Stops an approval that the policy of now does not permit.

    Args:
        policy: Gives it.
        matter: What is approved: a plan, or an outcome that is released.
        approver: Who approves, as the registry has them now.
        method: How that was proven.

    Returns:
        The policy's yes.

    Raises:
        Denied: The policy says no, or can't be loaded; or the registry has nobody of this name.
    """
    if approver is None:
        raise Denied("an approver is in the registry no more", where=terms_of(matter).gate, advice="have the plan approved again in a new run")
    try:
        rules = policy()
    except InputError as error:
        raise Denied(f"the policies can't be loaded: {error.message}", where=error.where, advice=error.advice) from None
    plan = plan_of(matter)
    manifest, backends = plan.admitted.manifest, plan.body.backends
    context: dict[str, Fact] = {
        "act": terms_of(matter).acts["approve"],
        "requester": plan.admitted.requester.person,
        "method": method,
        "output_class": plan.body.classes.output_class.rank,
        "backends": tuple(each.name for each in backends),
        "devices": tuple(each.name for each in backends if not each.simulator),
        "cost_microdollars": micro(plan.body.cost),
    }
    asked = question_of("approve", approver, manifest.name, manifest.tenant, manifest.environment, manifest.tier, context)
    decision = rules.ask(asked)
    refuse_act(rules, decision, terms_of(matter).done, approver.person)
    return decision
