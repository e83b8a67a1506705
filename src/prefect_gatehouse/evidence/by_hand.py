"""Who looked at what came of a run, and which acts were refused, from the ledger."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from prefect_gatehouse.evidence.decisions import Rule, rule_of
from prefect_gatehouse.ledger.by_hand import ActRefused, ResultRead
from prefect_gatehouse.ledger.store import LEDGER, Event, Ledger
from prefect_gatehouse.policy.interface import Policy
from prefect_gatehouse.policy.own_checks import OWN_CHECKS


@dataclass(frozen=True)
class Looked:
    """Somebody who looked; once a day for each person and command.

    Attributes:
        person: As the installation that they looked from says.
        fingerprint: Of the key there; empty where there was none.
        act: The command.
        event: Number of the event.
        at: When.
    """

    person: str
    fingerprint: str
    act: str
    event: int
    at: str

    def in_words(self) -> str:
        """One line."""
        return f"{self.person} ({self.act}), {_minute(self.at)} UTC [{self.event}]"

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


@dataclass(frozen=True)
class Refusal:
    """An act that was refused.

    Attributes:
        fact: Who tried what, and why it was refused.
        run: The run that it was about; empty where it was about none.
        event: Number of the event.
        at: When; again in the same hour is the same.
    """

    fact: ActRefused
    run: str
    event: int
    at: str

    def in_words(self) -> str:
        """One line."""
        what = f"{self.fact.person}, {self.what()}, {_minute(self.at)} UTC: {', '.join(self.fact.reasons)}"
        return f"{what} [{self.event}]"

    def what(self) -> str:
        """What was tried."""
        if self.fact.more:
            return f"{self.fact.action} and whatever else in this hour"
        return f"{self.fact.action} ({self.fact.act})"

    def about(self) -> str:
        """What it was about, with the run where it was one."""
        named = {"run": self.run[:8]} if self.run else {}
        return ", ".join(f"{name} {value}" for name, value in (named | {k: v for k, v in self.fact.about.items() if k != "run"}).items())

    def rules(self, policy: Policy | None) -> tuple[Rule, ...]:
        """What refused, with its sentence; of a rule that of now, or none where the policies have it no more, or can't be read."""
        return tuple(_rule(policy, each, bool(self.fact.policy_digest)) for each in self.fact.reasons)

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**self.fact.model_dump(mode="json"), "run": self.run, "event": self.event, "at": self.at}


def looks_at(ledger: Ledger, run_id: str) -> list[Looked]:
    """Who looked at what came of a run, in order."""
    found = ledger.facts(ResultRead, run_id=run_id)
    return [Looked(event.fact.person, event.fact.fingerprint, event.fact.act, event.seq, event.at) for event in found]


def refused_acts(ledger: Ledger, run_id: str | None = None) -> list[Refusal]:
    """The acts that were refused, in order; of one run where given."""
    return [_refusal(event) for event in ledger.facts(ActRefused, run_id=run_id)]


def _refusal(event: Event[ActRefused]) -> Refusal:
    return Refusal(event.fact, "" if event.run_id == LEDGER else event.run_id, event.seq, event.at)


def _rule(policy: Policy | None, reason: str, asked: bool) -> Rule:
    if not asked:
        return Rule(reason, OWN_CHECKS.get(reason, ""))
    return rule_of(policy, reason) if policy is not None and policy.has_rule(reason) else Rule(reason, "")


def _minute(at: str) -> str:
    return at[:16].replace("T", " ")
