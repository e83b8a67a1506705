"""Gate 1: the request is known, well formed and permitted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity.request import SignedRequest, subject_of, verify_request
from prefect_gatehouse.ledger.answers import LongLivedKeyUsed
from prefect_gatehouse.ledger.events import RequestSpent, RunAdmitted
from prefect_gatehouse.ledger.store import Transaction
from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.policy.class_rules import load_class_rules, refuse_long_retention
from prefect_gatehouse.policy.classes import classes_of
from prefect_gatehouse.policy.tiers import (
    is_like_a_file,
    is_reported,
    load_tiers,
    refuse_fallback,
    refuse_long_lived,
    refuse_reuse,
    refuse_unrehearsed,
)
from prefect_gatehouse.run.apart import workload_beside
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.bundle import refuse_unlisted, require_signed
from prefect_gatehouse.run.content import Content, content_beside
from prefect_gatehouse.run.policy_questions import ask_request
from prefect_gatehouse.run.preflight import refuse_unlooked
from prefect_gatehouse.run.quarantined import quarantines, refuse_quarantined
from prefect_gatehouse.run.registry import require_as_recorded
from prefect_gatehouse.run.services import refuse_foreign_service, refuse_service_as_owner
from prefect_gatehouse.run.standing import standing_to_ask
from prefect_gatehouse.run.ticketing import check_ticket
from prefect_gatehouse.run.values import AdmittedRun
from prefect_gatehouse.tasks.gate import gate


def _enter(attempt: Attempt, tx: Transaction, admitted: AdmittedRun) -> None:
    manifest = admitted.manifest
    fact = RunAdmitted(
        pipeline=manifest.name,
        tenant=manifest.tenant,
        environment=manifest.environment,
        tier=manifest.tier,
        ticket=manifest.ticket,
        requester=admitted.requester.person,
        billing_code=manifest.billing_code,
    )
    attempt.append(tx, "admitted", fact)
    if is_reported(admitted.requester.method, admitted.tier):
        who = admitted.requester
        used = LongLivedKeyUsed(act="request", person=who.person, fingerprint=who.fingerprint, tier=admitted.tier.name)
        attempt.append(tx, "long-lived-key", used)
    refuse_quarantined(tx, attempt)
    held = quarantines(tx, attempt)
    if all(held.of("backend", name) is not None for name in manifest.execution.backends):
        held.refuse_backend(manifest.execution.backends[0])  # of several, those that are not are left
    request_id = admitted.requester.request_id
    # Named by the request alone: of two runs that come with it at once, one commits first, and the other finds it here.
    if request_id and not tx.append(f"request-spent:{request_id}", attempt.run_id, RequestSpent(request_id=request_id), attempt=attempt.number):
        raise Denied("the request has started a run already", where="request", advice="sign again: gatehouse run")


@gate(AdmittedRun, and_then=_enter)
def admit(attempt: Attempt, manifest: str, request: SignedRequest | None) -> AdmittedRun:
    """Loads and digests the manifest, resolves requester, tenant, environment, tier and the classes of data, and asks the policy.

    Raises:
        InputError: The manifest is malformed, or its workload is not there.
        Quarantined: Tenant, pipeline, requester or every backend is in quarantine.
        Denied: The request is not authentic or has started a run before, the policy says no (of the ticket, too), the manifest keeps data longer
            than its class may stay, or the tier demands a pre-flight that it names no credential for, a rehearsal that it switches off, no
            fallback where it names one, or no earlier results where it would take them. Above the prototype tier: policies, tiers, classes and
            registry are not the signed bundle that stands, or it lists no such tenant or environment. The owner is a service, or a service asks for a
            tenant that it is not named for.
        Unavailable: The tier wants the ticket checked, and nothing says what it is.
        Tampered: Above the prototype tier: the registry of people was changed beside `gatehouse people`.
    """
    loaded = load_manifest(Path(manifest))
    now = datetime.now(UTC)
    folder, workload = Path(manifest).parent, workload_beside(attempt.settings, loaded.manifest, Path(manifest))
    subject = subject_of(loaded.digest, str(folder), workload.digest)
    tier = load_tiers(attempt.settings.tiers)[loaded.manifest.tier]
    attempt.log_from(tier.logging)
    people = attempt.people
    if tier.name != "prototype":
        stands = require_signed(attempt.settings, attempt.history, lambda: attempt.parts.policy.digest)
        refuse_unlisted(stands, loaded.manifest.tenant, loaded.manifest.environment)
        require_as_recorded(attempt.settings, attempt.history, people)
    longest = timedelta(seconds=tier.request_age_seconds)
    environment = attempt.settings.environment
    life = timedelta(seconds=tier.proof_life_seconds)
    requester = verify_request(request, people, subject_digest=subject, environment=environment, now=now, longest=longest, proof_life=life)
    if is_like_a_file(requester.method, people.is_attested(requester.fingerprint), tier):
        requester = requester.model_copy(update={"method": "ssh"})
    refuse_long_lived(requester.method, tier, "request")
    refuse_service_as_owner(people, loaded.manifest)
    refuse_foreign_service(people, loaded.manifest, requester)
    requester = requester.model_copy(update={"clearance": people.clearance(requester, tier.unverified_class)})
    classes = classes_of(loaded.manifest, load_class_rules(attempt.settings.classes))
    refuse_long_retention(loaded.manifest, classes.rules)

    def content() -> Content:
        return content_beside(attempt.settings, loaded.manifest, Path(manifest), workload)

    known = standing_to_ask(attempt.settings, attempt.history, loaded.manifest, tier, folder, workload.digest, content, requester)
    ticket = check_ticket(attempt, loaded.manifest, tier, AdmittedRun.gate)
    decision = ask_request(attempt.policy, loaded.manifest, requester, tier, classes, environment, known, ticket, attempt.run_id)
    refuse_unlooked(loaded.manifest, tier)
    refuse_unrehearsed(loaded.manifest, tier)
    refuse_fallback(loaded.manifest, tier)
    refuse_reuse(loaded.manifest, tier)
    return AdmittedRun(
        run_id=attempt.run_id,
        manifest=loaded.manifest,
        manifest_digest=loaded.digest,
        folder=str(folder),
        file=Path(manifest).name,
        requester=requester,
        workload_digest=workload.digest,
        tier=tier,
        classes=classes,
        decision=decision,
        ticket=ticket,
        at=now,
    )
