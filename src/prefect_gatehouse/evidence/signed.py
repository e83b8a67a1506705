"""Whether what people signed at the command line (budgets, limits, providers, the registry, keys) is what the ledger says that they signed.

Most acts are judged again whenever they are used, by registry and policy. Of budgets, limits and approvals of providers the policy is not asked
again: here is told of those that nobody of the registry signed.
"""

from __future__ import annotations

from collections.abc import Iterator

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.requester import NOBODY
from prefect_gatehouse.ledger.acts import BudgetSet, ProviderApproved, ProviderLimitSet, SignedAct
from prefect_gatehouse.ledger.events import KeyRotation, KeyRotationDecided
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.policy.acts import is_original
from prefect_gatehouse.run.holding import signing
from prefect_gatehouse.settings import Settings


def problems(ledger: Ledger) -> Iterator[str]:
    """What is wrong with them; no registry is needed, a signature names its key."""
    for event in ledger.facts(SignedAct):
        fact = event.fact
        if not isinstance(fact, SignedAct):
            yield f"event {event.seq}: an act of a newer release, which this one can't judge"
        elif not fact.unsigned or fact.signature or fact.key or fact.person:
            yield from _wrong(event, fact.words, is_original(event))
    yield from _rotations(ledger)


def _rotations(ledger: Ledger) -> Iterator[str]:
    """The same of keys' rotations: each is told twice, as it was decided and as the store has it, with one signature."""
    decided: dict[str, KeyRotation] = {}
    for event in ledger.facts(KeyRotation):
        fact = event.fact
        if not isinstance(fact, KeyRotation):
            yield f"event {event.seq}: a key's rotation of a newer release, which this one can't judge"
            continue
        yield from _wrong(event, "key's rotation", event.event_id == f"{fact.kind}:{fact.rotation}")
        if isinstance(fact, KeyRotationDecided):
            decided[fact.rotation] = fact
        elif fact.rotation not in decided or decided[fact.rotation].statement != fact.statement:
            yield f"event {event.seq}: nobody had decided the key's rotation that it tells of"


def _wrong(event: Event[SignedAct] | Event[KeyRotation], what: str, original: bool) -> Iterator[str]:
    fact = event.fact
    try:
        key = sshsig.verify(fact.signature, canonical(fact.statement))
    except GatehouseError:
        yield f"event {event.seq}: the {what} is not signed, or not what was signed"
        return
    if key.fingerprint != fact.key:
        yield f"event {event.seq}: the {what} names another key than it was signed with"
    elif key.untouched:
        yield f"event {event.seq}: the {what} was signed by a FIDO key that nobody touched, and counts for nothing"
    elif not original:
        yield f"event {event.seq}: the {what} is a copy of another event's, and counts for nothing"


_JUDGED_ONCE = (BudgetSet, ProviderLimitSet, ProviderApproved)


def of_nobody(settings: Settings, ledger: Ledger) -> Iterator[str]:
    """Acts of which the policy is asked only when they are recorded, and that nobody signed who is, or was, in the registry.

    Away from the installation there is no registry to look into: then only those that say themselves that their key is nobody's.
    """
    acts = [event for kind in _JUDGED_ONCE for event in ledger.facts(kind)]
    if not acts:
        return
    known = signing(settings, ledger)
    try:
        registry = bool(known.everybody)
    except GatehouseError as error:
        yield f"{error.message}, and who signed budgets and approvals of providers can't be told"
        return
    for event in sorted(acts, key=lambda each: each.seq):
        if not isinstance(event.fact, _JUDGED_ONCE):
            continue
        here = registry and event.fact.environment == settings.environment
        if event.fact.person == NOBODY or (here and known.is_nobodys(event)):
            yield f"event {event.seq}: the {event.fact.words} is signed with a key that is nobody's in the registry, and counts for nothing"
