"""Approvals and releases as the ledger knows them: what was asked, who answered authentically, and where a plan or its outcome stands.

Only events count: a form, a state or a parameter in Prefect is a claim until an answer has been checked here.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from prefect_gatehouse.errors import Denied, Expired, Rejected, Unavailable
from prefect_gatehouse.identity.methods.interface import Claim, Proven
from prefect_gatehouse.identity.methods.oidc import is_signed, prefetch
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.sshsig import VerifiedKey, verify
from prefect_gatehouse.identity.statement import Statement
from prefect_gatehouse.ledger.acts import PeopleChanged
from prefect_gatehouse.ledger.answers import AnswerRefused, ApprovalGiven, Asked, Consent, LongLivedKeyUsed, PlanAnswer, Rejection, SignedAnswer
from prefect_gatehouse.ledger.store import Event, Ledger, Transaction
from prefect_gatehouse.policy.acts import revoked_since
from prefect_gatehouse.policy.approver_roles import in_words, missing_roles
from prefect_gatehouse.policy.decision import Decision
from prefect_gatehouse.policy.interface import Policy
from prefect_gatehouse.policy.quarantine import Quarantines
from prefect_gatehouse.policy.tiers import is_reported, refuse_long_lived
from prefect_gatehouse.run.answer import (
    Answer,
    CheckedAnswer,
    authenticate,
    in_tier,
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
from prefect_gatehouse.run.matter import Matter, closes_at, digests_of, needed, plan_of, terms_of
from prefect_gatehouse.run.outcome import Outcome, words_of_outcome
from prefect_gatehouse.run.plan_words import words_of
from prefect_gatehouse.run.quarantined import quarantines, refuse_quarantined
from prefect_gatehouse.run.values import Approval, Plan
from prefect_gatehouse.run.vouching import refuse_vouching, vouching_for
from prefect_gatehouse.run.wrong_answers import UNKNOWN, closed, closing, too_many
from prefect_gatehouse.vocabulary import Method, ProofKind, Role

F = TypeVar("F", bound=PlanAnswer | Asked)


@dataclass(frozen=True)
class Standing:
    """Where a plan, or its outcome, stands.

    Attributes:
        approvals: Authentic approvals, or releases, of exactly this, one a person, in order.
        needed: How many the tier demands.
        rejected_by: Who said no, None if nobody did.
        refusals: Why answers did not count, oldest first.
        answers: How many answers were given, counted or not.
        missing: Roles that the tier asks for and nobody of those who approved has.
    """

    approvals: tuple[Approval, ...]
    needed: int
    rejected_by: str | None
    refusals: tuple[str, ...]
    answers: int
    missing: tuple[Role, ...] = ()

    @property
    def lacks(self) -> str:
        """Who has to approve as well, to be put behind how many have; empty where it is a matter of their number alone."""
        return f"; needed as well: {in_words(self.missing)}" if self.missing else ""

    @property
    def decided(self) -> bool:
        """Whether there is nothing left to ask."""
        return self.rejected_by is not None or (len(self.approvals) >= self.needed and not self.missing)


def standing(ledger: Ledger, matter: Matter) -> Standing:
    """Reads where something stands from the ledger."""
    approvals: dict[str, Approval] = {}
    refusals: list[str] = []
    rejected_by, answers = None, 0
    terms = terms_of(matter)
    for event in _about(matter, ledger.facts(PlanAnswer, run_id=plan_of(matter).body.run_id)):
        fact = event.fact
        answers += 1
        if isinstance(fact, terms.given):
            given = Approval(event_id=event.event_id, person=fact.person, method=fact.method, at=event.when, roles=fact.roles)
            approvals.setdefault(fact.person, given)
        elif isinstance(fact, terms.rejected):
            rejected_by = rejected_by or fact.person
        elif isinstance(fact, AnswerRefused):
            refusals.append(fact.reason)
    missing = _missing(matter, [each.roles for each in approvals.values()])
    return Standing(tuple(approvals.values()), needed(matter), rejected_by, tuple(refusals), answers, missing)


def _missing(matter: Matter, roles: Iterable[Collection[Role]]) -> tuple[Role, ...]:
    """Of a plan; who releases what came of it need only be others."""
    return missing_roles(matter.admitted.tier, roles) if isinstance(matter, Plan) else ()


def _about(matter: Matter, events: Sequence[Event[F]]) -> list[Event[F]]:
    """Those that are about exactly this."""
    digests = digests_of(matter)
    return [event for event in events if {"plan_digest": event.fact.plan_digest, "outcome_digest": event.fact.outcome_digest} == digests]


def ask(attempt: Attempt, matter: Matter, key: str) -> tuple[Statement, Statement]:
    """Records that people were asked under a key, once, and gives the statements to sign: to approve and to reject."""
    return statements(matter, asking(attempt, matter, key))


def asking(attempt: Attempt, matter: Matter, key: str) -> Asked:
    """What was asked under a key: recorded now, unless an earlier attempt has."""
    kind = terms_of(matter).asked
    known = attempt.find(f"asked:{key}", kind)
    if known is None:
        expects = expected(attempt.people, plan_of(matter), without=barred(attempt.ledger, matter))
        fields = {"key": key, "nonce": secrets.token_hex(16), "expires": closes_at(matter), "expects": expects, **digests_of(matter)}
        attempt.record(f"asked:{key}", kind.model_validate(fields))
        known = attempt.find(f"asked:{key}", kind)
        assert known is not None  # recorded above
    return known.fact


def statements(matter: Matter, asked: Asked) -> tuple[Statement, Statement]:
    """The two statements of an asking: to approve and to reject."""
    plan, digests, acts = plan_of(matter), digests_of(matter), terms_of(matter).acts
    fields = {
        "subject_digest": digests["plan_digest"],
        "outcome_digest": digests["outcome_digest"],
        "environment": plan.admitted.manifest.environment,
        "request_id": plan.body.run_id,
        "nonce": asked.nonce,
        "expires": asked.expires,
        "words": words_of(matter) if isinstance(matter, Plan) else words_of_outcome(matter),
    }
    approve, reject = (Statement.model_validate({"action": acts[each], **fields}) for each in ("approve", "reject"))
    return approve, reject


def barred(ledger: Ledger, matter: Matter) -> dict[str, str]:
    """Who can't say yes to it, beside the requester, and what they did: of an outcome those who approved its plan; see ``vouching.py``."""
    return vouching_for(plan_of(matter)) | {fact.person: "approved its plan" for fact in _plan_approvals(ledger, matter)}


