"""What the policy would answer to somebody's question, before anybody asks: nothing is recorded, and what is not known is supposed to be in order.

Facts come from the manifest, the tier, the classes and the registry as far as those tell them; those of a moment (approvals, a worst cost, a ticket)
are supposed to be in order unless the caller says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect_gatehouse.errors import Denied, InputError, Quarantined
from prefect_gatehouse.evidence.decisions import Rule, rule_of, sentences_of
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.requester import NOBODY, Requester
from prefect_gatehouse.ledger.events import RunAdmitted
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.data import SqlQuery
from prefect_gatehouse.manifest.models import Manifest, Purpose
from prefect_gatehouse.manifest.treatment import Treatment
from prefect_gatehouse.policy.class_rules import load_class_rules
from prefect_gatehouse.policy.classes import classes_of, leaving
from prefect_gatehouse.policy.interface import Fact
from prefect_gatehouse.policy.rules import RunClasses, TierRules
from prefect_gatehouse.policy.tiers import approvers_needed, effective_class, load_tiers, releases_needed
from prefect_gatehouse.providers.registry import block_of
from prefect_gatehouse.run.bundle import policy_that_counts
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.content import Content
from prefect_gatehouse.run.excepted import excepting
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.policy_questions import DeniedByPolicy, TicketUnchecked, ask_about, class_facts, secret_facts, standing_facts, system_facts
from prefect_gatehouse.run.services import refuse_foreign_service, refuse_service_as_owner, required_service
from prefect_gatehouse.run.standing import Standing, named_by, standing_to_ask
from prefect_gatehouse.run.tier_limits import cost_facts, retention_facts, shot_facts, supposed_region_facts
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import Action, RunAction


@dataclass(frozen=True)
class Supposed:
    """An answer that nobody asked for yet.

    Attributes:
        allowed: The answer.
        rules: What would decide.
        satisfy: What would turn a no into a yes.
        known: Facts that manifest and installation tell.
        given: Facts that the caller gave.
        supposed: Facts that were supposed to be in order.
        policies: Digest of the policies.
    """

    allowed: bool
    rules: tuple[Rule, ...]
    satisfy: str
    known: Mapping[str, Fact]
    given: Mapping[str, Fact]
    supposed: Mapping[str, Fact]
    policies: str

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        facts = {name: dict(getattr(self, name)) for name in ("known", "given", "supposed")}
        rules = [{"id": each.id, "sentence": each.sentence} for each in self.rules]
        return {"allowed": self.allowed, "rules": rules, "satisfy": self.satisfy, "facts": facts, "policies": self.policies}


@dataclass(frozen=True)
class Asked:
    """What a question is about.

    Attributes:
        manifest: What would be run.
        folder: Where it lies.
        workload: Digest of the workload's files.
        content: Gives what would run, where the tier wants a reviewed commit of it.
        run_id: The run that it is about; empty for none, and then every exception that holds may be used, and every act that counts.
    """

    manifest: Manifest
    folder: Path
    workload: str
    content: Callable[[], Content]
    run_id: str = ""


def suppose(settings: Settings, ledger: Ledger, asked: Asked, person: str, action: RunAction, given: Iterable[str]) -> Supposed:
    """What would be answered.

    Args:
        settings: The installation.
        ledger: Its ledger, for exceptions, quarantines, promotions and classes.
        asked: What the question is about.
        person: Who would ask, as the registry has them; ``unverified`` for a request that nobody signs.
        action: What the policy would be asked.
        given: Facts as NAME=VALUE.

    Raises:
        InputError: The registry does not have the person, or the action has no such fact.
        Denied: Above the prototype tier: the policies are not those that were signed, so they answer nothing.
    """
    manifest, run_id = asked.manifest, asked.run_id
    tier = load_tiers(settings.tiers)[manifest.tier]
    classes = classes_of(manifest, load_class_rules(settings.classes))
    people = People(settings.people_folder())
    outside: list[tuple[Rule, str]] = []
    requester = _asker(people, person, outside)
    requester = requester.model_copy(update={"clearance": people.clearance(requester, tier.unverified_class)})
    _quarantined(settings, ledger, manifest, requester, outside)
    chain = Chain(ledger, run_id)
    plan = chain.read(Plan.gate, Plan)
    policy = excepting(policy_that_counts(settings, ledger, tier.name)(), settings, ledger, chain)
    named = named_by(plan) if plan is not None else None
    standing = standing_to_ask(settings, ledger, manifest, tier, asked.folder, asked.workload, asked.content, requester, named)
    known, supposed = _facts(action, manifest, tier, classes, requester, settings.environment, standing)
    told = dict(read_fact(each, {**known, **supposed}, action) for each in given)
    if str(told.get("purpose")) in set(Purpose):
        known |= secret_facts(manifest, Purpose(str(told["purpose"])))
    _services(settings, ledger, manifest, tier, requester, action, {**known, **supposed, **told}, outside)
    try:
        facts = {**known, **supposed, **told}
        decision = ask_about(policy, action, manifest, requester, tier, str(facts["running_environment"]), facts, classes, run_id, standing)
    except (DeniedByPolicy, TicketUnchecked) as no:
        outside.insert(0, (Rule("", ""), no.denial.advice))
        rules = list(sentences_of(no.denial.message, no.denial.reasons))
    else:
        rules = [rule_of(policy, each) for each in decision.reasons] if not outside else []
    return Supposed(
        allowed=not outside,
        rules=(*rules, *(rule for rule, _ in outside if rule.id)),
        satisfy="; ".join(advice for _, advice in outside),
        known={name: value for name, value in known.items() if name not in told},
        given=told,
        supposed={name: value for name, value in supposed.items() if name not in told},
        policies=policy.digest,
    )


def _asker(people: People, person: str, outside: list[tuple[Rule, str]]) -> Requester:
    """Who would ask; what keeps them from signing at all is no policy's, and said beside it."""
    if person == NOBODY:
        return Requester(person=NOBODY, method=NOBODY)
    known = people.get(person)
    if known is None:
        raise InputError("the registry has nobody of this name", where="--as", advice="list them with: gatehouse people list; or unverified")
    if "requester" not in known.roles:
        rule = Rule("not-a-requester", "whoever signs a request has the role requester")
        outside.append((rule, f"have the registry's keeper run: gatehouse people add {known.person} --role requester"))
    return Requester(person=known.person, method="ssh", service=known.service is not None)


