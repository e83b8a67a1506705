"""Whose word keeps what longer than it was entered for, judged whenever it is asked; evaluated here and nowhere else.

An extension counts where everything about it is right at the time of asking: signed by a person whose it is to sign by registry and policy of now,
neither revoked since nor in quarantine; about things of one run, with tenant, pipeline, tier, requester and class as the run was admitted; no longer
than the class allows, counted from the act; and recorded before the end that it puts off. What does not count is as if it were not there: what
somebody writes into the database keeps nothing, and where nobody can judge, everything goes at the time that was entered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.ledger.acts import RetentionExtended
from prefect_gatehouse.ledger.kept_uri import kind_of, run_of
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.policy.class_rules import load_class_rules
from prefect_gatehouse.policy.rules import ClassRules
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.resume_window import abandoned_at, is_interrupted, resume_window
from prefect_gatehouse.run.retained import in_words
from prefect_gatehouse.run.values import AdmittedRun
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import KeptKind


@dataclass(frozen=True)
class Extension:
    """An extension that somebody has signed, or that is written down as if.

    Attributes:
        event: Who signed it, and for what.
        void: Why it does not count; empty where it does.
    """

    event: Event[RetentionExtended]
    void: str

    def in_words(self) -> str:
        """One line for people."""
        fact = self.event.fact
        said = f"{in_words(fact.kept) or 'nothing'} until {fact.until:%Y-%m-%d %H:%M} UTC, by {fact.person}, {fact.ticket} [{self.event.seq}]"
        return f"{said}; it does not count: {self.void}" if self.void else said

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        fact = self.event.fact.model_dump(mode="json", exclude={"signature", "key", "action"})
        return {**fact, "event": self.event.seq, "at": self.event.at, "counts": not self.void, "why_not": self.void}


class Extended:
    """Every extension of a ledger; read and judged once, and only where it is asked.

    Args:
        settings: The installation.
        ledger: The open ledger.
        now: Seconds since the epoch.
    """

    def __init__(self, settings: Settings, ledger: Ledger, now: float) -> None:
        self._settings, self._ledger, self._now = settings, ledger, now

    def until(self, uri: str, entered: float) -> float:
        """Until when something stays, seconds since the epoch.

        Args:
            uri: Its name.
            entered: Until when it was entered to stay.
        """
        return self.by(uri, entered)[0]

    def by(self, uri: str, entered: float) -> tuple[float, Extension | None]:
        """Until when something stays, and by whose word; None where it is as it was entered."""
        if kind_of(uri) == "artifacts":
            return self._run(run_of(uri), entered)
        return self._longest(entered, lambda fact: uri in fact.kept)

    def run_until(self, run_id: str, entered: float) -> float:
        """Until when a run that was interrupted is not given up, because somebody has its encrypted artifacts kept."""
        return self._run(run_id, entered)[0]

    def of_run(self, run_id: str) -> list[Extension]:
        """Those about a run, oldest first, with those that do not count."""
        return [each for each in self._all if each.event.fact.run == run_id]

    def void_of(self, uri: str) -> list[Extension]:
        """Those that name something and do not count."""
        return [each for each in self._all if each.void and uri in each.event.fact.kept]

    def void_of_run(self, run_id: str) -> list[Extension]:
        """Those that are about a run's encrypted artifacts and do not count."""
        return [each for each in self.of_run(run_id) if each.void and "artifacts" in each.event.fact.kinds]

    def _run(self, run_id: str, entered: float) -> tuple[float, Extension | None]:
        # One key opens all of a run's artifacts, so they stay or go together.
        return self._longest(entered, lambda fact: fact.run == run_id and "artifacts" in fact.kinds)

    def _longest(self, entered: float, about: Callable[[RetentionExtended], bool]) -> tuple[float, Extension | None]:
        end, by = entered, None
        for each in self._all:
            fact = each.event.fact
            # An act behind the end would bring back what only waits for the sweeper.
            if not each.void and each.event.when.timestamp() < end < fact.until.timestamp() and about(fact):
                end, by = fact.until.timestamp(), each
        return end, by

    @cached_property
    def _all(self) -> list[Extension]:
        try:
            events = [event for event in self._ledger.facts(RetentionExtended) if isinstance(event.fact, RetentionExtended)]
        except GatehouseError:
            return []  # one of them is none; gatehouse verify tells which
        try:
            held = holding(self._settings, self._ledger)
            known = held.signatories
        except GatehouseError as error:
            return [Extension(event, f"it can't be judged: {error.message}") for event in events]
        found = []
        for event in events:
            try:
                void = self._mismatch(event) or known.why_void(event)
                if not void and held.of("principal", event.fact.person) is not None:
                    void = "its person is in quarantine"
            except GatehouseError as error:
                void = f"it can't be judged: {error.message}"
            found.append(Extension(event, void))
        return found

    @cached_property
    def _rules(self) -> Mapping[DataClass, ClassRules]:
        return load_class_rules(self._settings.classes)

    def _mismatch(self, event: Event[RetentionExtended]) -> str:
        """What is wrong with what it says of its run; empty where nothing is."""
        fact = event.fact
        if fact.environment != self._settings.environment:
            return "it is of another environment"
        admitted = Chain(self._ledger, fact.run).read(AdmittedRun.gate, AdmittedRun)
        if admitted is None or fact.model_dump(include=_SAID) != said_of(admitted):
            return "it is not about the run as it was admitted"
        if any(run_of(uri) != fact.run for uri in fact.kept):
            return "it names what is another run's"
        # One that is dated ahead would reach further.
        since = min(event.when, datetime.fromtimestamp(self._now, UTC))
        rules = self._rules[fact.data_class]
        if any(fact.until > latest(rules, kind, since) for kind in fact.kinds):
            return f"it is longer than the class {fact.data_class} allows"
        return "" if all(kind_of(uri) is not None for uri in fact.kept) else "it names what is not kept"


def is_given_up(settings: Settings, ledger: Ledger, row: RunRow, now: float) -> bool:
    """Whether a run that was interrupted can't be resumed any more, though the sweeper has not come yet: by the ledger's times, as it ends it.

    Args:
        settings: The installation.
        ledger: The open ledger.
        row: The run, before anybody takes it up.
        now: Seconds since the epoch.
    """
    if not is_interrupted(row, now):
        return False
    until = abandoned_at(row, resume_window(ledger, row.run_id))
    return now >= until and now >= Extended(settings, ledger, now).run_until(row.run_id, until)


_SAID = {"run", "tenant", "pipeline", "tier", "requester", "data_class"}


def said_of(admitted: AdmittedRun) -> dict[str, Any]:
    """What an extension says of its run."""
    manifest = admitted.manifest
    told = {"run": admitted.run_id, "tenant": manifest.tenant, "pipeline": manifest.name, "tier": manifest.tier}
    return {**told, "requester": admitted.requester.person, "data_class": admitted.classes.output_class}


def latest(rules: ClassRules, kind: KeptKind, since: datetime) -> datetime:
    """The latest end that the class of the data allows, counted from a moment: pages are evidence, everything else is as artifacts are."""
    longest = timedelta(seconds=rules.evidence_seconds if kind == "pages" else rules.artifacts_seconds)
    return since + longest if longest < datetime.max.replace(tzinfo=UTC) - since else datetime.max.replace(tzinfo=UTC)
