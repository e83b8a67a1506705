"""Which proof is expected of whom: what each approver has, of what the tier takes, the strongest first."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity.allowed_signers import matches
from prefect_gatehouse.identity.authorities import Authority, authorities
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.person import Person
from prefect_gatehouse.identity.registry_files import ProviderEntry
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.policy.tiers import is_like_a_file, refuse_long_lived
from prefect_gatehouse.run.answer import MEANS, require_cleared, require_strength
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.vocabulary import Method

NOTHING = "nothing that the tier takes"


def expected(people: People, plan: Plan, without: Collection[str] = ()) -> dict[str, str]:
    """Of each person who may decide about a plan what they are asked to prove it by, in words; ``without`` names those who may not here."""
    found = {}
    for person in people.all():
        if person.may("approver") and person.person not in {plan.admitted.requester.person, *without} and _may_read(person, plan):
            found[person.person] = ", or ".join(MEANS[method] for method in methods_of(person, people, plan.admitted.tier)) or NOTHING
    return found


def methods_of(person: Person, people: People, tier: TierRules) -> list[Method]:
    """What somebody could prove themselves by, of what the tier takes, the strongest first."""
    known, entries, now = authorities(people), list(people.provider_entries().values()), datetime.now(UTC)
    return [method for method in _has(person, known, entries, now, tier) if _is_taken(method, tier)]


def _has(person: Person, known: Sequence[Authority], entries: Sequence[ProviderEntry], now: datetime, tier: TierRules) -> Iterator[Method]:
    fido = [key for key in person.keys if key.line.startswith("sk-")]
    kinds = [key in fido and not is_like_a_file("ssh-fido", key.attested is not None, tier) for key in person.keys]
    if any(kinds):
        yield "ssh-fido"
    if any(person.person in entry.subjects.values() for entry in entries):
        yield "oidc"
    if any(each.valid_at(now) and matches(each.names, person.person) for each in known):
        yield "ssh-certificate"
    if not all(kinds):
        yield "ssh"
    if person.totp:
        yield "totp"


def _may_read(person: Person, plan: Plan) -> bool:
    try:
        require_cleared(person, plan.body.classes)
    except Denied:
        return False
    return True


def _is_taken(method: Method, tier: TierRules) -> bool:
    try:
        require_strength(method, tier)
        refuse_long_lived(method, tier, "approval")
    except Denied:
        return False
    return True
