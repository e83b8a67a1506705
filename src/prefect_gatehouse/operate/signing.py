"""An act of somebody who may approve, signed with their own key and in the ledger before it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from typing import TypeVar

from prefect_gatehouse.canonical import Json, canonical
from prefect_gatehouse.errors import Denied, GatehouseError, Tampered
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.people import People, refuse_service
from prefect_gatehouse.ledger.acts import QuarantineImposed, SignedAct
from prefect_gatehouse.ledger.seal import seal_home
from prefect_gatehouse.ledger.store import LEDGER, Event, Ledger
from prefect_gatehouse.policy.quarantine import quarantines_in
from prefect_gatehouse.run.registry import require_as_recorded
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import Role

A = TypeVar("A", bound=SignedAct)


def anybody(fact: SignedAct) -> None:
    """Whoever may approve."""


def record(
    settings: Settings,
    ledger: Ledger,
    kind: type[A],
    statement: Mapping[str, Json],
    act: str,
    what: str,
    refuse: Callable[[A], None] = anybody,
) -> Event[A]:
    """Signs a statement and records it, under a signed head.

    Args:
        settings: The installation; its identity is the caller's.
        ledger: The open ledger.
        kind: Of the event.
        statement: Its fields but for who signed.
        act: The statement's own name for this act.
        what: What it is about, in words.
        refuse: Raises where it is not for this person or key to sign; called with the signed act, before anything is written.

    Raises:
        InputError: The caller has no usable signing key.
        Denied: The caller's key belongs to nobody who may approve; of an act that asks for no approver, to nobody.
        Quarantined: The caller is in quarantine.
        Tampered: The registry was changed beside `gatehouse people`.
    """
    emergency = issubclass(kind, QuarantineImposed)
    if not emergency:  # which is stopped whatever has become of the registry
        require_as_recorded(settings, ledger, People(settings.people_folder()))
    fact = kind.model_validate({**statement, **_signed(settings, statement, what, kind.role, emergency=emergency)})
    refuse(fact)
    name = f"{kind.kind}:{act}"
    with ledger.transaction() as tx:
        quarantines_in(tx, People(settings.people_folder()), settings.environment).refuse_person(fact.person)
        tx.append(name, LEDGER, fact)
    # An emergency holds though this machine has not the ledger's key; what is under way has to be ended, and the next head covers the act.
    with suppress(GatehouseError) if emergency else nullcontext():
        seal_home(settings.folder(""), ledger)
    recorded = ledger.find(name, kind)
    assert recorded is not None  # appended above
    return recorded


def _signed(settings: Settings, statement: Mapping[str, Json], what: str, role: Role | None, *, emergency: bool) -> dict[str, str]:
    """Person, key and signature of a statement."""
    message = canonical(dict(statement))
    signature = sshsig.sign(settings.identity_key(), message)
    key = sshsig.verify(signature, message).fingerprint
    try:
        owner = People(settings.people_folder()).owner_of(key)
    except Tampered:
        if not emergency:
            raise
        return {"person": key, "key": key, "signature": signature}  # nobody can say whose it is; it stops all the same
    where = str(settings.identity_key())
    if owner is None and role is None:
        advice = "sign with a key of yours that the registry has (GATEHOUSE_IDENTITY), or have it added: gatehouse people add"
        raise Denied(f"{what} by somebody in the registry, and this key is nobody's", where=where, advice=advice)
    refuse_service(owner, what, where)
    if owner is None or not owner.may(role):
        may = "who may approve" if role == "approver" else f"with the role {role}"
        whose = "who may" if role == "approver" else may
        advice = f"ask one of them, or be registered as one: gatehouse people add NAME --role {role} --key FILE.pub"
        raise Denied(f"{what} by somebody {may}, and this key is nobody's {whose}", where=where, advice=advice)
    return {"person": owner.person, "key": key, "signature": signature}
