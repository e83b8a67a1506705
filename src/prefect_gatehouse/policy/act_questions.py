"""What the policy is asked about what somebody signs: before it is recorded, and again whenever what it gave is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity.person import Person
from prefect_gatehouse.identity.requester import NOBODY
from prefect_gatehouse.ledger.fact import Fact as Signed
from prefect_gatehouse.policy.decision import Decision
from prefect_gatehouse.policy.interface import Fact, Policy, Question
from prefect_gatehouse.policy.sentences import filled
from prefect_gatehouse.usd import micro
from prefect_gatehouse.vocabulary import ActAction

ABOUT_NO_PIPELINE = frozenset[ActAction]({"classify", "quarantine", "release", "set_budget", "approve_provider", "change_policy", "rotate_key"})
"""What is about the installation, or all of a tenant's."""

# Of each action what the policy is told beside who and where. About: the act itself; of an ending the act that it ends.
_FACTS: Mapping[ActAction, Callable[[Any], dict[str, Fact]]] = {
    "promote": lambda about: {"owner": about.owner, "below": about.below},
    "review": lambda about: {"commit": about.commit, "author": about.author},
    "classify": lambda about: {"source": about.named, "highest_class": max((each.rank for each in about.columns.values()), default=0)},
    "grant_exception": lambda about: {"rule": about.rule, "owner": about.owner},
    "quarantine": lambda about: {"scope": about.scope, "name": about.name},
    "release": lambda about: {"scope": about.scope, "name": about.name, "imposed_by": about.person},
    "set_budget": lambda about: {"backend": getattr(about, "backend", ""), "month_microdollars": micro(about.month_usd)},
    "approve_provider": lambda about: {"backend": about.backend},
    "change_policy": lambda about: {"version": about.bundle.version},
    "rotate_key": lambda about: {"block": about.block},
    "extend_retention": lambda about: {"requester": about.requester, "output_class": about.data_class.rank, "kept": about.kinds},
}
IN_WORDS: Mapping[ActAction, str] = {
    "promote": "a workload is promoted",
    "review": "a commit is reviewed",
    "classify": "classes are signed",
    "grant_exception": "an exception is granted",
    "quarantine": "a quarantine is imposed",
    "release": "a quarantine is released",
    "set_budget": "a budget is set",
    "approve_provider": "a provider is approved",
    "change_policy": "policies are signed",
    "rotate_key": "a key is rotated",
    "extend_retention": "a retention is extended",
    "approve": "a plan is approved",
    "read_result": "what came of a run is opened",
}


def ask_act(policy: Policy, action: ActAction, fact: Signed, about: Signed, signer: Person, told: Mapping[str, Fact] | None = None) -> Decision:
    """May this person sign this?

    Args:
        policy: The policy of now.
        action: What is asked.
        fact: The act: its ``action`` and environment.
        about: What it is about: itself, or the act that it ends.
        signer: Whose key it is, as the registry has them now; nobody of it is not authentic.
        told: Facts that neither act tells.
    """
    said = fact.data()
    pipeline, tenant, tier = (str(getattr(about, name, "")) for name in ("pipeline", "tenant", "tier"))
    context = {"act": str(said["action"]), **_FACTS[action](about), **(told or {})}
    return policy.ask(question_of(action, signer, pipeline, tenant, str(said["environment"]), tier, context))


def question_of(action: ActAction, signer: Person, pipeline: str, tenant: str, environment: str, tier: str, context: Mapping[str, Fact]) -> Question:
    """The question, of its parts; nobody of the registry is not authentic, nor who only looks: nothing is signed for that."""
    return Question(
        action=action,
        person=signer.person,
        authentic=signer.person != NOBODY and action != "read_result",
        clearance=signer.clearance,
        roles=frozenset(signer.roles),
        pipeline=pipeline,
        tenant=tenant,
        environment=environment,
        tier=tier,
        context=context,
    )


def sentences_of(policy: Policy, decision: Decision, what: str) -> str:
    """Why it is a no, each rule with its identifier."""
    return "; ".join(f"{filled(policy.explain(reason), {'what': what})} [{reason}]" for reason in decision.reasons)


def advice_of(policy: Policy, decision: Decision, who: str) -> str:
    """What would satisfy it."""
    return "; ".join(dict.fromkeys(filled(policy.advise(each), {"signer": who}) or "ask the owner of the policies" for each in decision.reasons))


def refuse_act(policy: Policy, decision: Decision, what: str, who: str) -> None:
    """Stops what the policy does not permit; at the command line inside of ``run.refused_acts.recorded_if_refused``.

    Args:
        policy: The policy that decided.
        decision: What it decided.
        what: What is done, in words.
        who: Who signs; for the advice.

    Raises:
        Denied: It is a no; names each rule.
    """
    if not decision.allowed:
        raise Denied(
            sentences_of(policy, decision, what),
            where=f"policy: {decision.action}",
            advice=advice_of(policy, decision, who),
            rules=decision.reasons,
            policy_digest=decision.policy_digest,
        )