def _quarantined(settings: Settings, ledger: Ledger, manifest: Manifest, requester: Requester, outside: list[tuple[Rule, str]]) -> None:
    asked = RunAdmitted(
        pipeline=manifest.name,
        tenant=manifest.tenant,
        environment=manifest.environment,
        tier=manifest.tier,
        ticket=manifest.ticket,
        requester=requester.person,
    )
    try:
        holding(settings, ledger).refuse(asked)
    except Quarantined as stopped:
        outside.append((Rule(stopped.code, stopped.message), stopped.advice))


def _services(
    settings: Settings,
    ledger: Ledger,
    manifest: Manifest,
    tier: TierRules,
    requester: Requester,
    action: RunAction,
    facts: Mapping[str, Fact],
    outside: list[tuple[Rule, str]],
) -> None:
    """What keeps a service from asking for the pipeline, or leaves its secret to none: the registry's word, beside the policy's."""
    people = People(settings.people_folder())
    try:
        if action == "request":
            refuse_service_as_owner(people, manifest)
            refuse_foreign_service(people, manifest, requester)
        purpose, block = facts.get("purpose"), facts.get("block")
        if action == "read_secret" and purpose in set(Purpose) and block:
            service = required_service(people, ledger, manifest, tier, Purpose(str(purpose)), str(block))
            if service:
                holding(settings, ledger).refuse_person(service)
    except Denied as stopped:
        outside.append((Rule(stopped.code, stopped.message), stopped.advice))


