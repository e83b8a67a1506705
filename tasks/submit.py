"""Gate 7: policy and approvals are asked again, the budget is reserved, and every job of the round is made exactly once."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from prefect_gatehouse.canonical import sha256_bytes
from prefect_gatehouse.errors import Ambiguous, Denied, Expired, InputError, PlanChanged, Quarantined, Waiting
from prefect_gatehouse.ledger.events import PolicyDenied
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.interface import Backend
from prefect_gatehouse.run import journal, reusable
from prefect_gatehouse.run.approvals import require_approved, roles_that_stand
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.boundary import guard_payload, require_key
from prefect_gatehouse.run.credentials import Fetch
from prefect_gatehouse.run.drift import refuse_drift
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.leaving import require_approved_bits
from prefect_gatehouse.run.minimised import formless_tokens
from prefect_gatehouse.run.policy_questions import OUTSIDE_HOURS, UNCHECKED, DeniedByPolicy, ask_submit
from prefect_gatehouse.run.prepared import digest_of, prepare, refuse_other
from prefect_gatehouse.run.pricing import Pricing
from prefect_gatehouse.run.quarantined import refuse_quarantined_run
from prefect_gatehouse.run.standing import standing_of
from prefect_gatehouse.run.started import worker_of
from prefect_gatehouse.run.ticketing import check_ticket
from prefect_gatehouse.run.values import ApprovedPlan, Job, Submission
from prefect_gatehouse.run.willing import AGAIN_SECONDS, label_of, passed_over
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.vocabulary import Label
from prefect_gatehouse.workload.batch import CircuitBatch
from prefect_gatehouse.workload.plain_form import circuits_digest
from prefect_gatehouse.workload.summary import CircuitsSummary


@gate(Submission, heeds_cancellation="at once")
def submit(attempt: Attempt, approved: ApprovedPlan, batch: CircuitBatch, summary: CircuitsSummary, number: int, fetch: Fetch) -> Submission:
    """Submits one round, whose circuits are summarised already; nothing where an earlier result stands for it.

    Raises:
        Quarantined: The run, or each backend that is left, is in quarantine.
        Denied: Policy, approvals or envelope say no, the round could carry more bits than were approved, or every backend definitely refused.
        DataRefused: A payload holds something else than numbers and gates.
        Expired: The approval's deadline has passed, or comes before the manifest's window, or the tier's, opens.
        Waiting: It is not the hour, by the manifest or by the tier, or no backend takes the round now.
        PlanChanged: What would run is not what was approved.
        Ambiguous: Nobody can tell whether a job exists.
        Unavailable: The block of a backend is missing, its server does not answer, or nothing says what the ticket is.
    """
    plan = approved.plan
    refuse_quarantined_run(attempt)
    people = attempt.people
    approvals = require_approved(attempt.ledger, plan, people, attempt.approving_policy, holding(attempt.settings, attempt.ledger))
    attempt.parts.refuse_changes(plan)
    attempt.parts.refuse_other_backends(plan)
    bits = require_approved_bits(plan, batch, number)
    _refuse_hour(attempt, approved, number)
    clearance = people.clearance(plan.admitted.requester, plan.admitted.tier.unverified_class)
    standing = standing_of(attempt.settings, attempt.history, plan)
    ticket = check_ticket(attempt, plan.admitted.manifest, plan.admitted.tier, "submit", number)
    asked = (attempt.settings.environment, clearance, standing, ticket, worker_of(attempt), _shots(attempt, summary, number))
    roles = {role for each in approvals for role in roles_that_stand(people, each)}
    try:
        decision = ask_submit(attempt.policy, plan, len(approvals), *asked, sends=_sends(attempt, number), roles=roles)
    except DeniedByPolicy as no:
        _wait_for_hours(attempt, approved, no.denial, number)
        raise
    attempt.permit(f"decided:{attempt.number}:{number}", decision.fact())
    attempt.heed()
    with fetch(attempt, plan.admitted, Purpose.SUBMIT) as lease:
        label: Label = "cached"
        entries = _standing(attempt, approved, batch, summary, number, lease)
        if not entries:
            position, entries = _on_first_willing(attempt, approved, batch, summary, number, lease)
            label = label_of(plan.body.backends, position)
    return Submission(
        run_id=attempt.run_id,
        plan_digest=plan.digest,
        round=number,
        circuits=summary,
        leaving_bits=bits,
        jobs=tuple(Job(key=entry.key, backend=entry.backend, handle=entry.handle or "", circuits=entry.circuits) for entry in entries),
        reserved=sum((entry.reserved for entry in entries), Decimal(0)),
        label=label,
    )


def _shots(attempt: Attempt, summary: CircuitsSummary, number: int) -> int:
    """Of this round and of what was sent of those before it: a later round may have more circuits than the first one had."""
    sent = (each.circuits for each in journal.entries(attempt) if each.round < number and each.state not in {"refused", "reused"})
    return (sum(sent) + summary.count) * summary.shots


def _refuse_hour(attempt: Attempt, approved: ApprovedPlan, number: int) -> None:
    """Stops a round after the deadline, and one that is not begun outside of the manifest's window."""
    now, window = datetime.now(UTC), approved.plan.admitted.manifest.execution.window
    deadline = approved.decided_at + timedelta(seconds=approved.plan.body.deadline_seconds)
    if now > deadline:
        raise Expired("the approval's deadline has passed", where="submit", advice="start a new run")
    if window is None or window.is_open(now) or journal.entries(attempt, number):
        return
    raise _until(window.next_opening(now), deadline, window.in_words(), "execution.window")


