"""Exceptions to the policy: each to one rule, for one tenant or pipeline, until a day; evaluated here and nowhere else.

An exception counts where everything about it is right at the time of asking: signed by an approver in the registry who is neither its owner nor the
requester nor in quarantine, its owner known, its rule one that the policy's author lets be excepted, its day not over, and nobody has revoked it. A
revocation counts whatever is wrong with it. What does not count is as if it were not there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.ledger.acts import ExceptionAct, ExceptionGranted, ExceptionRevoked
from prefect_gatehouse.ledger.store import Event
from prefect_gatehouse.policy.decision import Decision
from prefect_gatehouse.policy.given import judged
from prefect_gatehouse.policy.interface import Policy, Question
from prefect_gatehouse.policy.quarantine import Quarantines

LONGEST = timedelta(days=90)
"""How long an exception may hold: what has to hold for longer is a rule."""
_MARK = "excepted"


@dataclass(frozen=True)
class Granted:
    """An exception that somebody has granted.

    Attributes:
        event: Who granted it, and for what.
        void: Why it does not count; empty where it does.
    """

    event: Event[ExceptionGranted]
    void: str

    def covers(self, question: Question) -> bool:
        """Whether it is about this question's run."""
        requester = question.person if question.authentic else ""
        return self.is_for(question.tenant, question.pipeline, question.environment, requester)

    def is_for(self, tenant: str, pipeline: str, environment: str, requester: str) -> bool:
        """Whether it counts for a run of this pipeline.

        Whoever granted it has it not for their own runs, and so has nobody whose request is not signed: it could be theirs. ``requester`` is
        empty then.
        """
        fact = self.event.fact
        here = (fact.tenant, fact.environment) == (tenant, environment) and fact.pipeline in {"", pipeline}
        return here and requester not in {"", fact.person} and not self.void


def granted(acts: Iterable[Event[ExceptionAct]], held: Quarantines, now: datetime) -> list[Granted]:
    """Every exception that was ever granted, oldest first, with why it does not count.

    Raises:
        Tampered: The registry can't be read.
    """

    def own(event: Event[ExceptionGranted]) -> str:
        fact = event.fact
        if now >= fact.expires:
            return "expired"
        if fact.expires - event.when > LONGEST:
            return f"longer than {LONGEST.days} days"
        if fact.person == fact.owner:
            return "its owner granted it"
        owner = next((each for each in held.signatories.everybody if each.person == fact.owner), None)
        if owner is not None and owner.service is not None:
            return "its owner is a service"
        return "its owner is not in the registry" if owner is None else ""

    return judged(acts, ExceptionGranted, ExceptionRevoked, "revoked", held, Granted, own)


class Excepting:
    """A policy with the exceptions that hold now; a rule that none covers says no as before.

    Args:
        policy: The policy.
        exceptions: Those that were granted; of a run with a plan those that its plan names.
    """

    def __init__(self, policy: Policy, exceptions: Iterable[Granted]) -> None:
        self._policy = policy
        self._exceptions = [each for each in exceptions if policy.may_be_excepted(each.event.fact.rule)]

    @property
    def digest(self) -> str:
        """The policy's own."""
        return self._policy.digest

    def explain(self, reason: str) -> str:
        """A policy's sentence for people, by its identifier."""
        return self._policy.explain(reason)

    def advise(self, reason: str) -> str:
        """What to do about a policy's no, by its identifier."""
        return self._policy.advise(reason)

    def permits_without(self, question: Question, rules: Collection[str]) -> bool:
        """As of the policy itself."""
        return self._policy.permits_without(question, rules)

    def has_rule(self, reason: str) -> bool:
        """As of the policy itself."""
        return self._policy.has_rule(reason)

    def may_be_excepted(self, reason: str) -> bool:
        """Whether the policy's author lets a rule be excepted."""
        return self._policy.may_be_excepted(reason)

    def ask(self, question: Question) -> Decision:
        """Decides; where every rule that says no is excepted for this run, the answer is yes and names rule and exception.

        Where others say no as well the answer names those alone: what comes of a no depends on which rules it has.
        """
        decision = self._policy.ask(question)
        if decision.allowed:
            return decision
        covered = {each.event.fact.rule: each for each in self._exceptions if each.covers(question)}
        if left := tuple(rule for rule in decision.reasons if rule not in covered):
            return decision.model_copy(update={"reasons": left})
        if not self._policy.permits_without(question, decision.reasons):
            return decision
        reasons = tuple(f"{_MARK}:{rule}:{covered[rule].event.fact.exception}" for rule in decision.reasons)
        return decision.model_copy(update={"allowed": True, "reasons": reasons})


def used(reason: str) -> str:
    """The exception that a decision's reason names; empty where it names none."""
    mark, _, rest = reason.partition(":")
    return rest.rpartition(":")[2] if mark == _MARK else ""


def require_exceptable(policy: Policy, rule: str) -> None:
    """Stops an exception to a rule that has none.

    Raises:
        InputError: The policy has no such rule.
        Denied: Its author lets nobody be excepted from it.
    """
    advice = 'the policies mark those that may with @except("granted")'
    if not policy.has_rule(rule):
        raise InputError("there is no such rule", where="rule", advice=advice)
    if not policy.may_be_excepted(rule):
        raise Denied("none may be excepted from this rule", where="rule", advice=advice, rules=("not-exceptable",))
