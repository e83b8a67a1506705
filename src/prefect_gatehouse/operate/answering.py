"""Answering a run that asks: wait until it does, and follow the answer until the run has judged it."""

from __future__ import annotations

import time

from prefect_gatehouse.errors import Denied, GatehouseError, InputError, Unavailable
from prefect_gatehouse.evidence.questions import recorded_plan
from prefect_gatehouse.ledger.events import AnswerRefused, ApprovalAsked, GatePassed, PlanAnswer
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.operate.runs import flow_run, server
from prefect_gatehouse.operate.watching import Watch
from prefect_gatehouse.run.approvals import Standing, last_asked, standing
from prefect_gatehouse.run.values import ApprovedPlan, Plan

_ASK_SECONDS = 60.0  # a process that has judged one answer asks for the next within seconds
_EVERY = 0.3  # seconds between two looks at the ledger


def asked(ledger: Ledger, run_id: str) -> tuple[Plan, ApprovalAsked]:
    """The plan that a run asks about, and its asking, once Prefect too has the run as waiting.

    Raises:
        InputError: The run does not ask, and won't by itself.
        Unavailable: It should ask, but does not in time.
    """
    until = time.monotonic() + _ASK_SECONDS
    while True:
        row, plan = ledger.run(run_id), recorded_plan(ledger, run_id)
        assert row is not None  # the caller has found it in the ledger
        _refuse_not_asking(ledger, row, plan)
        if row.status == "waiting" and plan is not None and _paused(run_id):
            asking = last_asked(ledger, plan)
            assert asking is not None  # recorded before the run waits
            return plan, asking
        if time.monotonic() >= until:
            advice = f"if an answer was given just now, no worker has taken the run up yet; look at: gatehouse show {run_id}"
            raise Unavailable("Prefect does not have the run as waiting for an answer", where=run_id, advice=advice)
        time.sleep(_EVERY)


def _refuse_not_asking(ledger: Ledger, row: RunRow, plan: Plan | None) -> None:
    if row.ending is not None:
        raise InputError(f"the run has ended ({row.ending})", where=row.run_id, advice=f"look at: gatehouse show {row.run_id}")
    if row.status == "scheduled":
        advice = "is a worker running? prefect worker start --pool gatehouse"
        raise InputError("the run was resumed, and no worker has taken it up yet", where=row.run_id, advice=advice)
    if row.status in {"failed", "suspended"} or row.is_lost():
        what = "is suspended by hand" if row.status == "suspended" else "has failed" if row.status == "failed" else "has lost its process"
        raise InputError(f"the run {what}, it does not wait for an approval", where=row.run_id, advice=f"run: gatehouse resume {row.run_id}")
    if plan is None:
        raise InputError("the run has no plan yet", where=row.run_id, advice=f"look at: gatehouse show {row.run_id}")
    if row.status == "running" and standing(ledger, plan).decided:
        raise InputError("the run's plan is decided already", where=row.run_id, advice=f"look at: gatehouse show {row.run_id}")


def _paused(run_id: str) -> bool:
    """The ledger knows that a run waits a moment before Prefect does."""
    with server() as client:
        state = flow_run(client, run_id).state
    return state is not None and state.is_paused()


def follow_answer(ledger: Ledger, plan: Plan, asking: ApprovalAsked, since: int) -> Standing:
    """Waits until the run has judged an answer and, if the plan is decided by it, has gone on or ended.

    Args:
        ledger: The open ledger.
        plan: What was asked about.
        asking: The asking that was answered.
        since: The run's newest attempt before the answer.

    Returns:
        Where the plan stands now.

    Raises:
        Denied: The answer did not count, with the reason.
        Interrupted: The run's process is dead.
        Unavailable: No worker has taken the run up in time.
    """
    run_id = plan.body.run_id
    watch = Watch(ledger, run_id, since)
    while True:
        judged = ledger.find(f"{run_id}:answer:{asking.key}", PlanAnswer)
        if judged is not None and isinstance(judged.fact, AnswerRefused):
            raise Denied(judged.fact.reason, where="approval", advice=judged.fact.advice or "answer again")
        now = standing(ledger, plan)
        if judged is not None and (not now.decided or _gone_on(ledger, run_id, now)):
            return now
        try:
            watch.look()
        except GatehouseError as error:
            done = "judged" if judged is not None else "handed over"
            raise type(error)(f"the answer was {done}, but: {error.message}", where=error.where, advice=error.advice) from None
        time.sleep(_EVERY)


def _gone_on(ledger: Ledger, run_id: str, now: Standing) -> bool:
    row = ledger.run(run_id)
    assert row is not None
    passed = now.rejected_by is None and ledger.find(f"{run_id}:{ApprovedPlan.gate}", GatePassed) is not None
    return passed or row.status in {"failed", "ended", "suspended"}
