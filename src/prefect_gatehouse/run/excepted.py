"""The exceptions that a run is under: those of its plan, once it has one, as far as they hold now."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect_gatehouse.ledger.acts import ExceptionAct
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.policy.exceptions import Excepting, Granted, granted
from prefect_gatehouse.policy.interface import Policy
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.planned import PlannedException
from prefect_gatehouse.run.values import AdmittedRun, Plan
from prefect_gatehouse.settings import Settings


def excepting(policy: Policy, settings: Settings, history: Ledger, chain: Chain) -> Policy:
    """The policy as this run is asked about; one that was granted after the plan was made is none of it."""
    found = _granted(settings, history)
    if not found:
        return policy
    plan = chain.read(Plan.gate, Plan)
    if plan is not None:
        planned = {each.exception for each in plan.body.exceptions}
        found = [each for each in found if each.event.fact.exception in planned]
    return Excepting(policy, found)


def exceptions_of(policy: Policy, settings: Settings, history: Ledger, admitted: AdmittedRun) -> tuple[PlannedException, ...]:
    """What people are shown before they approve: every exception that this run could use, used already or not."""
    manifest, requester = admitted.manifest, admitted.requester.signed_by
    found = []
    for each in _granted(settings, history):
        fact = each.event.fact
        if each.is_for(manifest.tenant, manifest.name, manifest.environment, requester) and policy.may_be_excepted(fact.rule):
            shown = fact.model_dump(include=set(PlannedException.model_fields))
            found.append(PlannedException.model_validate({**shown, "granted_by": fact.person}))
    return tuple(found)


def _granted(settings: Settings, history: Ledger) -> list[Granted]:
    acts = history.facts(ExceptionAct)
    return granted(acts, holding(settings, history), datetime.now(UTC)) if acts else []
