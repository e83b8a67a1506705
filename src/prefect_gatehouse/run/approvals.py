"""Approvals as the ledger knows them: what was asked, who answered authentically, and where a plan stands.

Only events count: a form, a state or a parameter in Prefect is a claim until an answer has been checked here.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect_gatehouse.errors import Denied, Expired, Rejected, Unavailable
from prefect_gatehouse.identity.methods.interface import Claim, Proven
from prefect_gatehouse.identity.methods.oidc import is_signed, prefetch
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.sshsig import VerifiedKey, verify
from prefect_gatehouse.identity.statement import Statement, plain_line
from prefect_gatehouse.ledger.acts import PeopleChanged
from prefect_gatehouse.ledger.events import AnswerRefused, ApprovalAsked, ApprovalGiven, ApprovalRejected, LongLivedKeyUsed, PlanAnswer, SignedAnswer
from prefect_gatehouse.ledger.store import Event, Ledger, Transaction
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.plurals import counted
from prefect_gatehouse.policy.acts import revoked_since
from prefect_gatehouse.policy.cedar import policy_now
from prefect_gatehouse.policy.classes import leaving
from prefect_gatehouse.policy.interface import Policy
from prefect_gatehouse.policy.quarantine import quarantines_in
from prefect_gatehouse.policy.tiers import is_reported, refuse_long_lived
from prefect_gatehouse.run.answer import (
    Answer,
    CheckedAnswer,
    authenticate,
    is_code,
    kind_of,
    proven_approver,
    read_answer,
    refuse_unproven,
    require_allowed,
    require_cleared,
    require_short_lived,
    require_strength,
)
from prefect_gatehouse.run.approval_question import refuse_approval
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.expected import expected
from prefect_gatehouse.run.quarantined import quarantines, refuse_quarantined
from prefect_gatehouse.run.values import Approval, BackendSnapshot, Plan
from prefect_gatehouse.run.wrong_answers import UNKNOWN, closed, closing, too_many
from prefect_gatehouse.vocabulary import Method, ProofKind


@dataclass(frozen=True)
class Standing:
    """Where a plan stands.

    Attributes:
        approvals: Authentic approvals of exactly this plan, one a person, in order.
        needed: How many the tier demands.
        rejected_by: Who said no, None if nobody did.
        refusals: Why answers did not count, oldest first.
        answers: How many answers were given, counted or not.
    """

    approvals: tuple[Approval, ...]
    needed: int
    rejected_by: str | None
    refusals: tuple[str, ...]
    answers: int

    @property
    def decided(self) -> bool:
        """Whether there is nothing left to ask."""
        return self.rejected_by is not None or len(self.approvals) >= self.needed


def standing(ledger: Ledger, plan: Plan) -> Standing:
    """Reads where a plan stands from the ledger."""
    run_id = plan.body.run_id
    approvals: dict[str, Approval] = {}
    refusals: list[str] = []
    rejected_by, answers = None, 0
    for event in ledger.facts(PlanAnswer, run_id=run_id):
        fact = event.fact
        if fact.plan_digest != plan.digest:
            continue
        answers += 1
        if isinstance(fact, ApprovalGiven):
            approvals.setdefault(fact.person, Approval(event_id=event.event_id, person=fact.person, method=fact.method, at=event.when))
        elif isinstance(fact, ApprovalRejected):
            rejected_by = rejected_by or fact.person
        elif isinstance(fact, AnswerRefused):
            refusals.append(fact.reason)
    return Standing(tuple(approvals.values()), plan.admitted.approvers_needed, rejected_by, tuple(refusals), answers)


def closes_at(plan: Plan) -> datetime:
    """Until when the plan can be decided."""
    return plan.made_at + timedelta(seconds=plan.admitted.tier.approval_window_seconds)


def ask(attempt: Attempt, plan: Plan, key: str) -> tuple[Statement, Statement]:
    """Records that approval was asked under a key, once, and gives the statements to sign: to approve and to reject."""
    return statements(plan, asking(attempt, plan, key))


def asking(attempt: Attempt, plan: Plan, key: str) -> ApprovalAsked:
    """What was asked under a key: recorded now, unless an earlier attempt has."""
    known = attempt.find(f"asked:{key}", ApprovalAsked)
    if known is None:
        expects = expected(attempt.people, plan)
        fact = ApprovalAsked(plan_digest=plan.digest, key=key, nonce=secrets.token_hex(16), expires=closes_at(plan), expects=expects)
        attempt.record(f"asked:{key}", fact)
        known = attempt.find(f"asked:{key}", ApprovalAsked)
        assert known is not None  # recorded above
    return known.fact


def statements(plan: Plan, asked: ApprovalAsked) -> tuple[Statement, Statement]:
    """The two statements of an asking: to approve and to reject."""
    fields = {
        "subject_digest": plan.digest,
        "environment": plan.admitted.manifest.environment,
        "request_id": plan.body.run_id,
        "nonce": asked.nonce,
        "expires": asked.expires,
        "words": words_of(plan),
    }
    return Statement(action="approve", **fields), Statement(action="reject", **fields)


def words_of(plan: Plan) -> tuple[tuple[str, str], ...]:
    """What people sign of a plan, a line each; made from the ledger's plan, so whoever was shown another one signs nothing that is valid."""
    admitted, minimised, body = plan.admitted, plan.validated.minimised, plan.body
    manifest, who = admitted.manifest, admitted.requester
    classes = Counter(item.data_class for item in leaving(minimised.treatments, body.classes.features) if item.rule != "drop")
    target = manifest.output.target
    lines = (
        ("Pipeline", f"{manifest.name}, tier {body.tier.name}, workload {manifest.workload.entrypoint} ({body.workload_digest[:12]})"),
        ("Requester", who.person if who.method != "unverified" else "unverified, nobody signed the request"),
        ("Rows", str(minimised.artifact.rows)),
        ("Classes that leave", ", ".join(f"{each} ({counted(classes[each], 'column')})" for each in DataClass if classes[each]) or "none"),
        ("Backends", ", ".join(_backend(item) for item in body.backends)),
        *_earlier(manifest.execution.reuse),
        ("Worst cost", f"{body.cost} USD in at most {counted(body.rounds, 'round')} and {counted(body.jobs, 'job')}"),
        ("Target", f"{target.system} at {body.endpoint(target.system)}, table {target.table}, rows of class {body.classes.output_class}"),
    )
    excepted = ", ".join(f"{each.rule} until {each.expires:%Y-%m-%d}" for each in body.exceptions)
    more = (("Exceptions to the policy", excepted),) if excepted else ()
    return tuple((name, plain_line(value)) for name, value in (*lines, *more))