def _plan_approvals(ledger: Ledger, matter: Matter) -> list[ApprovalGiven]:
    """Of an outcome the approvals of its plan, as the ledger has them, whether or not they still stand."""
    if isinstance(matter, Plan):
        return []
    return [event.fact for event in _about(matter.plan, ledger.facts(ApprovalGiven, run_id=matter.body.run_id))]


def last_asked(ledger: Ledger, matter: Matter) -> Asked | None:
    """The newest asking about it."""
    asked = _about(matter, ledger.facts(terms_of(matter).asked, run_id=plan_of(matter).body.run_id))
    return asked[-1].fact if asked else None


def judge(attempt: Attempt, matter: Matter, key: str, given: Answer | str | None) -> None:
    """Checks an answer and writes down what it was worth, once for a key; whatever came back, it counts or is refused with a reason.

    Args:
        attempt: Who acts.
        matter: What was asked about.
        key: The key of the asking.
        given: What came back: an answer, or the text of one as it was found; None where there is none.
    """
    statement_of = dict(zip(("approve", "reject"), ask(attempt, matter, key), strict=True))
    people = attempt.people
    try:
        answer = given if isinstance(given, Answer) else read_answer(given)
    except Denied as refusal:
        # Nothing was tried with it, so it counts as no wrong answer.
        attempt.record(f"answer:{key}", _refused(matter, refusal, UNKNOWN))
        return
    unreadable = _not_readable(answer, people)
    if unreadable is not None:
        attempt.record(f"answer:{key}", _refused(matter, unreadable, UNKNOWN))
        return
    with attempt.effect() as tx:
        # Limits, code and what it was worth in one transaction: of two runs that judge at once the second one sees what the first one wrote.
        if not tx.has(f"{attempt.run_id}:answer:{key}"):
            worth = _worth(tx, attempt, matter, answer, statement_of[answer.decision], people)
            tier = plan_of(matter).admitted.tier
            if isinstance(worth, SignedAnswer) and is_reported(worth.method, tier):
                act = terms_of(matter).acts[answer.decision]
                used = LongLivedKeyUsed(act=act, person=worth.person, fingerprint=worth.fingerprint, tier=tier.name)
                attempt.append(tx, f"long-lived-key:{key}", used)
            attempt.append(tx, f"answer:{key}", worth)  # last: nothing of this attempt's may stand between a consent and its signed head
    if answer.decision == "approve" and standing(attempt.ledger, matter).approvals:
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


