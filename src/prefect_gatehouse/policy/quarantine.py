"""Quarantine: what somebody has stopped in an emergency, read from the ledger's signed acts; evaluated here and nowhere else.

An act that stops counts whatever is wrong with it. An act that releases counts only where everything about it is right: its signature, its key, which
the policy of now lets sign it, and that this is another person than who imposed the quarantine and not in quarantine either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prefect_gatehouse.errors import Quarantined, Tampered
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.requester import NOBODY
from prefect_gatehouse.ledger.acts import QuarantineAct, QuarantineImposed, QuarantineReleased
from prefect_gatehouse.ledger.events import RunAdmitted
from prefect_gatehouse.ledger.store import Event
from prefect_gatehouse.policy.acts import Facts, Signatories, is_signed, signatories
from prefect_gatehouse.policy.interface import Policy
from prefect_gatehouse.vocabulary import QuarantineScope


@dataclass(frozen=True)
class Quarantine:
    """One quarantine that holds.

    Attributes:
        event: Who imposed it, when and why.
        void: Why releases of it do not count.
    """

    event: Event[QuarantineImposed]
    void: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What is in it, in words."""
        return f"{self.event.fact.scope} {self.event.fact.name}"

    @property
    def authentic(self) -> bool:
        """Whether the person that the act names signed it, as far as its key tells; it holds all the same."""
        return is_signed(self.event.fact)

    def refusal(self, because: str = "") -> Quarantined:
        """What is told to whatever it stops; the reason stays in the ledger, which not everybody reads."""
        by = self.event.fact.person
        return Quarantined(
            f"{because or f'{self.name} is in quarantine'}, by {by} since {self.event.when:%Y-%m-%d %H:%M} UTC [{self.event.seq}]",
            where="quarantine",
            advice=f"see why: gatehouse quarantine list; somebody else than {by} may release it: gatehouse quarantine release {self.event.seq}",
            rules=("in-quarantine",),
        )


class Quarantines:
    """Every quarantine that holds, and who may have signed the acts of the same ledger.

    Args:
        acts: All acts, in the ledger's order.
        signatories: Who may have signed; asked here only where something was released.

    Raises:
        Quarantined: One of them is of a newer release than this one.
    """

    def __init__(self, acts: Iterable[Event[QuarantineAct]], signatories: Signatories) -> None:
        self.signatories = signatories
        """By registry and policy of the same moment as the quarantines."""
        self._holding: dict[str, Quarantine] = {}
        for event in acts:
            if isinstance(event.fact, QuarantineImposed):
                self._holding.setdefault(event.fact.quarantine, Quarantine(_imposed(event)))
            elif not isinstance(event.fact, QuarantineReleased):
                raise Quarantined(
                    "a newer release of Gatehouse has put something into quarantine, and this one can't read what",
                    where=f"ledger event {event.seq}",
                    advice="use the newer release",
                )
            elif event.fact.quarantine in self._holding:
                self._release(event, event.fact)

    def all(self) -> tuple[Quarantine, ...]:
        """In the order in which they were imposed."""
        return tuple(self._holding.values())

    def of(self, scope: QuarantineScope, name: str) -> Quarantine | None:
        """The one that stops this; of a backend also the one of its provider."""
        return next((each for each in self.all() if each.event.fact.scope == scope and _covers(scope, each.event.fact.name, name)), None)

    def refuse(self, admitted: RunAdmitted) -> None:
        """Stops a run whose tenant, pipeline or requester is in quarantine.

        Raises:
            Quarantined: So it is; or nobody signed the request, and a person is: it could be theirs.
        """
        found = self.of("tenant", admitted.tenant) or self.of("pipeline", admitted.pipeline) or self.of("principal", admitted.requester)
        if found is not None:
            raise found.refusal()
        anybody = next((each for each in self.all() if each.event.fact.scope == "principal"), None)
        if admitted.requester == NOBODY and anybody is not None:
            raise anybody.refusal(f"nobody signed the request, and {anybody.name}, whose it could be, is in quarantine")

    def refuse_backend(self, name: str) -> None:
        """Stops a backend that is in quarantine.

        Raises:
            Quarantined: So it is.
        """
        found = self.of("backend", name)
        if found is not None:
            raise found.refusal()

    def refuse_person(self, person: str) -> None:
        """Stops what somebody in quarantine does.

        Raises:
            Quarantined: They are.
        """
        found = self.of("principal", person)
        if found is not None:
            raise found.refusal()

    def _release(self, event: Event[QuarantineAct], fact: QuarantineReleased) -> None:
        held = self._holding[fact.quarantine]
        why = self._void(held.event.fact, event, fact)
        if why:
            self._holding[fact.quarantine] = Quarantine(held.event, (*held.void, f"the release by {fact.person} [{event.seq}] does not count: {why}"))
        else:
            del self._holding[fact.quarantine]

    def _void(self, imposed: QuarantineImposed, event: Event[QuarantineAct], fact: QuarantineReleased) -> str:
        """Why a release does not count."""
        if fact.environment != imposed.environment:
            return "it is of another environment"
        try:
            void = self.signatories.why_void(event, imposed)
        except Tampered:  # a quarantine holds whatever has become of the registry
            return "the registry of people can't be read"
        if void:
            return void
        if fact.person == imposed.person or fact.key == imposed.key:
            return "whoever imposed it can't release it"
        return "its person is in quarantine" if self.of("principal", fact.person) is not None else ""


def quarantines_in(source: Facts, people: People, environment: str, policy: Callable[[], Policy]) -> Quarantines:
    """Those that hold, by a ledger or a transaction of one.

    Args:
        source: Where the acts are.
        people: The registry of now.
        environment: The installation's.
        policy: Gives the policy of now; asked only where something was released.
    """
    return Quarantines(source.facts(QuarantineAct), signatories(source, people, environment, policy))


def _imposed(event: Event[QuarantineAct]) -> Event[QuarantineImposed]:
    assert isinstance(event.fact, QuarantineImposed)  # the caller has looked
    return event  # type: ignore[return-value]


def _covers(scope: QuarantineScope, held: str, name: str) -> bool:
    return held == name or (scope == "backend" and name.startswith(f"{held}/"))