def _facts(
    action: RunAction, manifest: Manifest, tier: TierRules, classes: RunClasses, requester: Requester, environment: str, standing: Standing
) -> tuple[dict[str, Fact], dict[str, Fact]]:
    """What is known of a question, and what is supposed: of each action what its schema demands."""
    known: dict[str, Fact] = {"running_environment": environment, "tier_unverified": tier.unverified_requests}
    supposed: dict[str, Fact] = {}
    if action in {"request", "plan", "submit"}:
        _add_jobs(action, manifest, tier, classes, approvers_needed(tier, requester, classes), standing, known, supposed)
    if action in {"request", "submit", "write_back", "re_identify"}:
        known |= class_facts(classes)
    if action in {"request", "write_back", "re_identify"}:
        known |= system_facts(manifest, classes)
    if action in {"write_back", "re_identify"}:
        known["system"] = manifest.output.target.system
        supposed["system_declared"] = True
    if action == "write_back":
        known["tier_releases"] = supposed["releases"] = releases_needed(tier, requester, classes)
    if action == "re_identify":
        known["column"] = manifest.output.key
    if action == "read_secret":
        known |= secret_facts(manifest, Purpose.SUBMIT)
        supposed |= {"worker": tier.worker, "cell": tier.cell}
        supposed["purpose"] = known.pop("purpose")
    if action == "read_source":
        known["system"] = _source(manifest)
        supposed["source_declared"] = True
    return known, supposed


def _add_jobs(
    action: RunAction,
    manifest: Manifest,
    tier: TierRules,
    classes: RunClasses,
    approvers: int,
    standing: Standing,
    known: dict[str, Fact],
    supposed: dict[str, Fact],
) -> None:
    """What belongs to the questions before jobs are made."""
    known |= {"backends": tuple(manifest.execution.backends), **retention_facts(tier, manifest.retention)}
    if action in {"request", "submit"}:
        known |= {"backends_in_tier": set(manifest.execution.backends) <= set(tier.backends), "tier_ticket_checked": tier.ticket != "none"}
        supposed |= dict.fromkeys(("ticket_checked", "ticket_open", "ticket_approved", "ticket_names_pipeline", "ticket_in_window"), True)
        known |= {**standing_facts(standing), **cost_facts(tier, manifest.execution.envelope.cost)}
    if action in {"plan", "submit"}:
        supposed |= {**supposed_region_facts(tier), **shot_facts(tier, manifest.execution.shots * manifest.execution.envelope.rounds)}
        # What has a block is somewhere else, and so perhaps a device; what has none runs on this machine.
        supposed["devices"] = tuple(name for name in manifest.execution.backends if block_of(name) is not None)
    if action == "submit":
        supposed |= {"worker": tier.worker, "cell": tier.cell, "in_hours": True}
        columns = [Treatment(column=name, data_class=each.data_class, rule=each.rule) for name, each in manifest.data.columns.items()]
        envelope = cost_facts(tier, manifest.execution.envelope.cost)["envelope_microdollars"]
        known |= {"data_class": effective_class(leaving(columns, classes.features)).rank, "tier_highest_class": tier.highest_class.rank}
        known["tier_approver_roles"] = supposed["approver_roles"] = tier.approver_roles or ()
        known |= {"tier_approvers": approvers, "tier_synthetic_only": tier.synthetic_only}
        supposed |= {"simulated": True, "approvals": approvers, "synthetic": tier.synthetic_only, "cost_microdollars": envelope}


def _source(manifest: Manifest) -> str:
    """The system that rows are read from, as the policy is told it; of a file, about which it is not asked, nothing."""
    source = manifest.data.source
    return source.system if isinstance(source, SqlQuery) else manifest.credentials.read_source or ""


def read_fact(text: str, facts: Mapping[str, Fact], action: Action) -> tuple[str, Fact]:
    """NAME=VALUE, of the type that the fact has.

    Raises:
        InputError: The question has no such fact, or it has another type.
    """
    name, mark, value = text.partition("=")
    if not mark or name not in facts:
        raise InputError(f"a question of {action} has no such fact", where="--with", advice=f"write NAME=VALUE, of: {', '.join(sorted(facts))}")
    kind = type(facts[name])
    if kind is bool and value in {"true", "false"}:
        return name, value == "true"
    if kind is int and value.isascii() and value.isdecimal() and len(value) <= 18:
        return name, int(value)
    if kind is str and value.isprintable():
        return name, value
    if kind is tuple and value.isprintable():
        return name, tuple(each for each in value.split(",") if each)
    wanted = {bool: "true or false", int: "a whole number", str: "text", tuple: "names with commas between them"}[kind]
    raise InputError(f"{name} is {wanted}", where="--with", advice="correct it")
