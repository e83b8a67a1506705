"""The questions that the gates ask the policy, in terms of the values they hold; a no is raised with the policy's own sentence."""

from __future__ import annotations

from decimal import Decimal
from math import ceil
from typing import Literal

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.manifest.models import Manifest, Purpose
from prefect_gatehouse.policy.interface import Policy, Question
from prefect_gatehouse.policy.tiers import effective_class
from prefect_gatehouse.values import AdmittedRun, Decision, Plan, Requester, TierRules

_MICRO = 1_000_000


def ask_request(policy: Policy, manifest: Manifest, requester: Requester, tier: TierRules, environment: str) -> Decision:
    """May this person run this pipeline here?

    Raises:
        Denied: The policy says no.
    """
    context: dict[str, str | int | bool] = {"backends_in_tier": set(manifest.execution.backends) <= set(tier.backends)}
    return _ask(policy, "request", manifest, requester, tier, environment, context)


def ask_submit(policy: Policy, plan: Plan, approvals: int, environment: str) -> Decision:
    """May this plan's jobs be made now?

    Raises:
        Denied: The policy says no.
    """
    admitted = plan.admitted
    worst = max((item.cost_first_round for item in plan.body.backends), default=Decimal(0))
    context: dict[str, str | int | bool] = {
        "backends_in_tier": {item.name for item in plan.body.backends} <= set(admitted.tier.backends),
        "data_class": effective_class(plan.validated.minimised.treatments).rank,
        "tier_highest_class": admitted.tier.highest_class.rank,
        "approvals": approvals,
        "tier_approvers": admitted.tier.approvers,
        "cost_microdollars": ceil(worst * _MICRO),  # never less than it may cost
        "envelope_microdollars": int(plan.body.cost * _MICRO),
    }
    return _ask(policy, "submit", admitted.manifest, admitted.requester, admitted.tier, environment, context)


def ask_secret(policy: Policy, admitted: AdmittedRun, purpose: Purpose, environment: str) -> Decision:
    """May the secret for this purpose be read now? A purpose that needs none is declared by naming none.

    Raises:
        Denied: The policy says no.
    """
    declared = purpose is Purpose.SUBMIT or admitted.manifest.credentials.of(purpose) is not None
    context: dict[str, str | int | bool] = {"purpose": purpose.value, "purpose_declared": declared}
    return _ask(policy, "read_secret", admitted.manifest, admitted.requester, admitted.tier, environment, context)


def ask_read_source(policy: Policy, admitted: AdmittedRun, source: str, declared: bool, environment: str) -> Decision:
    """May rows be read from this system?

    Args:
        policy: The policy.
        admitted: The run.
        source: Name of the system, or the reference of a bucket's block.
        declared: Whether the address is the system that the manifest declares.
        environment: Where this process runs.

    Raises:
        Denied: The policy says no.
    """
    context: dict[str, str | int | bool] = {"source": source, "source_declared": declared}
    return _ask(policy, "read_source", admitted.manifest, admitted.requester, admitted.tier, environment, context)


def ask_write_back(policy: Policy, admitted: AdmittedRun, system: str, declared: bool, environment: str) -> Decision:
    """May rows be written into this system?

    Raises:
        Denied: The policy says no.
    """
    context: dict[str, str | int | bool] = {"system": system, "system_declared": declared}
    return _ask(policy, "write_back", admitted.manifest, admitted.requester, admitted.tier, environment, context)


def _ask(
    policy: Policy,
    action: Literal["request", "submit", "read_secret", "read_source", "write_back"],
    manifest: Manifest,
    requester: Requester,
    tier: TierRules,
    environment: str,
    context: dict[str, str | int | bool],
) -> Decision:
    decision = policy.ask(
        Question(
            action=action,
            person=requester.person,
            authentic=requester.method != "unverified",
            pipeline=manifest.name,
            tenant=manifest.tenant,
            environment=manifest.environment,
            tier=manifest.tier,
            context={"running_environment": environment, "tier_unverified": tier.unverified_requests, **context},
        )
    )
    if not decision.allowed:
        sentences = "; ".join(f"{policy.explain(reason)} [{reason}]" for reason in decision.reasons)
        raise Denied(sentences, where=f"policy: {action}", advice="mend the manifest or ask the owner of the policies")
    return decision
