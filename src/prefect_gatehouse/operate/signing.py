"""An act that somebody signs: the policy is asked first, then it is in the ledger, signed with their own key, before it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TypeVar

from prefect_gatehouse.canonical import Json, canonical
from prefect_gatehouse.errors import Denied, GatehouseError, InputError, Tampered
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.person import Person, refuse_service
from prefect_gatehouse.identity.requester import NOBODY
from prefect_gatehouse.ledger.acts import PolicySigned, QuarantineImposed, SignedAct
from prefect_gatehouse.ledger.seal import seal_home
from prefect_gatehouse.ledger.store import LEDGER, Event, Ledger
from prefect_gatehouse.policy.act_questions import ask_act, refuse_act
from prefect_gatehouse.policy.cedar import policy_now
from prefect_gatehouse.policy.interface import Fact, Policy
from prefect_gatehouse.policy.quarantine import quarantines_in
from prefect_gatehouse.run.bundle import policy_that_counts
from prefect_gatehouse.run.refused_acts import recorded_if_refused, tried
from prefect_gatehouse.run.registry import require_as_recorded
from prefect_gatehouse.settings import Settings

A = TypeVar("A", bound=SignedAct)


def anybody(fact: SignedAct) -> None:
    """Whoever the policy lets sign it."""


def refuse_nobody(fact: SignedAct) -> None:
    """Stops what nobody of the registry signs and would count for nothing, though the policy lets it.

    Raises:
        Denied: The key is nobody's.
    """
    if fact.person == NOBODY:
        advice = "have the registry's keeper enter it: gatehouse people add NAME --key FILE --role ROLE"
        raise Denied("the key that signs is nobody's in the registry of people", where=fact.key, advice=advice, rules=("key-of-nobody",))


def record(
    settings: Settings,
    ledger: Ledger,
    kind: type[A],
    statement: Mapping[str, Json],
    act: str,
    what: str,
    refuse: Callable[[A], None] = anybody,
    *,
    about: SignedAct | None = None,
    told: Callable[[A], Mapping[str, Fact]] = lambda _: {},
) -> Event[A]:
    """Signs a statement and records it, under a signed head; or records that it was refused.

    Args:
        settings: The installation; its identity is the caller's.
        ledger: The open ledger.
        kind: Of the event.
        statement: Its fields but for who signed.
        act: The statement's own name for this act.
        what: What it is about, in words.
        refuse: Raises where it is not for this person or key to sign, whatever the policy says; called before anything is written.
        about: The act that it ends; itself unless given.
        told: What the policy is told that neither act tells.

    Raises:
        InputError: The caller has no usable signing key, or the policies can't be loaded.
        Denied: The policy does not let whose key it is sign this; names the rule. Or the policies are not those that were signed.
        Quarantined: The caller is in quarantine.
        Tampered: The registry was changed beside `gatehouse people`.
    """
    emergency = issubclass(kind, QuarantineImposed)
    if not emergency:  # which is stopped whatever has become of the registry
        require_as_recorded(settings, ledger, People(settings.people_folder()))
    # The next version is asked of the files that are being signed.
    rules = policy_now(settings) if emergency or issubclass(kind, PolicySigned) else policy_that_counts(settings, ledger)
    signature, signer = _signed(settings, statement, emergency=emergency)
    fact, name = kind.model_validate({**statement, **signature}), f"{kind.kind}:{act}"
    with _recorded_if_refused(ledger, fact, about):
        refuse_service(signer, what, str(settings.identity_key()))
        with suppress(InputError) if emergency else nullcontext():  # which is stopped whatever has become of the policies, too
            fact = _permitted(rules(), fact, about or fact, signer, what, told(fact))
        refuse(fact)
        with ledger.transaction() as tx:
            quarantines_in(tx, People(settings.people_folder()), settings.environment, rules).refuse_person(fact.person)
            tx.append(name, LEDGER, fact)
    # An emergency holds though this machine has not the ledger's key; what is under way has to be ended, and the next head covers the act.
    with suppress(GatehouseError) if emergency else nullcontext():
        seal_home(settings.folder(""), ledger)
    recorded = ledger.find(name, kind)
    assert recorded is not None  # appended above
    return recorded


def _recorded_if_refused(ledger: Ledger, fact: SignedAct, about: SignedAct | None) -> AbstractContextManager[None]:
    """An act about a run is refused in its events."""
    if fact.asks is None:
        return nullcontext()
    return recorded_if_refused(ledger, tried(fact, fact.asks, about), str(getattr(about or fact, "run", LEDGER)))


def _signed(settings: Settings, statement: Mapping[str, Json], *, emergency: bool) -> tuple[dict[str, str], Person | None]:
    """Person, key and signature of a statement, and who that is; nobody where an emergency finds no registry that it can read."""
    message = canonical(dict(statement))
    signature = sshsig.sign(settings.identity_key(), message)
    key = sshsig.verify(signature, message).fingerprint
    try:
        owner = People(settings.people_folder()).owner_of(key)
    except Tampered:
        if not emergency:
            raise
        return {"person": key, "key": key, "signature": signature}, None  # nobody can say whose it is; it stops all the same
    if owner is None:
        owner = Person(person=NOBODY, roles=frozenset())
    return {"person": owner.person, "key": key, "signature": signature}, owner


def _permitted(policy: Policy, fact: A, about: SignedAct, signer: Person | None, what: str, told: Mapping[str, Fact]) -> A:
    """The act with the rules that permit it.

    Raises:
        Denied: None does.
    """
    if signer is None or fact.asks is None:
        return fact
    decision = ask_act(policy, fact.asks, fact, about, signer, told)
    refuse_act(policy, decision, what, signer.person)
    return fact.model_copy(update=decision.permits())
