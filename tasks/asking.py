"""Asking people in Prefect: the run is suspended with a form until enough of them have answered, about its plan or about its outcome."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from http.client import NOT_FOUND
from typing import Literal, Self
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flow_runs import suspend_flow_run
from prefect.input import Keyset, RunInput, delete_flow_run_input, keyset_from_paused_state
from prefect.input.actions import ensure_flow_run_id
from prefect.states import Suspended
from pydantic import Field, PrivateAttr

from prefect_gatehouse.ledger.answers import FormDiffered, PlanAnswer
from prefect_gatehouse.ledger.events import RunSuspended
from prefect_gatehouse.run.approvals import Standing, asking, judge, last_asked, refuse_late, standing, statements
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.form import as_markdown
from prefect_gatehouse.run.matter import Matter, closes_at, plan_of, terms_of
from prefect_gatehouse.tasks.tagging import tag_flow_run

_GRACE_SECONDS = 3600
"""How much later than the ledger Prefect gives up: the ledger decides, and its sweeper cleans up."""
_FORM_AND_MORE = 4
"""Inputs that a run can't have of one form: it has fields, a description and an answer."""


class ApprovalForm(RunInput):
    """What an operator fills in. The decision has no default, so a state that is forced approves nothing."""

    decision: Literal["approve", "reject"] = Field(title="Decision", description="Approve or reject exactly what is above.")
    approver: str = Field(
        default="", max_length=200, title="Approver", description="Your identifier in the registry of people; needed with a one-time code."
    )
    proof: str = Field(
        default="", max_length=20_000, title="Proof", description="Your one-time code, or your SSH signature or ID token of the statement above."
    )
    reason: str = Field(default="", max_length=500, title="Reason", description="Optional, for the record of a rejection.")

    _given: str | None = PrivateAttr(default=None)

    @property
    def given(self) -> str | None:
        """What was found where the answer should be, as it was found; None if nothing was."""
        return self._given

    @classmethod
    def load(cls, keyset: Keyset, flow_run_id: UUID | None = None) -> Self:
        """Fetches the answer without reading it.

        Any client of Prefect's API may have written it: a number, half a list. Prefect would fail the run over that; here it is judged.
        """
        form = cls(decision="reject")
        form._given = _stored(keyset["response"], flow_run_id)
        return form

    @classmethod
    def differs(cls, found: dict[str, str], keyset: Keyset) -> bool:
        """Whether a form is there already that shows something else: any client of Prefect's API may have written it.

        Args:
            found: What is stored.
            keyset: The form's.
        """
        shown = found.get(keyset["description"])
        return shown is not None and _parsed(shown) != cls._description

    @classmethod
    def save(cls, keyset: Keyset, flow_run_id: UUID | None = None) -> None:
        """Saves the form, if it is not there: Prefect does, once the run is suspended."""
        cls.complete(_inputs(keyset, flow_run_id), keyset, flow_run_id)

    @classmethod
    def complete(cls, found: dict[str, str], keyset: Keyset, flow_run_id: UUID | None = None) -> None:
        """Saves the form whole, if it is not there yet.

        Prefect suspends first and saves then: a process that died in between left a run that nobody could answer, or, between the form's
        two parts, one that could be answered without its plan. So the form is saved before, and Prefect's own saving finds it there.
        What else is found was written by somebody else, and so was an answer to what was never asked; an answer to what was stays.

        Args:
            found: What is stored.
            keyset: The form's.
            flow_run_id: The run's; without one that of this flow.
        """
        schema, shown = (_parsed(found.get(key)) for key in (keyset["schema"], keyset["description"]))
        if isinstance(schema, dict) and shown == cls._description:
            return  # the description is saved last, so the fields are there as well
        answer = {keyset["response"]} if schema is None else set()
        for key in {keyset["schema"], keyset["description"], *answer} & found.keys():
            delete_flow_run_input(key, flow_run_id)
        super().save(keyset, flow_run_id)


def _parsed(stored: str | None) -> object:
    """What a text means as JSON; None where there is none, the text itself where it is no JSON."""
    try:
        return None if stored is None else json.loads(stored)
    except (ValueError, RecursionError):
        return stored