def _worth(tx: Transaction, attempt: Attempt, matter: Matter, answer: Answer, statement: Statement, people: People) -> SignedAnswer | AnswerRefused:
    """What an answer is worth."""
    plan = plan_of(matter)
    tier, now = plan.admitted.tier, datetime.now(UTC)
    named = people.get(answer.approver)
    claimed = named.person if named is not None else UNKNOWN
    try:
        refuse_unproven(answer, statement, tier, now)
    except Denied as refusal:
        return _refused(matter, refusal, claimed)
    if is_code(answer) and (until := closed(tx, attempt.run_id, claimed, tier, now)) is not None:
        return _refused(matter, too_many(until), claimed, until=until)
    try:
        checked = authenticate(answer, statement, people, _spent(tx) if is_code(answer) else (), now)
        checked = replace(checked, method=in_tier(checked.method, checked.fingerprint, people, tier))
    except Denied as refusal:
        until = closed(tx, attempt.run_id, claimed, tier, now, one_more=True) if is_code(answer) else None
        return _refused(matter, refusal if until is None else closing(refusal, until), claimed, wrong=True, until=until)
    try:
        held = quarantines(tx, attempt)
        if checked.decision == "approve":
            _refuse_quarantined(tx, attempt, held, matter)
        decision = refuse_answer(attempt.ledger, held, matter, checked, people, attempt.approving_policy)
    except Denied as refusal:
        return _refused(matter, refusal, checked.person, totp_step=checked.totp_step)
    return _counted(matter, answer, checked, statement, decision)


def refuse_answer(
    ledger: Ledger, held: Quarantines, matter: Matter, checked: CheckedAnswer, people: People, policy: Callable[[], Policy]
) -> Decision | None:
    """Stops an authentic answer of somebody whose it is not to give; asked when one is judged, and by the inbox of one that somebody might give.

    Args:
        ledger: What was answered so far.
        held: The quarantines that hold.
        matter: What it is about.
        checked: The answer.
        people: The registry.
        policy: Gives the policy of now.

    Returns:
        What the policy decided about a yes; None of a no, about which it is not asked.

    Raises:
        Denied: Says why not.
    """
    plan = plan_of(matter)
    held.refuse_person(checked.person)
    require_allowed(checked, requester=plan.admitted.requester, tier=plan.admitted.tier, classes=plan.body.classes, people=people)
    if checked.decision != "approve":
        return None
    _refuse_second(ledger, matter, checked.person, checked.fingerprint)
    refuse_vouching(plan, checked.person, terms_of(matter).gate)
    return refuse_approval(policy, matter, people.get(checked.person), checked.method)


def _refuse_second(ledger: Ledger, matter: Matter, person: str, key: str) -> None:
    """Stops a yes of somebody who has said one, or by a key that has.

    The registry gives a key to one person; certificates could be made of one for two.
    """
    given = [event.fact for event in _about(matter, ledger.facts(terms_of(matter).given, run_id=plan_of(matter).body.run_id))]
    done = "approved" if isinstance(matter, Plan) else "released it"
    if person in {fact.person for fact in given}:
        raise Denied(f"this person has {done} already; another approver is needed", advice="ask another approver")
    if key and key in {fact.fingerprint for fact in given}:
        raise Denied(f"this key has {done} already in another person's name", advice="answer with a key that is yours alone")
    _refuse_plan_approver(ledger, matter, person, key)


def _refuse_plan_approver(ledger: Ledger, matter: Matter, person: str, key: str) -> None:
    """Stops a release by somebody who approved the plan: two pairs of eyes are two people's."""
    before = _plan_approvals(ledger, matter)
    where = terms_of(matter).gate
    if person in {fact.person for fact in before}:
        raise Denied("whoever approved the plan does not release its outcome", where=where, advice="have another approver release it")
    if key and key in {fact.fingerprint for fact in before}:
        raise Denied("this key approved the plan in another person's name", where=where, advice="have an approver release it with a key of their own")


def _refuse_quarantined(tx: Transaction, attempt: Attempt, held: Quarantines, matter: Matter) -> None:
    """Stops a yes to a run that is in quarantine; a no to one is welcome."""
    if isinstance(matter, Outcome):
        refuse_quarantined(tx, attempt, *matter.body.backends)
        return
    refuse_quarantined(tx, attempt)
    if all(held.of("backend", each.name) is not None for each in matter.body.backends):
        held.refuse_backend(matter.body.backends[0].name)


def _refused(matter: Matter, refusal: Denied, claimed: str, **more: object) -> AnswerRefused:
    fields = {**digests_of(matter), "reason": refusal.message, "advice": refusal.advice, "claimed": claimed}
    return AnswerRefused.model_validate(fields | more)