def _earlier(reuse: timedelta | None) -> Iterator[tuple[str, str]]:
    if reuse is not None:
        yield "Earlier results", f"may stand for identical requests of this pipeline, up to {reuse} old, labelled cached"


def _backend(item: BackendSnapshot) -> str:
    """Its name, and where its jobs go."""
    return f"{item.name} ({'; '.join(f'{name} {value}' for name, value in item.place)})" if item.place else item.name


def last_asked(ledger: Ledger, plan: Plan) -> ApprovalAsked | None:
    """The newest asking for a plan."""
    asked = [event.fact for event in ledger.facts(ApprovalAsked, run_id=plan.body.run_id) if event.fact.plan_digest == plan.digest]
    return asked[-1] if asked else None


def judge(attempt: Attempt, plan: Plan, key: str, given: Answer | str | None) -> None:
    """Checks an answer and writes down what it was worth, once for a key; whatever came back, it counts or is refused with a reason.

    Args:
        attempt: Who acts.
        plan: What was asked about.
        key: The key of the asking.
        given: What came back: an answer, or the text of one as it was found; None where there is none.
    """
    statement_of = dict(zip(("approve", "reject"), ask(attempt, plan, key), strict=True))
    people = attempt.people
    try:
        answer = given if isinstance(given, Answer) else read_answer(given)
    except Denied as refusal:
        # Nothing was tried with it, so it counts as no wrong answer.
        attempt.record(f"answer:{key}", _refused(plan, refusal, UNKNOWN))
        return
    unreadable = _not_readable(answer, people)
    if unreadable is not None:
        attempt.record(f"answer:{key}", _refused(plan, unreadable, UNKNOWN))
        return
    with attempt.effect() as tx:
        # Limits, code and what it was worth in one transaction: of two runs that judge at once the second one sees what the first one wrote.
        if not tx.has(f"{attempt.run_id}:answer:{key}"):
            worth = _worth(tx, attempt, plan, answer, statement_of[answer.decision], people)
            tier = plan.admitted.tier
            if isinstance(worth, SignedAnswer) and is_reported(worth.method, tier):
                used = LongLivedKeyUsed(act=answer.decision, person=worth.person, fingerprint=worth.fingerprint, tier=tier.name)
                attempt.append(tx, f"long-lived-key:{key}", used)
            attempt.append(tx, f"answer:{key}", worth)  # last: nothing of this attempt's may stand between an approval and its signed head
    if answer.decision == "approve" and standing(attempt.ledger, plan).approvals:
        attempt.seal()  # signed before anybody acts on it


