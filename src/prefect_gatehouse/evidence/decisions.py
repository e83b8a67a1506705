"""Every decision about a run, from the ledger: which rule decided, by its identifier, and of a no what would satisfy it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from prefect_gatehouse.errors import Refused
from prefect_gatehouse.ledger.events import GateFailed, GatePassed, PolicyDecided, PolicyDenied
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.policy.interface import Policy
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.values import AdmittedRun


@dataclass(frozen=True)
class Rule:
    """What decided: a policy by its identifier, or a gate's own refusal by the code of its error."""

    id: str
    sentence: str


@dataclass(frozen=True)
class Explained:
    """One decision.

    Attributes:
        event: Number of the ledger's event.
        at: When, UTC.
        asked: The policy's action; of a gate's own refusal the gate.
        allowed: The answer.
        rules: What decided.
        satisfy: What would turn a no into a yes, as it was told then.
        policies: Digest of the policies that were asked; empty of a gate's own refusal.
    """

    event: int
    at: str
    asked: str
    allowed: bool
    rules: tuple[Rule, ...]
    satisfy: str
    policies: str

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def decisions(ledger: Ledger, policy: Policy, run_id: str) -> list[Explained]:
    """The decisions about a run, in their order.

    Args:
        ledger: The open ledger.
        policy: The installation's, for the sentence of a rule that permitted; a no has kept its own.
        run_id: The run.

    Raises:
        Tampered: The ledger's values do not go on from one another.
    """
    admitted = Chain(ledger, run_id).read(AdmittedRun.gate, AdmittedRun)
    found = [*_permitted(ledger, policy, run_id, admitted), *_denied(ledger, run_id)]
    return sorted(found, key=lambda each: each.event)


def rule_of(policy: Policy, reason: str) -> Rule:
    """A decision's reason with its sentence; of an exception's, with its number."""
    mark, _, rest = reason.partition(":")
    if mark == "excepted":
        rule, _, exception = rest.rpartition(":")
        return Rule(rule, f"{_general(policy.explain(rule))}, and exception {exception} excepts the run from that")
    return Rule(reason, _general(policy.explain(reason)))


def _general(sentence: str) -> str:
    """A sentence without what it would say of a question that was answered no."""
    return re.sub(r":? ?\{\w+\}", "", sentence)


def _permitted(ledger: Ledger, policy: Policy, run_id: str, admitted: AdmittedRun | None) -> Iterator[Explained]:
    first = ledger.find(f"{run_id}:{AdmittedRun.gate}", GatePassed)
    if admitted is not None and first is not None:
        rules = tuple(rule_of(policy, reason) for reason in admitted.decision.reasons)
        yield Explained(first.seq, first.at, admitted.decision.action, True, rules, "", admitted.decision.policy_digest)
    for event in ledger.facts(PolicyDecided, run_id=run_id):
        fact = event.fact
        digest = fact.policy_digest or (admitted.decision.policy_digest if admitted is not None else "")
        yield Explained(event.seq, event.at, fact.action, fact.allowed, tuple(rule_of(policy, each) for each in fact.reasons), "", digest)


def _denied(ledger: Ledger, run_id: str) -> Iterator[Explained]:
    told: set[str] = set()
    for event in ledger.facts(PolicyDenied, run_id=run_id):
        fact = event.fact
        told.add(fact.message)
        # The message is the rules' sentences, in their order, each with its identifier behind it.
        sentences = sentences_of(fact.message, fact.reasons)
        yield Explained(event.seq, event.at, fact.action, False, sentences, fact.advice, fact.policy_digest)
    codes = {kind.code for kind in _kinds(Refused)}
    for failed in ledger.facts(GateFailed, run_id=run_id):
        if failed.fact.error in codes and failed.fact.message not in told:
            rule = Rule(failed.fact.error, f"{failed.fact.where}: {failed.fact.message}".removeprefix(": "))
            yield Explained(failed.seq, failed.at, failed.fact.gate, False, (rule,), failed.fact.advice, "")


def sentences_of(message: str, reasons: tuple[str, ...]) -> tuple[Rule, ...]:
    """The rules of a no, each with its sentence as it was told."""
    found, rest = [], message
    for reason in reasons:
        sentence, mark, rest = rest.partition(f" [{reason}]")
        found.append(Rule(reason, sentence.removeprefix("; ") if mark else message))
    return tuple(found)


def _kinds(kind: type[Refused]) -> Iterator[type[Refused]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _kinds(each)