def _counted(matter: Matter, answer: Answer, checked: CheckedAnswer, statement: Statement, decision: Decision | None) -> Consent | Rejection:
    terms = terms_of(matter)
    fields: dict[str, object] = {
        **digests_of(matter),
        "person": checked.person,
        "method": checked.method,
        "fingerprint": checked.fingerprint,
        "totp_step": checked.totp_step,
        "statement": statement.message().decode(),
        "signature": answer.proof if checked.method != "totp" else "",
        "signer": checked.key,
        **(decision.permits() if decision is not None else {}),
    }
    if checked.decision != "approve":
        return terms.rejected.model_validate(fields)
    return terms.given.model_validate(fields | {"roles": checked.roles})


def roles_that_stand(people: People, approval: Approval) -> frozenset[Role]:
    """An approver's roles of then, which the ledger has, that the registry has now as well: who lost one since has it no more."""
    person = people.get(approval.person)
    return person.roles.intersection(approval.roles) if person is not None else frozenset()


def _spent(tx: Transaction) -> set[tuple[str, int]]:
    """One-time codes that are spent: person and time step; also those that were right in an answer that did not count."""
    counted = {(event.fact.person, event.fact.totp_step) for event in tx.facts(SignedAnswer)}
    refused = {(event.fact.claimed, event.fact.totp_step) for event in tx.facts(AnswerRefused)}
    return {(person, step) for person, step in counted | refused if step is not None}


def require_approved(ledger: Ledger, matter: Matter, people: People, policy: Callable[[], Policy], held: Quarantines) -> tuple[Approval, ...]:
    """The approvals that carry a plan, or the releases that carry its outcome, every signature checked again.

    Args:
        ledger: With the answers.
        matter: The plan, or the outcome.
        people: The registry, compared with the run's.
        policy: Gives the policy by which approvals of this run count.
        held: The quarantines that hold, which no run's tier makes others.

    Raises:
        Rejected: Somebody said no.
        Quarantined: An approver is in quarantine.
        Denied: There are not enough, or one no longer stands.
    """
    now, terms = standing(ledger, matter), terms_of(matter)
    if now.rejected_by is not None:
        what = "rejected" if isinstance(matter, Plan) else "its outcome was withheld"
        raise Rejected(f"{what} by {now.rejected_by}", where=terms.gate, advice="mend the plan and start a new run")
    changes = ledger.facts(PeopleChanged) if now.approvals else []
    for approval in now.approvals:
        held.refuse_person(approval.person)
        event = ledger.find(approval.event_id, terms.given)
        assert event is not None  # it was just listed
        _recheck(ledger, event, people, matter, changes)
        refuse_approval(policy, matter, people.get(approval.person), approval.method)
    if len(now.approvals) < now.needed:
        raise Denied(f"{len(now.approvals)} of {now.needed} {terms.consents}", where=terms.gate, advice=f"have the {terms.noun} approved")
    missing = _missing(matter, [roles_that_stand(people, each) for each in now.approvals])
    if missing:
        raise Denied(f"approved by nobody with the role {' or '.join(missing)}", where=terms.gate, advice=f"have {in_words(missing)} approve it")
    return now.approvals


def _recheck(ledger: Ledger, event: Event[Consent], people: People, matter: Matter, changes: Sequence[Event[PeopleChanged]]) -> None:
    plan, where = plan_of(matter), terms_of(matter).gate
    person = people.get(event.fact.person)
    if person is None or not person.may("approver"):
        raise _no_more("an approver has been revoked since", matter)
    environment = plan.admitted.manifest.environment
    if revoked_since(changes, event.seq, event.fact.person, event.fact.fingerprint, environment):
        raise _no_more("an approver has been revoked since", matter)
    if any(_takes_the_ground(change, event, environment) for change in changes):
        raise _no_more("what proved an approver was taken out of the registry since", matter)
    longest = timedelta(seconds=plan.admitted.tier.approval_age_seconds)
    if datetime.now(UTC) - event.when > longest:
        advice = "have the plan approved in a new run, in smaller parts where a run takes so long"
        raise Denied(f"an approval is older than the tier {plan.admitted.tier.name} lets it be", where=where, advice=advice)
    if plan.admitted.requester.person == person.person:
        raise Denied("the requester is among the approvers", where=where)
    refuse_vouching(plan, person.person, where)
    _refuse_plan_approver(ledger, matter, person.person, event.fact.fingerprint)
    method: Method = "totp"
    if event.fact.method != "totp":
        proven = _proven_again(ledger, event, people, matter)
        if proven.person.person != person.person:
            raise _no_more("a signature's key has been revoked since", matter)
        if proven.fingerprint and proven.fingerprint == plan.admitted.requester.fingerprint:
            raise Denied("the requester's key is among the approvers'", where=where)
        _refuse_plan_approver(ledger, matter, person.person, proven.fingerprint)
        require_short_lived(proven.life, plan.admitted.tier)
        method = _worth_still(proven, event.fact.method, people, matter)
    if method != event.fact.method:
        raise Denied("an approval claims another method than it proves", where=where, advice="run: gatehouse verify")
    require_strength(method, plan.admitted.tier)
    refuse_long_lived(method, plan.admitted.tier, where)
    require_cleared(person, plan.body.classes)