def _not_readable(answer: Answer, people: People) -> Denied | None:
    """Why a token can't be judged now; its provider is asked here, outside the transaction, which then finds the keys known."""
    if kind_of(answer) != "token":
        return None
    try:
        prefetch(answer.proof, people)
    except Denied as refusal:
        return refusal
    except Unavailable as error:
        return Denied(error.message, where="approval", advice="answer again once it answers; the run waits")
    return None


def _worth(tx: Transaction, attempt: Attempt, plan: Plan, answer: Answer, statement: Statement, people: People) -> SignedAnswer | AnswerRefused:
    """What an answer is worth."""
    tier, now = plan.admitted.tier, datetime.now(UTC)
    named = people.get(answer.approver)
    claimed = named.person if named is not None else UNKNOWN
    try:
        refuse_unproven(answer, statement, tier, now)
    except Denied as refusal:
        return _refused(plan, refusal, claimed)
    if is_code(answer) and (until := closed(tx, attempt.run_id, claimed, tier, now)) is not None:
        return _refused(plan, too_many(until), claimed, until=until)
    try:
        checked = authenticate(answer, statement, people, _spent(tx) if is_code(answer) else (), now)
    except Denied as refusal:
        until = closed(tx, attempt.run_id, claimed, tier, now, one_more=True) if is_code(answer) else None
        return _refused(plan, refusal if until is None else closing(refusal, until), claimed, wrong=True, until=until)
    try:
        _refuse_quarantined(tx, attempt, plan, checked)
        require_allowed(checked, requester=plan.admitted.requester, tier=tier, classes=plan.body.classes, people=people)
        if checked.decision == "approve":
            refuse_approval(policy_now(attempt.settings), plan, people.get(checked.person), checked.method)
        if checked.decision == "approve" and checked.person in {each.person for each in standing(attempt.ledger, plan).approvals}:
            raise Denied("this person has approved already; another approver is needed", advice="ask another approver")
        if checked.decision == "approve" and checked.fingerprint and checked.fingerprint in _keys(attempt.ledger, plan):
            raise Denied("this key has approved already in another person's name", advice="answer with a key that is yours alone")
    except Denied as refusal:
        return _refused(plan, refusal, checked.person, totp_step=checked.totp_step)
    return _counted(plan, answer, checked, statement)


def _keys(ledger: Ledger, plan: Plan) -> set[str]:
    """The keys that have approved a plan: the registry gives one to one person, certificates could be made of one for two."""
    given = [event.fact for event in ledger.facts(ApprovalGiven, run_id=plan.body.run_id)]
    return {fact.fingerprint for fact in given if fact.plan_digest == plan.digest and fact.fingerprint}


