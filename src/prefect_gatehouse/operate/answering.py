"""Answering a run that asks: wait until it does, and follow the answer until the run has judged it."""

from __future__ import annotations

import json
import time
from uuid import UUID

from httpx import codes
from prefect.exceptions import PrefectHTTPStatusError

from prefect_gatehouse.errors import Denied, GatehouseError, InputError, Unavailable
from prefect_gatehouse.ledger.answers import AnswerRefused, Asked, FormDiffered, PlanAnswer
from prefect_gatehouse.ledger.events import GatePassed
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.operate.runs import flow_run, server
from prefect_gatehouse.operate.watching import Watch
from prefect_gatehouse.run.approvals import Standing, last_asked, standing, statements
from prefect_gatehouse.run.form import as_markdown
from prefect_gatehouse.run.matter import Matter, matter_of, plan_of, terms_of

_ASK_SECONDS = 60.0  # a process that has judged one answer asks for the next within seconds
_EVERY = 0.3  # seconds between two looks at the ledger


def asked(ledger: Ledger, run_id: str) -> tuple[Matter, Asked]:
    """The plan or the outcome that a run asks about, and its asking, once Prefect too has the run as waiting.

    Raises:
        InputError: The run does not ask, and won't by itself.
        Unavailable: It should ask, but does not in time.
    """
    until = time.monotonic() + _ASK_SECONDS
    while True:
        row, matter = ledger.run(run_id), matter_of(ledger, run_id)
        assert row is not None  # the caller has found it in the ledger
        _refuse_not_asking(ledger, row, matter)
        if row.status == "waiting" and matter is not None and _paused(run_id):
            asking = last_asked(ledger, matter)
            assert asking is not None  # recorded before the run waits
            return matter, asking
        if time.monotonic() >= until:
            advice = f"if an answer was given just now, no worker has taken the run up yet; look at: gatehouse show {run_id}"
            raise Unavailable("Prefect does not have the run as waiting for an answer", where=run_id, advice=advice)
        time.sleep(_EVERY)


def _refuse_not_asking(ledger: Ledger, row: RunRow, matter: Matter | None) -> None:
    if row.ending is not None:
        raise InputError(f"the run has ended ({row.ending})", where=row.run_id, advice=f"look at: gatehouse show {row.run_id}")
    if row.status == "scheduled":
        advice = "is a worker running? prefect worker start --pool gatehouse"
        raise InputError("the run was resumed, and no worker has taken it up yet", where=row.run_id, advice=advice)
    if row.status in {"failed", "suspended"} or row.is_lost():
        what = "is suspended by hand" if row.status == "suspended" else "has failed" if row.status == "failed" else "has lost its process"
        raise InputError(f"the run {what}, it does not wait for an answer", where=row.run_id, advice=f"run: gatehouse resume {row.run_id}")
    if matter is None:
        raise InputError("the run has no plan yet", where=row.run_id, advice=f"look at: gatehouse show {row.run_id}")
    if row.status == "running" and standing(ledger, matter).decided:
        raise InputError(f"the run's {terms_of(matter).noun} is decided already", where=row.run_id, advice=f"look at: gatehouse show {row.run_id}")


def _paused(run_id: str) -> bool:
    """The ledger knows that a run waits a moment before Prefect does."""
    with server() as client:
        state = flow_run(client, run_id).state
    return state is not None and state.is_paused()


def form_differs(ledger: Ledger, run_id: str) -> bool | None:
    """Whether Prefect's form of a waiting run shows something else than the ledger has, which is what counts; noted in the ledger if so.

    Returns:
        None where there is nothing to compare: the run does not wait, or Prefect has no form of it.

    Raises:
        Unavailable: No Prefect server answers.
        InputError: Prefect does not know the run.
    """
    row, matter = ledger.run(run_id), matter_of(ledger, run_id)
    asking = last_asked(ledger, matter) if matter is not None else None
    if row is None or row.status != "waiting" or matter is None or asking is None:
        return None
    with server() as client:
        state = flow_run(client, run_id).state
        keys = state.state_details.run_input_keyset if state is not None and state.is_paused() else None
        if keys is None:
            return None
        try:
            shown = client.read_flow_run_input(UUID(run_id), keys["description"])
        except PrefectHTTPStatusError as error:
            if error.response.status_code != codes.NOT_FOUND:
                raise Unavailable("the Prefect server does not show the form", where=run_id, advice="try again", retry=True) from None
            shown = ""  # ours always has one
    if _read(shown) == as_markdown(matter, standing(ledger, matter), *statements(matter, asking), asking.expects):
        return False
    with ledger.transaction() as tx:
        # Under the name that the run itself would note it by: it is one fact, whoever finds it first.
        tx.append(f"{run_id}:form-differed:{asking.key}", run_id, FormDiffered(plan_digest=plan_of(matter).digest, key=asking.key, found_by="show"))
    return True


def _read(shown: str) -> object:
    try:
        return json.loads(shown)
    except (ValueError, RecursionError):
        return shown


def follow_answer(ledger: Ledger, matter: Matter, asking: Asked, since: int) -> Standing:
    """Waits until the run has judged an answer and, if it is decided by that, has gone on or ended.

    Args:
        ledger: The open ledger.
        matter: What was asked about.
        asking: The asking that was answered.
        since: The run's newest attempt before the answer.

    Returns:
        Where it stands now.

    Raises:
        Denied: The answer did not count, with the reason.
        Interrupted: The run's process is dead.
        Unavailable: No worker has taken the run up in time.
    """
    run_id, terms = plan_of(matter).body.run_id, terms_of(matter)
    watch = Watch(ledger, run_id, since)
    while True:
        judged = ledger.find(f"{run_id}:answer:{asking.key}", PlanAnswer)
        if judged is not None and isinstance(judged.fact, AnswerRefused):
            raise Denied(judged.fact.reason, where="approval", advice=judged.fact.advice or "answer again")
        now = standing(ledger, matter)
        if judged is not None and (not now.decided or _gone_on(ledger, run_id, now, terms.gate)):
            return now
        try:
            watch.look()
        except GatehouseError as error:
            done = "judged" if judged is not None else "handed over"
            raise type(error)(f"the answer was {done}, but: {error.message}", where=error.where, advice=error.advice) from None
        time.sleep(_EVERY)


def _gone_on(ledger: Ledger, run_id: str, now: Standing, gate: str) -> bool:
    row = ledger.run(run_id)
    assert row is not None
    passed = now.rejected_by is None and ledger.find(f"{run_id}:{gate}", GatePassed) is not None
    return passed or row.status in {"failed", "ended", "suspended"}
