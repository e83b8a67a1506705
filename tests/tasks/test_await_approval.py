"""Gate 5: only authentic approvals of exactly this plan that still stand let a run go on."""

from __future__ import annotations

import pytest
from tests.support.gates import Desk

from prefect_gatehouse.errors import Denied, Rejected
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.tasks.await_approval import await_approval


def test_nobody_has_approved(desk: Desk) -> None:
    """However the process came here, there is no permission."""
    made = desk.planned()
    with pytest.raises(Denied, match="0 of 1 approvals"):
        await_approval(desk.attempt, made)
    assert await_approval.kept(desk.attempt) is None


def test_an_approved_plan_names_its_approvals(desk: Desk) -> None:
    """Who approved, how, and by which event."""
    approved = desk.approved()
    assert [(item.person, item.method) for item in approved.approvals] == [("bob", "ssh")]
    assert await_approval.kept(desk.next_attempt()) == approved


def test_a_run_that_nobody_signed_needs_two_above_a_class(desk: Desk) -> None:
    """Whoever approves it may have started it; the number is in what people read."""
    tiers = desk.settings.tiers
    tiers.write_text(tiers.read_text().replace("_alone: restricted", "_alone: confidential"))
    made = desk.planned()
    assert (made.admitted.requester.method, made.body.classes.output_class) == ("unverified", DataClass.RESTRICTED)
    desk.answer(made, "approve")
    with pytest.raises(Denied, match="1 of 2 approvals"):
        await_approval(desk.attempt, made)
    rows = {row[0]: row[1] for section in sections(made) for row in section.rows if len(row) == 2}
    assert rows["Tier"].startswith("prototype: 2 approvers")


def test_an_approval_of_another_plan(desk: Desk) -> None:
    """A plan that differs in its price is not the one that was approved."""
    approved = desk.approved()
    body = approved.plan.body.model_copy(update={"cost": approved.plan.body.cost + 1})
    other = approved.plan.model_copy(update={"body": body, "digest": "0" * 64})
    with pytest.raises(Denied):
        await_approval.body(desk.attempt, other)


def test_an_approver_who_was_revoked_since(desk: Desk) -> None:
    """Between approval and passage the registry changed: the approval does not stand any more."""
    approved = desk.approved()
    People(desk.settings.people_folder()).revoke("bob")
    with pytest.raises(Denied, match="revoked since"):
        await_approval.body(desk.attempt, approved.plan)


def test_a_rejection_ends_the_run(desk: Desk) -> None:
    """One authentic no is enough."""
    made = desk.planned()
    desk.answer(made, "reject")
    with pytest.raises(Rejected, match="rejected by bob"):
        await_approval(desk.attempt, made)
