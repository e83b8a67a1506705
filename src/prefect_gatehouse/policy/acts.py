"""Whether a signed act in the ledger is what it says, judged whenever it is asked: who can write into the database has no signature."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Protocol, TypeVar

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.errors import Denied, GatehouseError, InputError
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.person import Person, owner_among
from prefect_gatehouse.ledger.acts import PeopleChanged, SignedAct
from prefect_gatehouse.ledger.fact import Fact
from prefect_gatehouse.ledger.store import Event
from prefect_gatehouse.policy.act_questions import IN_WORDS, ask_act, sentences_of
from prefect_gatehouse.policy.interface import Policy

F = TypeVar("F", bound=Fact)


def is_signed(fact: SignedAct) -> bool:
    """Whether the key that an act names has signed it; an authenticator's only where somebody touched it."""
    try:
        key = sshsig.verify(fact.signature, canonical(fact.statement))
    except GatehouseError:
        return False
    return key.fingerprint == fact.key and not key.untouched


def is_original(event: Event[SignedAct]) -> bool:
    """Whether an act's event has the act's own name: names of events are unique, so whoever copies an act behind another has none left for it."""
    return event.event_id == f"{event.fact.kind}:{getattr(event.fact, event.fact.named_by, '')}"


def revoked_since(changes: Iterable[Event[PeopleChanged]], seq: int, person: str, key: str, environment: str) -> bool:
    """Whether somebody, or their key, was revoked in an environment after an event; added again, they carry nothing of what was signed before.

    A change that a newer release has written may be anything, so it counts as a revocation.
    """
    for event in changes:
        fact = event.fact
        if event.seq <= seq or str(event.data.get("environment", environment)) != environment:
            continue
        if not isinstance(fact, PeopleChanged):
            return True
        if fact.whom == person and (fact.action == "revoke-person" or (fact.action == "revoke-key" and fact.fingerprint == key)):
            return True
    return False


class Signatories:
    """Who may have signed an act: the registry as it is now, and what has become of its people since. Read once, and only where it is asked.

    Args:
        people: The registry.
        environment: The installation's; others may share the ledger.
        changes: Gives its changes, as the ledger has them.
        policy: Gives the policy of now, which says what each of them may sign.
    """

    def __init__(self, people: People, environment: str, changes: Callable[[], Iterable[Event[PeopleChanged]]], policy: Callable[[], Policy]) -> None:
        self._people = people
        self._policy = policy
        self._environment = environment
        self._changes = changes

    @cached_property
    def everybody(self) -> tuple[Person, ...]:
        """The people of the registry.

        Raises:
            Tampered: It can't be read.
        """
        return tuple(self._people.all())

    @cached_property
    def _revocations(self) -> tuple[Event[PeopleChanged], ...]:
        return tuple(self._changes())

    def came_back(self, seq: int, person: str, key: str) -> bool:
        """Whether somebody, or their key, was revoked after an event, whoever they are now."""
        return revoked_since(self._revocations, seq, person, key, self._environment)

    def why_void(self, event: Event[SignedAct], about: SignedAct | None = None) -> str:
        """Why an act is not of somebody whose it is to sign; empty where it is.

        Args:
            event: The act. Its key has to be valid when it was recorded, and may have expired since; a revoked one is gone.
            about: The act that it ends; itself unless given.
        """
        fact = event.fact
        if not is_original(event) or not is_signed(fact):
            return "it is not signed, or not what was signed"
        owner = owner_among(self.everybody, fact.key, event.when)
        if owner is None or owner.person != fact.person:
            return "its key is nobody's of that name"
        if owner.service is not None:
            return "its key is a service's, and people sign"
        if revoked_since(self._revocations, event.seq, fact.person, fact.key, self._environment):
            return "its person or key was revoked since"
        return self._why_not(fact, about or fact, owner)

    def counts(self, event: Event[SignedAct]) -> bool:
        """Whether an act whose person the policy is asked about once, when it is recorded, proves anything: it is signed, and by somebody."""
        return is_original(event) and is_signed(event.fact) and not self.is_nobodys(event)

    def is_nobodys(self, event: Event[SignedAct]) -> bool:
        """Whether an act's key was nobody's of that name when it was recorded; whoever has left since may have signed it before."""
        fact = event.fact
        owner = owner_among(self.everybody, fact.key, event.when)
        if owner is not None and owner.person == fact.person:
            return owner.service is not None
        # Of a person who was revoked the ledger does not say each key.
        left = (each.fact for each in self._revocations if each.seq > event.seq and isinstance(each.fact, PeopleChanged))
        return not any(
            (each.environment, each.whom) == (self._environment, fact.person)
            and (each.action == "revoke-person" or (each.action == "revoke-key" and each.fingerprint == fact.key))
            for each in left
        )

    def _why_not(self, fact: SignedAct, about: SignedAct, owner: Person) -> str:
        """Why the policy of now does not let this person sign it."""
        if fact.asks is None:
            return ""
        try:
            policy = self._policy()
        except InputError:
            return "the policies can't be read"
        except Denied as denied:  # they are not those that were signed
            return denied.message
        decision = ask_act(policy, fact.asks, fact, about, owner)
        return "" if decision.allowed else f"its person may not sign it: {sentences_of(policy, decision, IN_WORDS[fact.asks])}"


class Facts(Protocol):
    """What has events: a ledger, or a transaction of one."""

    def facts(self, kind: type[F], /) -> Iterable[Event[F]]:
        """The events of a kind, oldest first."""


def signatories(source: Facts, people: People, environment: str, policy: Callable[[], Policy]) -> Signatories:
    """Those of an environment, by a ledger or a transaction of one."""
    return Signatories(people, environment, lambda: source.facts(PeopleChanged), policy)
