"""The questions that the gates ask the policy, in terms of the values they hold; a no is raised with the policy's own sentence."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from prefect_gatehouse.errors import Denied, GatehouseError, Unavailable
from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.ledger.events import PolicyDenied
from prefect_gatehouse.manifest.fields import DataClass, write_duration
from prefect_gatehouse.manifest.models import Manifest, Purpose
from prefect_gatehouse.policy.classes import in_words, leaving, target_of
from prefect_gatehouse.policy.decision import Decision
from prefect_gatehouse.policy.interface import Fact, Policy, Question
from prefect_gatehouse.policy.rules import RunClasses, TierRules
from prefect_gatehouse.policy.sentences import filled
from prefect_gatehouse.policy.tiers import effective_class
from prefect_gatehouse.run.planned import BackendSnapshot
from prefect_gatehouse.run.standing import Standing
from prefect_gatehouse.run.tier_limits import cost_facts, hour_facts, in_time, region_facts, retention_facts, shot_facts, shots_of
from prefect_gatehouse.run.values import AdmittedRun, Plan
from prefect_gatehouse.tickets.check import TicketCheck
from prefect_gatehouse.usd import micro
from prefect_gatehouse.vocabulary import Action, Role, WorkerKind
from prefect_gatehouse.workload.summary import CircuitsSummary

if TYPE_CHECKING:
    from prefect_gatehouse.run.started import Started

_Context = dict[str, Fact]
_UNSIGNED = "class-not-signed"
_CLEARANCE, _SIGN, UNCHECKED = "class-above-clearance", "unverified-requester", "ticket-not-checked"
OUTSIDE_HOURS = "outside-hours"
"""The rule whose no passes by itself."""
_ASK = "mend the manifest or ask the owner of the policies"


class Told(GatehouseError):
    """Beside a type of error: it carries the policy's no, which the gate that it stops writes down."""

    def __init__(self, denial: PolicyDenied, message: str, *, where: str, advice: str) -> None:
        super().__init__(message, where=where, advice=advice)
        self.denial = denial
        self.recorded = False
        """Whether a gate has written it down: one within another passes the same error on."""


class DeniedByPolicy(Told, Denied):
    """The policy says no."""


class TicketUnchecked(Told, Unavailable):
    """The policy says no for no other reason than that nothing says what the ticket is: once something does, the run can go on."""


def ask_request(
    policy: Policy,
    manifest: Manifest,
    requester: Requester,
    tier: TierRules,
    classes: RunClasses,
    environment: str,
    standing: Standing,
    ticket: TicketCheck | None = None,
    run: str = "",
) -> Decision:
    """May this person run this pipeline here, read what it makes, and have it written where the manifest says?

    Raises:
        Denied: The policy says no.
        Unavailable: It says no only because the ticket could not be checked.
    """
    context: _Context = {
        "backends": tuple(manifest.execution.backends),
        "backends_in_tier": set(manifest.execution.backends) <= set(tier.backends),
        **cost_facts(tier, manifest.execution.envelope.cost),
        **retention_facts(tier, manifest.retention),
        **standing_facts(standing),
        **class_facts(classes),
        **system_facts(manifest, classes),
        **_ticket(tier, ticket),
    }
    return _ask(policy, "request", manifest, requester, requester.clearance, tier, environment, context, classes, run, ticket, standing)


def ask_plan(policy: Policy, admitted: AdmittedRun, backends: Sequence[BackendSnapshot], circuits: CircuitsSummary, environment: str) -> Decision:
    """May people be asked about this plan? What the tier limits of it is looked at here, and again before each round.

    Args:
        policy: The policy.
        admitted: The run.
        backends: As their providers described them.
        circuits: Of the first round.
        environment: Where this process runs.

    Raises:
        Denied: The policy says no.
    """
    context: _Context = {
        "backends": tuple(each.name for each in backends),
        "devices": tuple(each.name for each in backends if not each.simulator),
        **region_facts(admitted.tier, backends),
        **shot_facts(admitted.tier, shots_of(circuits, admitted.manifest.execution.envelope.rounds)),
        **retention_facts(admitted.tier, admitted.manifest.retention),
    }
    requester = admitted.requester
    asked = (admitted.manifest, requester, requester.clearance, admitted.tier, environment, context, admitted.classes, admitted.run_id)
    return _ask(policy, "plan", *asked)


