"""Whether each approval and release in the ledger is what it says: of exactly this plan or outcome, asked for, signed by the key that it names.

And whether rows were written without the releases that their tier asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prefect_gatehouse.errors import Denied, Tampered
from prefect_gatehouse.identity.methods.certificate import read_certificate
from prefect_gatehouse.identity.methods.ssh import method_of
from prefect_gatehouse.ledger.events import ApprovalGiven, Consent, GatePassed, PolicyDecided, ReleaseGiven
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.policy.approver_roles import in_words, missing_roles
from prefect_gatehouse.policy.tiers import is_like_a_file
from prefect_gatehouse.run.approvals import asked_for, barred, is_token_of, signer
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.matter import Matter, digests_of, matter_of, plan_of
from prefect_gatehouse.run.outcome import Outcome
from prefect_gatehouse.run.values import AdmittedRun, Plan, WriteBackReceipt


@dataclass(frozen=True)
class RecordedConsent:
    """An approval or a release as the ledger has it.

    Attributes:
        event: What it says.
        problem: Why it proves nothing; empty where it does.
    """

    event: Event[Consent]
    problem: str


def approvals_of(ledger: Ledger, run_id: str) -> list[RecordedConsent]:
    """A run's approvals in order, each with its proof checked.

    Raises:
        Tampered: The plan in the ledger is not what was stored.
    """
    plan = Chain(ledger, run_id).read(Plan.gate, Plan)
    return [RecordedConsent(event, problem_of(ledger, plan, event)) for event in ledger.facts(ApprovalGiven, run_id=run_id)]


def releases_of(ledger: Ledger, run_id: str) -> list[RecordedConsent]:
    """A run's releases in order, each with its proof checked.

    Raises:
        Tampered: The outcome in the ledger is not what was stored.
    """
    given = ledger.facts(ReleaseGiven, run_id=run_id)
    matter = matter_of(ledger, run_id) if given else None
    outcome = matter if isinstance(matter, Outcome) else None
    return [RecordedConsent(event, problem_of(ledger, outcome, event)) for event in given]


def missing_releases(ledger: Ledger, run_id: str) -> str:
    """What a write-back lacks of what its tier asks for: releases that are proven and were given before it was decided; empty where nothing.

    Raises:
        Tampered: The outcome in the ledger is not what was stored.
    """
    admitted = Chain(ledger, run_id).read(AdmittedRun.gate, AdmittedRun)
    if admitted is None or not admitted.tier.write_back_approvers:
        return ""
    decided = [each.seq for each in ledger.facts(PolicyDecided, run_id=run_id) if each.fact.action == "write_back" and each.fact.allowed]
    written = ledger.find(f"{run_id}:{WriteBackReceipt.gate}", GatePassed)
    meant = min([*decided, *([written.seq] if written is not None else [])], default=None)
    if meant is None:
        return ""
    proven = {item.event.fact.person for item in releases_of(ledger, run_id) if not item.problem and item.event.seq < meant}
    needed = admitted.releases_needed
    return "" if len(proven) >= needed else f"event {meant}: {len(proven)} of {needed} releases of what it writes back are proven"


def missing_approver(ledger: Ledger, run_id: str) -> str:
    """Which role of its tier's nobody had who approved a run before it was submitted; empty where nobody is missing, or nothing was submitted.

    Raises:
        Tampered: The plan in the ledger is not what was stored.
    """
    admitted = Chain(ledger, run_id).read(AdmittedRun.gate, AdmittedRun)
    decided = [each.seq for each in ledger.facts(PolicyDecided, run_id=run_id) if each.fact.action == "submit" and each.fact.allowed]
    if admitted is None or not admitted.tier.approver_roles or not decided:
        return ""
    proven = [item.event.fact.roles for item in approvals_of(ledger, run_id) if not item.problem and item.event.seq < decided[0]]
    missing = missing_roles(admitted.tier, proven)
    return f"event {decided[0]}: it was submitted, and not approved by {in_words(missing)}" if missing else ""


def problems(ledger: Ledger) -> Iterator[str]:
    """What is wrong with the approvals and releases of all runs."""
    for run_id in dict.fromkeys(event.run_id for event in ledger.facts(Consent)):
        try:
            found, released = approvals_of(ledger, run_id), releases_of(ledger, run_id)
            missing = [each for each in (missing_approver(ledger, run_id), missing_releases(ledger, run_id)) if each]
        except Tampered as error:
            yield f"run {run_id}: {error.message}"
            continue
        yield from (f"event {item.event.seq}: the approval {item.problem}" for item in found if item.problem)
        yield from (f"event {item.event.seq}: the release {item.problem}" for item in released if item.problem)
        yield from missing


def problem_of(ledger: Ledger, matter: Matter | None, event: Event[Consent]) -> str:
    """Why an approval or a release proves nothing; empty where it does."""
    fact = event.fact
    if matter is None or {"plan_digest": fact.plan_digest, "outcome_digest": fact.outcome_digest} != digests_of(matter):
        return "is of another plan" if isinstance(event.fact, ApprovalGiven) else "is of another outcome"
    if fact.person == plan_of(matter).admitted.requester.person:
        return "is the requester's own"
    if (did := barred(ledger, matter).get(fact.person)) is not None:
        return f"is of somebody who {did}"
    if fact.fingerprint and fact.fingerprint in _barred_keys(ledger, matter):
        return "is by the requester's key, or one that approved the plan, in another person's name"
    if fact.method == "totp":
        # A one-time code is spent: that it was asked for is all that can be looked at later.
        asked = asked_for(ledger, event, matter)
        return "" if asked is not None and asked.seq < event.seq else "was never asked for"
    if fact.method == "oidc":
        # Whether the provider had that key then is not here to be seen: its thumbprint is, to be compared with what the provider publishes.
        return "" if is_token_of(ledger, matter, event) else "is not proven by its ID token, or not of what was asked for"
    try:
        key = signer(ledger, event, matter)
        method = method_of(key)
        # A FIDO key that nobody had attested counts as a key of a file, where the tier asks for attestations.
        less = fact.method == "ssh" and is_like_a_file(method, False, plan_of(matter).admitted.tier)
        if key.fingerprint != fact.fingerprint or (method != fact.method and not less):
            return "names another key or method than it was signed with"
        if key.certificate and not (found := read_certificate(key.certificate)).valid_after <= event.when < found.valid_before:
            return "was signed with a certificate that was not valid then"
    except Denied:
        return "is not signed, or not what was asked for"
    return ""


def _barred_keys(ledger: Ledger, matter: Matter) -> frozenset[str]:
    """Keys that prove no second person: the requester's, and of an outcome those that approved its plan."""
    plan = plan_of(matter)
    given = [event.fact for event in ledger.facts(ApprovalGiven, run_id=plan.body.run_id)] if isinstance(matter, Outcome) else []
    approved = {fact.fingerprint for fact in given if fact.plan_digest == plan.digest}
    return frozenset({plan.admitted.requester.fingerprint, *approved} - {""})