def _until(opens: datetime, deadline: datetime, hours: str, where: str) -> Waiting | Expired:
    if opens > deadline:
        advice = "start a new run with a later envelope.deadline, or within the window"
        return Expired(f"jobs are submitted {hours}, and the approval's deadline comes first", where=where, advice=advice)
    return Waiting(f"waits until {opens:%Y-%m-%d %H:%M} UTC: jobs are submitted {hours}", where=where, resume_at=opens.timestamp())


def _sends(attempt: Attempt, number: int) -> bool:
    """Whether something of a round is not with its provider yet."""
    begun = [each for each in journal.entries(attempt, number) if each.state != "refused"]
    return not begun or any(each.handle is None and each.state not in {"reused", "ambiguous"} for each in begun)


def _wait_for_hours(attempt: Attempt, approved: ApprovedPlan, no: PolicyDenied, number: int) -> None:
    """Where the policy says no to nothing but the hour, the run waits for the tier's next one; the no is written down as any other.

    A ticket that could not be looked up is asked for again by then.

    Raises:
        Waiting: Until then.
        Expired: The approval's deadline comes first.
    """
    hours = approved.plan.body.tier.submit_hours
    if hours is None or OUTSIDE_HOURS not in no.reasons or not set(no.reasons) <= {OUTSIDE_HOURS, UNCHECKED}:
        return
    attempt.record(f"denied:submit:{number}:{attempt.number}", no)
    deadline = approved.decided_at + timedelta(seconds=approved.plan.body.deadline_seconds)
    raise _until(hours.next_opening(datetime.now(UTC)), deadline, hours.in_words(), "tier: submit_hours") from None


def _standing(
    attempt: Attempt, approved: ApprovedPlan, batch: CircuitBatch, summary: CircuitsSummary, number: int, lease: CredentialLease
) -> list[journal.Entry]:
    """The round's jobs where an earlier result of identical requests to the first backend stands for each; none where the round is to be sent."""
    if approved.plan.admitted.manifest.execution.reuse is None:
        return []
    known = journal.entries(attempt, number)
    if known:
        return [entry for entry in known if entry.state == "reused"]
    name = approved.plan.body.backends[0].name
    provider = attempt.backend(name)
    try:
        refuse_quarantined_run(attempt, name)
        payloads = _encoded(approved, batch, summary, number, 0, provider, lease)
    except (PlanChanged, Denied, Quarantined):  # what that means is said where the round is intended, after what may have it go elsewhere
        return []
    found = reusable.find(attempt, approved.plan, number, [sha256_bytes(payload) for payload, _, _ in payloads])
    if found is None:
        return []
    pairs = zip(payloads, found, strict=True)
    standing = [journal.Standing(*payload, result=each.content, of=each.key, given=each.at) for payload, each in pairs]
    return journal.reuse(attempt, standing, round_number=number, backend=name)


def _on_first_willing(
    attempt: Attempt, approved: ApprovedPlan, batch: CircuitBatch, summary: CircuitsSummary, number: int, lease: CredentialLease
) -> tuple[int, list[journal.Entry]]:
    """Tries the backends in order; the next one only after a definite refusal, or where one is passed over before anything is intended there.

    Where a round was begun on a backend it stays there, though one before it takes jobs again by now.
    """
    max_queue = approved.plan.admitted.manifest.execution.max_queue
    known = journal.entries(attempt, number)
    begun = min((entry.fallback for entry in known if entry.state != "refused"), default=0)
    stopped = _in_quarantine(attempt, approved, known, begun)
    not_now: list[str] = []
    for position, snapshot in enumerate(approved.plan.body.backends):
        entries = [entry for entry in known if entry.fallback == position]
        if position < begun or position in stopped or any(entry.state == "refused" for entry in entries):
            continue
        provider = attempt.backend(snapshot.name)
        found = bool(entries)
        if not found:
            why = passed_over(attempt, snapshot.name, provider, lease, round_number=number, position=position, max_queue=max_queue)
            if why:
                not_now.append(why)
                continue
            entries = _intend(attempt, approved, batch, summary, number, position, provider, lease)
        try:
            for entry in entries:
                _make_once(attempt, approved, provider, entry, lease, found=found)
        except Denied as refusal:
            made = [entry for entry in journal.entries(attempt, number) if entry.fallback == position and entry.handle]
            if made or isinstance(refusal, Quarantined):
                raise  # part of the round is on this backend, or may be: a person decides what becomes of it
            journal.refused(attempt, entries, refusal.message)
            continue
        return position, [entry for entry in journal.entries(attempt, number) if entry.fallback == position]
    if not_now:
        message = f"no backend takes the round now: {'; '.join(not_now)}"
        raise Waiting(message, where="submit", resume_at=time.time() + AGAIN_SECONDS)
    refused = Denied("every backend of the plan refused", where="submit", advice="look at the events of the run, then start a new one")
    raise next(iter(stopped.values()), refused)


