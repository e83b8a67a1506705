"""What of a run is proven: whether each approval and release in the ledger is what it says, and whether there were enough before what they permit.

An approval is of exactly this plan, a release of exactly this outcome; each was asked for and is signed by the key that it names. No registry is
needed, so whoever has left since has proven what they signed. `gatehouse verify`, the evidence of a job and promotions all go by this.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from prefect_gatehouse.errors import Denied, Tampered
from prefect_gatehouse.identity.methods.certificate import read_certificate
from prefect_gatehouse.identity.methods.ssh import method_of
from prefect_gatehouse.ledger.answers import ApprovalGiven, Consent, ReleaseGiven
from prefect_gatehouse.ledger.events import GatePassed, PolicyDecided
from prefect_gatehouse.ledger.jobs import JobSubmitted, SubmissionIntended
from prefect_gatehouse.ledger.projection import RunRow, next_run
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.policy.approver_roles import in_words, missing_roles
from prefect_gatehouse.policy.tiers import is_like_a_file
from prefect_gatehouse.run.answer import require_strength
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
    return _judged(ledger, plan, ledger.facts(ApprovalGiven, run_id=run_id))


def releases_of(ledger: Ledger, run_id: str) -> list[RecordedConsent]:
    """A run's releases in order, each with its proof checked.

    Raises:
        Tampered: The outcome in the ledger is not what was stored.
    """
    given = ledger.facts(ReleaseGiven, run_id=run_id)
    matter = matter_of(ledger, run_id) if given else None
    outcome = matter if isinstance(matter, Outcome) else None
    return _judged(ledger, outcome, given)


def _judged(ledger: Ledger, matter: Matter | None, given: Sequence[Event[Consent]]) -> list[RecordedConsent]:
    found: list[RecordedConsent] = []
    whose: dict[str, str] = {}
    for event in given:
        problem = problem_of(ledger, matter, event)
        if not problem and event.fact.fingerprint and whose.setdefault(event.fact.fingerprint, event.fact.person) != event.fact.person:
            problem = "is by a key that has said yes in another person's name"
        found.append(RecordedConsent(event, problem))
    return found


def missing_approvals(ledger: Ledger, run_id: str, approvals: Sequence[RecordedConsent] | None = None) -> list[str]:
    """What a run lacks of the approvals of its plan, given before its first job or row was permitted: people, and their roles; nothing of neither.

    However the run ended: rows that were written stand behind a run that failed, too.

    Args:
        ledger: The open ledger.
        run_id: The run.
        approvals: Its approvals, where they were judged already.

    Raises:
        Tampered: The plan in the ledger is not what was stored.
    """
    first = _first_effect(ledger, run_id, "submit", "write_back", "re_identify")
    if first is None:
        return []
    admitted = Chain(ledger, run_id).read(AdmittedRun.gate, AdmittedRun)
    if admitted is None:
        return [f"event {first}: the ledger does not have what was admitted"]
    given = approvals_of(ledger, run_id) if approvals is None else approvals
    people, needed = people_of(given, before=first), admitted.approvers_needed
    found = [] if len(people) >= needed else [f"event {first}: {len(people)} of {needed} approvals of the plan that it goes by are proven"]
    missing = missing_roles(admitted.tier, [item.event.fact.roles for item in given if not item.problem and item.event.seq < first])
    return [*found, *([f"event {first}: it was submitted, and not approved by {in_words(missing)}"] if missing else [])]


def missing_releases(ledger: Ledger, run_id: str, releases: Sequence[RecordedConsent] | None = None) -> str:
    """What a write-back lacks of what its tier asks for: releases that are proven and were given before it was decided; empty where nothing.

    Args:
        ledger: The open ledger.
        run_id: The run.
        releases: Its releases, where they were judged already.

    Raises:
        Tampered: The outcome in the ledger is not what was stored.
    """
    admitted = Chain(ledger, run_id).read(AdmittedRun.gate, AdmittedRun)
    if admitted is None or not admitted.tier.write_back_approvers:
        return ""
    meant = _first_effect(ledger, run_id, "write_back")
    if meant is None:
        return ""
    proven = people_of(releases_of(ledger, run_id) if releases is None else releases, before=meant)
    needed = admitted.releases_needed
    return "" if len(proven) >= needed else f"event {meant}: {len(proven)} of {needed} releases of what it writes back are proven"


def people_of(given: Iterable[RecordedConsent], *, before: int) -> frozenset[str]:
    """The people whose consent is proven and was given before an event; nobody counts twice."""
    return frozenset(item.event.fact.person for item in given if not item.problem and item.event.seq < before)


def problems_of(ledger: Ledger, run_id: str) -> list[str]:
    """What is wrong with what a run rests on: its row, its approvals and releases, and whether these were enough; nothing where it is sound."""
    found = [] if _is_as_told(ledger, run_id) else [f"run {run_id}: its row is not what its events say"]
    try:
        approvals, releases = approvals_of(ledger, run_id), releases_of(ledger, run_id)
        found += [f"event {item.event.seq}: the approval {item.problem}" for item in approvals if item.problem]
        found += [f"event {item.event.seq}: the release {item.problem}" for item in releases if item.problem]
        return [*found, *missing_approvals(ledger, run_id, approvals), *filter(None, [missing_releases(ledger, run_id, releases)])]
    except Tampered as error:
        return [*found, f"run {run_id}: {error.message}"]


def _is_as_told(ledger: Ledger, run_id: str) -> bool:
    row, told = ledger.run(run_id), cast("RunRow | None", None)
    for event in ledger.events(run_id):
        told = next_run(told, run_id, event.attempt, event.when.timestamp(), event.fact)
    return row is not None and told is not None and row.derived() == told.derived()


def _first_effect(ledger: Ledger, run_id: str, *actions: str) -> int | None:
    """Number of the first event by which something of these went out: the policy's yes, or what tells that it happened; None where nothing did."""
    seen = [each.seq for each in ledger.facts(PolicyDecided, run_id=run_id) if each.data.get("action") in actions and each.data.get("allowed")]
    if "submit" in actions:
        seen += [each.seq for kind in (SubmissionIntended, JobSubmitted) for each in ledger.facts(kind, run_id=run_id)]
    written = ledger.find(f"{run_id}:{WriteBackReceipt.gate}", GatePassed)
    return min([*seen, *([written.seq] if written is not None else [])], default=None)


def problem_of(ledger: Ledger, matter: Matter | None, event: Event[Consent]) -> str:
    """Why an approval or a release proves nothing; empty where it does."""
    fact = event.fact
    if not isinstance(fact, Consent):
        return "is of a newer release, which this one can't judge"
    if matter is None or {"plan_digest": fact.plan_digest, "outcome_digest": fact.outcome_digest} != digests_of(matter):
        return "is of another plan" if isinstance(event.fact, ApprovalGiven) else "is of another outcome"
    if fact.person == plan_of(matter).admitted.requester.person:
        return "is the requester's own"
    if (did := barred(ledger, matter).get(fact.person)) is not None:
        return f"is of somebody who {did}"
    if fact.fingerprint and fact.fingerprint in _barred_keys(ledger, matter):
        return "is by the requester's key, or one that approved the plan, in another person's name"
    return _unproven(ledger, matter, event)


def _unproven(ledger: Ledger, matter: Matter, event: Event[Consent]) -> str:
    """Why the proof that a consent holds is none of what was asked for."""
    fact, tier = event.fact, plan_of(matter).admitted.tier
    try:
        require_strength(fact.method, tier)
    except Denied:
        return "is proven by less than its tier takes"
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
        less = fact.method == "ssh" and is_like_a_file(method, False, tier)
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