def _inputs(keyset: Keyset, flow_run_id: UUID | None = None) -> dict[str, str]:
    """What is stored of a form, by its key: asked for at once, where a server that has other things to do takes its time for each."""
    keys, prefix = set(keyset.values()), keyset["response"].removesuffix("response")
    if all(key.startswith(prefix) for key in keys):
        with get_client(sync_client=True) as client:
            found = client.filter_flow_run_input(ensure_flow_run_id(flow_run_id), prefix, _FORM_AND_MORE, set())
        if len(found) < _FORM_AND_MORE:
            return {each.key: each.value for each in found if each.key in keys}
    # Somebody stored more under such names, or Prefect names them otherwise by now: each is asked for by its own.
    return {key: text for key in sorted(keys) if (text := _stored(key, flow_run_id)) is not None}


def _stored(key: str, flow_run_id: UUID | None) -> str | None:
    """The text of one of the run's inputs as it is; Prefect's own function reads it as JSON, and anybody may write what is none."""
    with get_client(sync_client=True) as client:
        try:
            return client.read_flow_run_input(ensure_flow_run_id(flow_run_id), key)
        except PrefectHTTPStatusError as error:
            if error.response.status_code == NOT_FOUND:
                return None
            raise


def wait_until_decided(attempt: Attempt, matter: Matter) -> None:
    """Suspends the run as often as it takes; each time the process ends here and a new one comes back to this line.

    Raises:
        Expired: Nobody decided in time.
    """
    while not (now := standing(attempt.ledger, matter)).decided:
        refuse_late(matter)
        _suspend(attempt, matter, now)


def _suspend(attempt: Attempt, matter: Matter, now: Standing) -> None:
    terms, key = terms_of(matter), _key(matter, now)
    if _went_on_unjudged(attempt, matter, key):
        return  # what was written down of it is part of what is asked next
    keys = keyset_from_paused_state(Suspended(pause_key=key))
    asked = attempt.find(f"asked:{key}", terms.asked) is not None
    fact = asking(attempt, matter, key)
    form = ApprovalForm.with_initial_data(description=as_markdown(matter, now, *statements(matter, fact), fact.expects))
    found = _inputs(keys)
    if form.differs(found, keys):
        attempt.record(f"form-differed:{key}", FormDiffered(plan_digest=plan_of(matter).digest, key=key, found_by="run"))
    if asked and (given := found.get(keys["response"])) is not None:
        # Asked by an earlier process and answered since. Prefect would say so as well, but not where somebody has changed the run's policy, in
        # which it keeps the keys: there it would suspend the run once more, over the answer.
        judge(attempt, matter, key, given)
        return
    remaining = (closes_at(matter) - datetime.now(UTC)).total_seconds()
    attempt.record(f"suspended:{attempt.number}:{key}", RunSuspended(until=closes_at(matter).timestamp(), message=terms.waits))
    tag_flow_run(attempt, (plan_of(matter),))
    form.complete(found, keys)
    answered = suspend_flow_run(wait_for_input=form, key=key, timeout=int(remaining) + _GRACE_SECONDS)
    judge(attempt, matter, key, answered.given if answered is not None else None)


def _went_on_unjudged(attempt: Attempt, matter: Matter, key: str) -> bool:
    """Judges what was given to the last form where the run was made to go on from it in another way than by an answer: somebody set its state.

    Nothing is there then, which is written down as a refusal, or what somebody wrote there. A run that Prefect never had as suspended for this
    form was set by nobody: its process died before.
    """
    last = last_asked(attempt.ledger, matter)
    if last is None or attempt.find(f"answer:{last.key}", PlanAnswer) is not None or last.key == key:
        return False
    with get_client(sync_client=True) as client:
        states = client.read_flow_run_states(ensure_flow_run_id(None))
    if all(state.state_details.pause_key != last.key for state in states):
        return False
    judge(attempt, matter, last.key, _stored(keyset_from_paused_state(Suspended(pause_key=last.key))["response"], None))
    return True


def _key(matter: Matter, now: Standing) -> str:
    """Of the form that is to be answered now.

    Resuming does not raise run_count, restarting does: an answer is found again after the first and asked for anew after the second. The default
    key is a counter of the process and would give one form's answer to the next.
    """
    context = FlowRunContext.get()
    restarts = context.flow_run.run_count if context is not None and context.flow_run is not None else 0
    return f"{matter.digest[:16]}-{now.answers}-{restarts}"