def ask_submit(
    policy: Policy,
    plan: Plan,
    approvals: int,
    environment: str,
    clearance: DataClass,
    standing: Standing,
    ticket: TicketCheck | None = None,
    worker: WorkerKind = "process",
    shots: int = 0,
    *,
    sends: bool = True,
    roles: Collection[Role] = (),
) -> Decision:
    """May this plan's jobs be made now?

    Args:
        policy: The policy.
        plan: The approved plan.
        approvals: How many there are.
        environment: Where this process runs.
        clearance: The requester's, as the registry says now.
        standing: What is known of the workload by now.
        ticket: What its system says of the ticket, where somebody looked.
        worker: What started this process; the weakest unless it proved more.
        shots: Of this round and those before it, where that is more than the plan has.
        sends: Whether anything is left to be sent; where a round is with its provider already, the hour is no matter.
        roles: That those who approved have between them, as the registry says now.

    Raises:
        Denied: The policy says no.
        Unavailable: It says no only because the ticket could not be checked.
    """
    admitted, classes = plan.admitted, plan.body.classes
    worst = max((item.cost_first_round for item in plan.body.backends), default=Decimal(0))
    context: _Context = {
        "backends": tuple(item.name for item in plan.body.backends),
        "devices": tuple(item.name for item in plan.body.backends if not item.simulator),
        "worker": worker,
        "cell": plan.body.cell,
        "backends_in_tier": {item.name for item in plan.body.backends} <= set(admitted.tier.backends),
        "data_class": effective_class(leaving(plan.validated.minimised.treatments, classes.features)).rank,
        "tier_highest_class": admitted.tier.highest_class.rank,
        "approvals": approvals,
        "tier_approvers": admitted.approvers_needed,
        "approver_roles": tuple(sorted(roles)),
        "tier_approver_roles": admitted.tier.approver_roles or (),
        "synthetic": plan.validated.minimised.synthetic,
        "tier_synthetic_only": admitted.tier.synthetic_only,
        "cost_microdollars": micro(worst),
        **cost_facts(admitted.tier, plan.body.cost),
        **retention_facts(admitted.tier, admitted.manifest.retention),
        **({"in_hours": True} if not sends else hour_facts(admitted.tier, datetime.now(UTC))),
        **shot_facts(admitted.tier, max(shots, shots_of(plan.body.circuits, plan.body.rounds))),
        "simulated": standing.simulated,
        **region_facts(admitted.tier, plan.body.backends),
        **standing_facts(standing),
        **class_facts(classes),
        **_ticket(admitted.tier, ticket),
    }
    asked = (admitted.manifest, admitted.requester, clearance, admitted.tier, environment, context, classes, admitted.run_id, ticket)
    return _ask(policy, "submit", *asked, standing)


def ask_secret(policy: Policy, admitted: AdmittedRun, purpose: Purpose, environment: str, started: Started) -> Decision:
    """May the secret for this purpose be read now? A purpose that needs none is declared by naming none.

    Args:
        policy: The policy.
        admitted: The run.
        purpose: What it is for.
        environment: Where this process runs.
        started: What started this process, and where the run's workload runs.

    Raises:
        Denied: The policy says no.
    """
    context: _Context = {"worker": started.worker, "cell": started.cell, **secret_facts(admitted.manifest, purpose)}
    requester = admitted.requester
    return _ask(policy, "read_secret", admitted.manifest, requester, requester.clearance, admitted.tier, environment, context, admitted.classes)


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
    context: _Context = {"system": source, "source_declared": declared}
    requester = admitted.requester
    return _ask(policy, "read_source", admitted.manifest, requester, requester.clearance, admitted.tier, environment, context, admitted.classes)


def ask_write_back(policy: Policy, plan: Plan, declared: bool, environment: str, clearance: DataClass, releases: int = 0) -> Decision:
    """May rows of this class be written into the target now?

    Args:
        policy: The policy.
        plan: What the rows came of.
        declared: Whether the address is the system that the manifest declares.
        environment: Where this process runs.
        clearance: The requester's, as the registry says now.
        releases: How many people have released the rows.

    Raises:
        Denied: The policy says no.
    """
    more: _Context = {"releases": releases, "tier_releases": plan.admitted.releases_needed}
    return _ask_target(policy, "write_back", plan, declared, environment, clearance, more)


def ask_re_identify(policy: Policy, plan: Plan, declared: bool, environment: str, clearance: DataClass) -> Decision:
    """May tokens be turned back into values for the target now?

    Raises:
        Denied: The policy says no.
    """
    column = plan.admitted.manifest.output.key
    return _ask_target(policy, "re_identify", plan, declared, environment, clearance, {"column": column})


def _ask_target(policy: Policy, action: Action, plan: Plan, declared: bool, environment: str, clearance: DataClass, more: _Context) -> Decision:
    admitted, classes = plan.admitted, plan.body.classes
    context: _Context = {
        "system": admitted.manifest.output.target.system,
        "system_declared": declared,
        **more,
        **class_facts(classes),
        **system_facts(admitted.manifest, classes),
    }
    return _ask(policy, action, admitted.manifest, admitted.requester, clearance, admitted.tier, environment, context, classes, admitted.run_id)


def secret_facts(manifest: Manifest, purpose: Purpose) -> dict[str, Fact]:
    """What the policy is told of a secret: whose block the manifest names for it, nothing where it names none."""
    block = manifest.credentials.of(purpose)
    return {"block": block or "", "purpose": purpose.value, "purpose_declared": purpose is Purpose.SUBMIT or block is not None}


def standing_facts(standing: Standing) -> dict[str, Fact]:
    """What the policy is told of the workload and the source."""
    image = {"image_signed": not standing.image_unsigned, "image_scanned": not standing.image_unscanned}
    return {"promoted": standing.promoted, "classes_signed": not standing.unsigned, "workload_reviewed": not standing.unreviewed, **image}


