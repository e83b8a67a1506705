"""Which bundle of policies stands: read from the ledger's signatures, each judged by the bundle that stood before; evaluated here and nowhere else.

The threshold of roles, the version that never goes back, and a next version that the one before judges are those of The Update Framework's root
metadata (TUF specification 1.0, section 5.3). A bundle that was signed names its signers' keys, so neither the files of now nor the registry says who
may sign the next one. Only the first is its own judge, which a recorded act makes stand, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from prefect_gatehouse.canonical import EXACT
from prefect_gatehouse.errors import Denied
from prefect_gatehouse.ledger.acts import PeopleChanged, PolicyAccepted, PolicyAct, PolicySigned
from prefect_gatehouse.ledger.fact import Fact
from prefect_gatehouse.ledger.policy_bundle import PolicyBundle, PolicySigner
from prefect_gatehouse.ledger.store import Event
from prefect_gatehouse.policy.acts import is_original, is_signed

_REVOKES = ("revoke-person", "revoke-key")
"""Actions that take a signer away."""
LAST = EXACT
"""A number behind that of every event."""


@dataclass
class Candidate:
    """A bundle that somebody has signed and that does not stand yet.

    Attributes:
        bundle: What was signed.
        since: Number of the event with its first signature; the registry that it covers is that of then.
        signed: The signature of each role.
    """

    bundle: PolicyBundle
    since: int
    signed: dict[str, Event[PolicySigned]] = field(default_factory=dict)


@dataclass(frozen=True)
class Accepted:
    """A bundle that stands, or stood.

    Attributes:
        bundle: What was signed.
        since: Number of the event with its first signature.
        behind: Number of the event with its last signature: what is recorded of the registry behind it extends the bundle.
        signed: The signature of each role.
        event: What made it stand: the last signature, or, of the first bundle, its acceptance.
    """

    bundle: PolicyBundle
    since: int
    behind: int
    signed: tuple[tuple[str, Event[PolicySigned]], ...]
    event: Event[PolicyAct]

    @property
    def signers(self) -> tuple[str, ...]:
        """Who signed, each with their role."""
        return tuple(f"{event.fact.person} ({role})" for role, event in self.signed)


class Bundles:
    """The history of an installation's bundles.

    Args:
        acts: Signatures and acceptances.
        changes: Changes of the registry.
        environment: The installation's; others may share the ledger.

    Raises:
        Denied: One of the acts is of a newer release than this one.
    """

    def __init__(self, acts: Iterable[Event[PolicyAct]], changes: Iterable[Event[PeopleChanged]], environment: str) -> None:
        self.accepted: list[Accepted] = []
        self.candidates: dict[str, Candidate] = {}
        self.void: list[tuple[Event[PolicyAct], str]] = []
        """Signatures that do not count, and why."""
        self._revoked: list[tuple[int, str, str]] = []
        self._environment = environment
        events: list[Event[Fact]] = [*acts, *changes]
        for event in sorted(events, key=lambda each: each.seq):
            self._take(event)

    @property
    def current(self) -> Accepted | None:
        """The one that stands; None where none was ever accepted."""
        return self.accepted[-1] if self.accepted else None

    def judge(self, bundle: PolicyBundle) -> PolicyBundle:
        """The bundle that says who may sign this one: the one that stands, for the first one itself."""
        return self.current.bundle if self.current is not None else bundle

    def role_of(self, fact: PolicySigned, when: datetime) -> tuple[str, str]:
        """The role in which somebody signs, and why the signature does not count; one of them is empty.

        Args:
            fact: The signature, or what would be one.
            when: When it was made.
        """
        bundle, current = fact.bundle, self.current
        if current is not None and bundle.version <= current.bundle.version:
            return "", f"version {current.bundle.version} stands, and this is version {bundle.version}"
        candidate = self.candidates.get(bundle.digest())
        mine = [each for each in self.judge(bundle).signers if (each.person, each.key) == (fact.person, fact.key)]
        by = f"version {current.bundle.version}, which stands," if current is not None else "the bundle"
        if not mine:
            return "", f"{by} gives {fact.person or 'nobody'} with this key no role in change_policy"
        if self._gone(mine[0], self._since(bundle)):
            return "", f"{fact.person} or the key was revoked since {by} was signed"
        if not mine[0].valid_at(when):
            return "", "the key was not valid then"
        if candidate is not None and mine[0].role in candidate.signed:
            return "", f"the role {mine[0].role} has signed already"
        return mine[0].role, ""

    def missing(self, bundle: PolicyBundle) -> dict[str, tuple[str, ...]]:
        """The roles that have not signed a bundle yet, each with the people who may."""
        judge, candidate = self.judge(bundle), self.candidates.get(bundle.digest())
        signed = candidate.signed if candidate is not None else {}
        since = self._since(bundle)
        may = {role: {each.person for each in judge.signers if each.role == role and not self._gone(each, since)} for role in judge.change_policy}
        return {role: tuple(sorted(people)) for role, people in may.items() if role not in signed}

    @property
    def registrars(self) -> tuple[str, ...]:
        """Who may sign changes of the registry under the bundle that stands."""
        current = self.current
        if current is None:
            return ()
        may = [each for each in current.bundle.signers if each.role in current.bundle.change_people]
        return tuple(sorted({each.person for each in may if not self._gone(each, current.since)}))

    def may_change_people(self, change: PeopleChanged, when: datetime, seq: int) -> bool:
        """Whether a change of the registry that gives somebody something extends the bundle that stands; nobody gives to themselves.

        Args:
            change: The change, or what would be one.
            when: When it was made.
            seq: Its event's number; what was revoked behind it changes nothing about it.
        """
        current = self.current
        if current is None:
            return True
        # An authority, a provider or who is who there could make its adder somebody else: that takes every role, in the next version.
        if not is_signed(change) or change.whom == change.person or (change.gives and not change.by_registrar):
            return False
        roles = set(current.bundle.change_people)
        mine = [each for each in current.bundle.signers if (each.person, each.key) == (change.person, change.key) and each.role in roles]
        return any(each.valid_at(when) and not self._gone(each, current.since, seq) for each in mine)

    def _since(self, bundle: PolicyBundle) -> int:
        """From which event on a revocation takes a bundle's signers away: its keys are those of its first signature."""
        if self.current is not None:
            return self.current.since
        candidate = self.candidates.get(bundle.digest())
        return candidate.since if candidate is not None else LAST

    def _gone(self, signer: PolicySigner, since: int, until: int = LAST) -> bool:
        """Whether somebody was revoked since the bundle was signed; added again, they are in the next one only."""
        return any(since < seq < until and whom == signer.person and key in {"", signer.key} for seq, whom, key in self._revoked)

    def _take(self, event: Event[Fact]) -> None:
        fact = event.fact
        if event.data.get("environment", self._environment) != self._environment:
            return
        if isinstance(fact, PeopleChanged):
            if fact.action in _REVOKES:
                self._revoke(event.seq, fact.whom, fact.fingerprint)
        elif isinstance(fact, PolicySigned):
            self._sign(event, fact)  # type: ignore[arg-type]
        elif isinstance(fact, PolicyAccepted):
            self._accept(event, fact)  # type: ignore[arg-type]
        else:
            message = "a newer release of Gatehouse has signed policies or changed the registry, and this one can't read how"
            raise Denied(message, where=f"ledger event {event.seq}", advice="use the newer release")

    def _revoke(self, seq: int, whom: str, key: str) -> None:
        self._revoked.append((seq, whom, key))
        for candidate in self.candidates.values():
            gone = [role for role, each in candidate.signed.items() if each.fact.person == whom and key in {"", each.fact.key}]
            for role in gone:
                self.void.append((candidate.signed.pop(role), f"{whom} or the key was revoked before the bundle stood"))

    def _sign(self, event: Event[PolicySigned], fact: PolicySigned) -> None:
        role, why = self.role_of(fact, event.when) if is_original(event) and is_signed(fact) else ("", "it is not signed, or not what was signed")
        if why:
            self.void.append((event, why))
            return
        candidate = self.candidates.setdefault(fact.bundle.digest(), Candidate(fact.bundle, event.seq))
        candidate.signed[role] = event
        if self.current is not None and not self.missing(fact.bundle):
            self._stand(candidate, event)

    def _accept(self, event: Event[PolicyAct], fact: PolicyAccepted) -> None:
        candidate = self.candidates.get(fact.bundle)
        whole = candidate is not None and not self.missing(candidate.bundle)
        if candidate is None or not whole or self.current is not None or not is_original(event) or (fact.key and not is_signed(fact)):
            self.void.append((event, "a bundle stands already" if self.current is not None else "no bundle was signed whole, or it is not signed"))
        else:
            self._stand(candidate, event)

    def _stand(self, candidate: Candidate, event: Event[PolicyAct]) -> None:
        signed = tuple(sorted(candidate.signed.items()))
        behind = max(each.seq for _, each in signed)
        self.accepted.append(Accepted(candidate.bundle, candidate.since, behind, signed, event))
        self.candidates.clear()  # what others have signed meanwhile was judged by a bundle that stands no more


def registry_now(bundles: Bundles, changes: Iterable[Event[PeopleChanged]]) -> str | None:
    """The digest that the registry has by the bundle that stands and what was recorded since; None where something else was changed under it.

    A change that nobody who may has signed takes nothing with it. Taking away needs nobody's role; it counts always, so where it was made to
    a registry that the bundle does not know, no older registry is right either. A process may die between a change's event and its files:
    taking away can be repeated, and somebody who may make the change may accept the registry as it was before.

    Args:
        bundles: The bundles; one of them stands.
        changes: Every recorded change of this registry, in order.
    """
    current = bundles.current
    assert current is not None  # the caller has looked
    now = before = current.bundle.people
    whom = ""  # of the newest addition
    for event in changes:
        fact = event.fact
        if event.seq <= current.behind:
            continue
        if fact.takes:
            if now not in {fact.before, fact.after}:
                return None
            now = before = fact.after  # nothing leads behind it
        elif not is_original(event) or not bundles.may_change_people(fact, event.when, event.seq):
            continue
        elif fact.gives and fact.before == now:
            now, before, whom = fact.after, fact.before, fact.whom
        elif fact.action == "accept-registry" and fact.after == before and fact.person != whom:
            now = before
    return now