def _in_quarantine(attempt: Attempt, approved: ApprovedPlan, known: list[journal.Entry], begun: int) -> dict[int, Quarantined]:
    """Which of the plan's backends a round is not offered to, by their place, and why.

    Raises:
        Quarantined: The round was begun on one of them: nothing more is sent, and the end of the run cancels what was.
    """
    found: dict[int, Quarantined] = {}
    for position, snapshot in enumerate(approved.plan.body.backends):
        try:
            refuse_quarantined_run(attempt, snapshot.name)
        except Quarantined as quarantine:
            if position == begun and any(entry.fallback == position and entry.state != "refused" for entry in known):
                raise
            found[position] = quarantine
    return found


def _intend(
    attempt: Attempt,
    approved: ApprovedPlan,
    batch: CircuitBatch,
    summary: CircuitsSummary,
    number: int,
    position: int,
    provider: Backend,
    lease: CredentialLease,
) -> list[journal.Entry]:
    body = approved.plan.body
    shots = body.circuits.shots
    facts = provider.facts(lease)
    refuse_drift(attempt, body.tier, body.backends[position].name, provider, lease)
    pricing = Pricing(body.backends[position].name, provider, facts, body.tier.name, attempt.settings.prices)
    payloads = _encoded(approved, batch, summary, number, position, provider, lease)
    for payload, _, _ in payloads:
        _guard(attempt, approved, payload, provider, body.backends[position].name)
    return journal.intend(
        attempt,
        payloads,
        round_number=number,
        fallback=position,
        backend=body.backends[position].name,
        prices=[pricing.job(circuits, shots, lease).upper for _, circuits, _ in payloads],
        cap=body.cost,
        jobs_cap=body.jobs,
    )


def _encoded(
    approved: ApprovedPlan, batch: CircuitBatch, summary: CircuitsSummary, number: int, position: int, provider: Backend, lease: CredentialLease
) -> list[tuple[bytes, int, str]]:
    """What each job of a round sends to a backend of the plan, its number of circuits and their digest.

    Raises:
        PlanChanged: They are prepared in another way than was approved.
        Denied: The backend can't take them.
    """
    planned, shots = approved.plan.body.backends[position], approved.plan.body.circuits.shots
    step = approved.plan.admitted.manifest.execution.angle_step
    prepared = prepare(provider, batch, shots, step, lease, where=planned.name)
    digest = digest_of(prepared, batch, summary)
    refuse_other(planned, prepared, digest, number)
    parts = list(prepared.batch.parts(provider.facts(lease).circuits_per_job))
    try:
        digests = [digest] if len(parts) == 1 else [circuits_digest(part) for part in parts]
        return [(provider.encode(part, shots), len(part), digest) for part, digest in zip(parts, digests, strict=True)]
    except InputError as error:
        raise Denied(error.message, where=error.where or "submit", advice=error.advice) from None


def _make_once(attempt: Attempt, approved: ApprovedPlan, provider: Backend, entry: journal.Entry, lease: CredentialLease, *, found: bool) -> None:
    """Handle known: nothing to do. Unknown: look for the job under its key, and only then send the same bytes.

    An intent that was found may have been sent by an attempt that died, whose job the provider may not show yet; one that this attempt
    wrote a moment ago has been sent by nobody, so nothing is waited for.
    """
    if entry.handle is not None:
        return
    if entry.state == "ambiguous":
        raise Ambiguous("a job of this round may or may not exist", where=entry.key, advice="look it up at the provider, then abandon the run")
    require_key(entry.key, entry.backend)
    handle = provider.find_by_key(entry.key, lease)
    if handle is None:
        waited, grace = time.time() - entry.intended, provider.facts(lease).grace_seconds
        if found and waited < grace:
            time.sleep(grace - waited)
            handle = provider.find_by_key(entry.key, lease)
    if handle is None:
        handle = _sent(attempt, approved, provider, entry, lease)
    journal.submitted(attempt, entry, handle, lease.record.lease_id)


def _sent(attempt: Attempt, approved: ApprovedPlan, provider: Backend, entry: journal.Entry, lease: CredentialLease) -> str:
    """Sends the bytes that the journal holds, which another process may have written: they pass the boundary again."""
    payload = journal.payload_of(attempt, entry)
    _guard(attempt, approved, payload, provider, entry.backend)
    refuse_quarantined_run(attempt, entry.backend)  # and the fence
    try:
        return provider.submit(payload, entry.key, lease)
    except Ambiguous:
        journal.ambiguous(attempt, entry)
        raise


def _guard(attempt: Attempt, approved: ApprovedPlan, payload: bytes, provider: Backend, where: str) -> None:
    minimised = approved.plan.validated.minimised
    step = minimised.admitted.manifest.execution.angle_step
    guard_payload(payload, provider, where=where, tokens=formless_tokens(attempt, minimised), step=step)