def ask_about(
    policy: Policy,
    action: Action,
    manifest: Manifest,
    requester: Requester,
    tier: TierRules,
    environment: str,
    facts: Mapping[str, Fact],
    classes: RunClasses,
    run: str,
    standing: Standing | None = None,
) -> Decision:
    """What the answer would be to a question with these facts; nothing happens by it, so nobody but a person who wonders calls this.

    Raises:
        DeniedByPolicy, TicketUnchecked: It would be no.
    """
    return _ask(policy, action, manifest, requester, requester.clearance, tier, environment, dict(facts), classes, run, None, standing)


def class_facts(classes: RunClasses) -> dict[str, Fact]:
    """What the policy is told of the output's class."""
    return {"output_class": classes.output_class.rank, "class_for_requesters": "requester" in classes.rules.readers}


def system_facts(manifest: Manifest, classes: RunClasses) -> dict[str, Fact]:
    """What the policy is told of the target system."""
    return {"system_highest_class": target_of(manifest).highest_class.rank, "class_written_back": classes.rules.write_back}


def _listed(fact: Fact | None) -> str:
    """A set of names for people."""
    return ", ".join(fact) if isinstance(fact, tuple) else ""


def _ticket(tier: TierRules, ticket: TicketCheck | None) -> _Context:
    checked = ticket is not None and not ticket.unchecked
    return {
        "tier_ticket_checked": tier.ticket != "none",
        "ticket_checked": checked,
        "ticket_open": ticket is not None and ticket.open,
        "ticket_approved": ticket is not None and ticket.approved,
        "ticket_names_pipeline": ticket is not None and ticket.names_pipeline,
        "ticket_in_window": ticket is not None and ticket.in_window,
    }


def _ask(
    policy: Policy,
    action: Action,
    manifest: Manifest,
    requester: Requester,
    clearance: DataClass,
    tier: TierRules,
    environment: str,
    context: _Context,
    classes: RunClasses,
    run: str = "",
    ticket: TicketCheck | None = None,
    standing: Standing | None = None,
) -> Decision:
    decision = policy.ask(
        Question(
            action=action,
            person=requester.person,
            authentic=requester.method != "unverified",
            clearance=clearance,
            pipeline=manifest.name,
            tenant=manifest.tenant,
            environment=manifest.environment,
            tier=manifest.tier,
            context={"running_environment": environment, "tier_unverified": tier.unverified_requests, **context},
        )
    )
    if not decision.allowed:
        words = {
            "requester": requester.person,
            "output_class": str(classes.output_class),
            "system": manifest.output.target.system,
            "tier": manifest.tier,
            "tier_class": str(tier.highest_class),
            "tier_backends": ", ".join(tier.backends),
            "tier_regions": ", ".join(tier.regions or ()),
            "tier_shots": f"{tier.shots:,}" if tier.shots is not None else "",
            "tier_cost": f"{tier.cost} USD" if tier.cost is not None else "",
            "hours": tier.submit_hours.in_words() if tier.submit_hours is not None else "",
            "tier_approver_roles": " and ".join(tier.approver_roles or ()),
            "artifacts": write_duration(manifest.retention.artifacts),
            "tier_artifacts": in_time(tier.artifacts_at_most_seconds),
            "evidence": write_duration(manifest.retention.evidence),
            "tier_evidence": in_time(tier.evidence_at_least_seconds),
            "shots": f"{context.get('shots', 0):,}",
            "regions": _listed(context.get("regions")),
            "environment": environment,
            "pipeline_environment": manifest.environment,
            "ticket": manifest.ticket,
            "unchecked": f"{ticket.source}: {ticket.unchecked}".removeprefix(": ") if ticket is not None else "nobody has looked it up",
            "pipeline": f"{manifest.tenant}/{manifest.name}",
            "run": run,
            "unsigned_columns": ", ".join(standing.unsigned) if standing is not None else "",
            "unreviewed": standing.unreviewed if standing is not None else "",
            "image_unsigned": standing.image_unsigned if standing is not None else "",
            "image_unscanned": standing.image_unscanned if standing is not None else "",
        }
        sentences = "; ".join(f"{filled(policy.explain(reason), words)} [{reason}]" for reason in decision.reasons)
        # Nobody can be cleared who is not known: such a request has to be signed first.
        reasons = [_SIGN if requester.method == "unverified" and item == _CLEARANCE else item for item in decision.reasons]
        advice = "; ".join(dict.fromkeys(filled(policy.advise(item), words) or _ASK for item in reasons))
        if any(item.startswith("class-") and item != _UNSIGNED for item in decision.reasons):
            advice = f"the output is {in_words(classes.output_class, classes.because)}; {advice}"
        denial = PolicyDenied(**decision.model_dump(exclude={"allowed"}), message=sentences, advice=advice)
        kind = TicketUnchecked if decision.reasons == (UNCHECKED,) else DeniedByPolicy
        raise kind(denial, sentences, where=f"policy: {action}", advice=advice)
    return decision
