"""Who can't say yes to what a service asked for: it is not known who had it ask, and whoever made its run possible may be the one.

A review, a promotion, a classification and an exception serve no run of whoever signed them. A service's request hides whose run it is, so these
people are kept from the other end: they are none of its approvers, nor of those who release its outcome.
"""

from __future__ import annotations

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.run.values import Plan


def vouching_for(plan: Plan) -> dict[str, str]:
    """Of each person on whose word a service's run stands what they did; nobody where a person asked, whom the gates compare with them."""
    if not plan.admitted.requester.service:
        return {}
    body = plan.body
    found = {each.granted_by: "granted an exception that it may use" for each in body.exceptions}
    if body.source_classes is not None:
        found[body.source_classes.signed_by] = "signed the classes of its source"
    if body.promotion is not None:
        found[body.promotion.promoted_by] = "promoted its workload"
    if body.review is not None:
        found[body.review.reviewed_by] = "reviewed its commit"
    return found


def refuse_vouching(plan: Plan, person: str, where: str) -> None:
    """Stops a yes of somebody who may have had the service ask.

    Raises:
        Denied: Says what they did.
    """
    did = vouching_for(plan).get(person)
    if did is not None:
        what = f"a service asked for this run, and this person, who {did}, may have had it ask"
        raise Denied(what, where=where, advice="have an approver answer who did nothing of the kind; the plan names who did")