def _worth_still(proven: Proven, given: Method, people: People, matter: Matter) -> Method:
    """What a proof is worth now, and no more than it was worth when it was given.

    Raises:
        Denied: The attestation that it stood on is gone.
    """
    tier = plan_of(matter).admitted.tier
    method = in_tier(proven.method, proven.fingerprint, people, tier)
    if method != proven.method and given == proven.method:
        raise _no_more("the attestation of an approver's FIDO key was taken out of the registry since", matter)
    return "ssh" if (method, given) == ("ssh-fido", "ssh") and tier.attested_keys == "required" else method


def _proven_again(ledger: Ledger, event: Event[Consent], people: People, matter: Matter) -> Proven:
    """Whose proof it was when it was given, by the registry as it is now: a key or certificate may end behind it, a revoked one is gone.

    Raises:
        Denied: It is nobody's any more.
        Unavailable: An identity provider's keys can't be read.
    """
    kind: ProofKind = "token" if event.fact.method == "oidc" else "signature"
    by_key = kind == "signature" and not signer(ledger, event, matter).certificate
    claim = Claim(event.fact.person, event.fact.signature, _message_of(ledger, event, matter), "approve", event.when)
    try:
        if kind == "token":
            prefetch(claim.proof, people)
        return proven_approver(kind, claim, people)
    except Denied as denied:
        why = "a signature's key has been revoked since" if by_key else f"an approval no longer stands: {denied.message}"
        raise _no_more(why, matter) from None


_GROUNDS = {"ssh-certificate": ("remove-authority",), "oidc": ("remove-provider", "remove-subject")}
"""Changes of the registry behind which a proof of a method counts no more, whatever is put back."""


def _takes_the_ground(change: Event[PeopleChanged], event: Event[Consent], environment: str) -> bool:
    if change.seq <= event.seq or not isinstance(change.fact, PeopleChanged) or change.fact.environment != environment:
        return False
    about = change.fact.whom in {"", event.fact.person}
    return about and change.fact.action in _GROUNDS.get(event.fact.method, ())


def _no_more(why: str, matter: Matter) -> Denied:
    return Denied(why, where=terms_of(matter).gate, advice="have the plan approved again in a new run")


def signer(ledger: Ledger, event: Event[Consent], matter: Matter) -> VerifiedKey:
    """Whose signature a consent holds: of the statement that was asked for, not of the text that the event holds beside it."""
    try:
        return verify(event.fact.signature, _message_of(ledger, event, matter), certified=True)
    except Denied:
        terms = terms_of(matter)
        what = f"an approval in the ledger is not one of exactly this {terms.noun}"
        raise Denied(what, where=terms.gate, advice="run: gatehouse verify") from None


def is_token_of(ledger: Ledger, matter: Matter, event: Event[Consent]) -> bool:
    """Whether the ID token that a consent holds is of the statement that was asked for, and of the key that the event names."""
    try:
        return is_signed(event.fact.signature, event.fact.signer, _message_of(ledger, event, matter))
    except Denied:
        return False


def asked_for(ledger: Ledger, event: Event[Consent], matter: Matter) -> Event[Asked] | None:
    """The asking that an answer is to; None where there was none about this."""
    name = event.event_id.replace(f"{event.run_id}:answer:", f"{event.run_id}:asked:", 1)
    found = ledger.find(name, terms_of(matter).asked)
    return found if found is not None and _about(matter, [found]) else None


def _message_of(ledger: Ledger, event: Event[Consent], matter: Matter) -> bytes:
    asked = asked_for(ledger, event, matter)
    if asked is None:
        raise Denied("this was never asked")
    return statements(matter, asked.fact)[0].message()


def refuse_late(matter: Matter) -> None:
    """Stops when nobody decided in time.

    Raises:
        Expired: The approval window has passed.
    """
    if datetime.now(UTC) >= closes_at(matter):
        raise Expired("nobody decided within the approval window", where=terms_of(matter).gate, advice="start a new run")