def _refuse_quarantined(tx: Transaction, attempt: Attempt, plan: Plan, checked: CheckedAnswer) -> None:
    """Stops an answer of somebody in quarantine, and a yes to a run that is; a no to one is welcome."""
    held = quarantines(tx, attempt)
    held.refuse_person(checked.person)
    if checked.decision == "approve":
        refuse_quarantined(tx, attempt)
        if all(held.of("backend", each.name) is not None for each in plan.body.backends):
            held.refuse_backend(plan.body.backends[0].name)


def _refused(plan: Plan, refusal: Denied, claimed: str, **more: object) -> AnswerRefused:
    fields = {"plan_digest": plan.digest, "reason": refusal.message, "advice": refusal.advice, "claimed": claimed}
    return AnswerRefused.model_validate(fields | more)


def _counted(plan: Plan, answer: Answer, checked: CheckedAnswer, statement: Statement) -> SignedAnswer:
    fields = {
        "plan_digest": plan.digest,
        "person": checked.person,
        "method": checked.method,
        "fingerprint": checked.fingerprint,
        "totp_step": checked.totp_step,
        "statement": statement.message().decode(),
        "signature": answer.proof if checked.method != "totp" else "",
        "signer": checked.key,
    }
    return (ApprovalGiven if checked.decision == "approve" else ApprovalRejected).model_validate(fields)


def _spent(tx: Transaction) -> set[tuple[str, int]]:
    """One-time codes that are spent: person and time step; also those that were right in an answer that did not count."""
    counted = {(event.fact.person, event.fact.totp_step) for event in tx.facts(SignedAnswer)}
    refused = {(event.fact.claimed, event.fact.totp_step) for event in tx.facts(AnswerRefused)}
    return {(person, step) for person, step in counted | refused if step is not None}


def require_approved(ledger: Ledger, plan: Plan, people: People, policy: Callable[[], Policy]) -> tuple[Approval, ...]:
    """The approvals that carry a plan, every signature checked again.

    Raises:
        Rejected: Somebody said no.
        Quarantined: An approver is in quarantine.
        Denied: There are not enough, or one no longer stands.
    """
    now = standing(ledger, plan)
    if now.rejected_by is not None:
        raise Rejected(f"rejected by {now.rejected_by}", where="await_approval", advice="mend the plan and start a new run")
    held = quarantines_in(ledger, people, plan.admitted.manifest.environment, policy)
    changes = ledger.facts(PeopleChanged) if now.approvals else []
    for approval in now.approvals:
        held.refuse_person(approval.person)
        event = ledger.find(approval.event_id, ApprovalGiven)
        assert event is not None  # it was just listed
        _recheck(ledger, event, people, plan, changes)
        refuse_approval(policy, plan, people.get(approval.person), approval.method)
    if len(now.approvals) < now.needed:
        raise Denied(f"{len(now.approvals)} of {now.needed} approvals", where="await_approval", advice="have the plan approved")
    return now.approvals


def _recheck(ledger: Ledger, event: Event[ApprovalGiven], people: People, plan: Plan, changes: Sequence[Event[PeopleChanged]]) -> None:
    person = people.get(event.fact.person)
    if person is None or "approver" not in person.roles:
        raise Denied("an approver has been revoked since", where="await_approval", advice="have the plan approved again in a new run")
    environment = plan.admitted.manifest.environment
    if revoked_since(changes, event.seq, event.fact.person, event.fact.fingerprint, environment):
        raise Denied("an approver has been revoked since", where="await_approval", advice="have the plan approved again in a new run")
    if any(_takes_the_ground(change, event, environment) for change in changes):
        raise _no_more("what proved an approver was taken out of the registry since")
    longest = timedelta(seconds=plan.admitted.tier.approval_age_seconds)
    if datetime.now(UTC) - event.when > longest:
        advice = "have the plan approved in a new run, in smaller parts where a run takes so long"
        raise Denied(f"an approval is older than the tier {plan.admitted.tier.name} lets it be", where="await_approval", advice=advice)
    if plan.admitted.requester.person == person.person:
        raise Denied("the requester is among the approvers", where="await_approval")
    method: Method = "totp"
    if event.fact.method != "totp":
        proven = _proven_again(ledger, event, people, plan)
        if proven.person.person != person.person:
            raise _no_more("a signature's key has been revoked since")
        if proven.fingerprint and proven.fingerprint == plan.admitted.requester.fingerprint:
            raise Denied("the requester's key is among the approvers'", where="await_approval")
        require_short_lived(proven.life, plan.admitted.tier)
        method = proven.method
    if method != event.fact.method:
        raise Denied("an approval claims another method than it proves", where="await_approval", advice="run: gatehouse verify")
    require_strength(method, plan.admitted.tier)
    refuse_long_lived(method, plan.admitted.tier, "await_approval")
    require_cleared(person, plan.body.classes)


def _proven_again(ledger: Ledger, event: Event[ApprovalGiven], people: People, plan: Plan) -> Proven:
    """Whose proof it was when it was given, by the registry as it is now: a key or certificate may end behind it, a revoked one is gone.

    Raises:
        Denied: It is nobody's any more.
        Unavailable: An identity provider's keys can't be read.
    """
    kind: ProofKind = "token" if event.fact.method == "oidc" else "signature"
    by_key = kind == "signature" and not signer(ledger, event, plan).certificate
    claim = Claim(event.fact.person, event.fact.signature, _message_of(ledger, event, plan), "approve", event.when)
    try:
        if kind == "token":
            prefetch(claim.proof, people)
        return proven_approver(kind, claim, people)
    except Denied as denied:
        raise _no_more("a signature's key has been revoked since" if by_key else f"an approval no longer stands: {denied.message}") from None


_GROUNDS = {"ssh-certificate": ("remove-authority",), "oidc": ("remove-provider", "remove-subject")}
"""Changes of the registry behind which a proof of a method counts no more, whatever is put back."""


def _takes_the_ground(change: Event[PeopleChanged], event: Event[ApprovalGiven], environment: str) -> bool:
    if change.seq <= event.seq or not isinstance(change.fact, PeopleChanged) or change.fact.environment != environment:
        return False
    about = change.fact.whom in {"", event.fact.person}
    return about and change.fact.action in _GROUNDS.get(event.fact.method, ())


def _no_more(why: str) -> Denied:
    return Denied(why, where="await_approval", advice="have the plan approved again in a new run")


def signer(ledger: Ledger, event: Event[ApprovalGiven], plan: Plan) -> VerifiedKey:
    """Whose signature an approval holds: of the statement that was asked for, not of the text that the event holds beside it."""
    try:
        return verify(event.fact.signature, _message_of(ledger, event, plan), certified=True)
    except Denied:
        raise Denied("an approval in the ledger is not one of exactly this plan", where="await_approval", advice="run: gatehouse verify") from None


def is_token_of(ledger: Ledger, plan: Plan, event: Event[ApprovalGiven]) -> bool:
    """Whether the ID token that an approval holds is of the statement that was asked for, and of the key that the event names."""
    try:
        return is_signed(event.fact.signature, event.fact.signer, _message_of(ledger, event, plan))
    except Denied:
        return False


def _message_of(ledger: Ledger, event: Event[ApprovalGiven], plan: Plan) -> bytes:
    asked = ledger.find(event.event_id.replace(f"{event.run_id}:answer:", f"{event.run_id}:asked:", 1), ApprovalAsked)
    if asked is None:
        raise Denied("this was never asked")
    return statements(plan, asked.fact)[0].message()


def refuse_late(plan: Plan) -> None:
    """Stops when nobody decided in time.

    Raises:
        Expired: The approval window has passed.
    """
    if datetime.now(UTC) >= closes_at(plan):
        raise Expired("nobody decided within the approval window", where="await_approval", advice="start a new run")
