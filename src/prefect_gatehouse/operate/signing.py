"""An act of somebody who may approve, signed with their own key before it holds."""

from __future__ import annotations

from collections.abc import Mapping

from prefect_gatehouse.canonical import Json, canonical
from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.settings import Settings


def signed(settings: Settings, statement: Mapping[str, Json], what: str) -> dict[str, str]:
    """Person, key and signature of a statement.

    Args:
        settings: The installation; its identity is the caller's.
        statement: What is signed.
        what: What it is about, in words.

    Raises:
        InputError: The caller has no usable signing key.
        Denied: The caller's key belongs to nobody who may approve.
    """
    message = canonical(dict(statement))
    signature = sshsig.sign(settings.identity_key(), message)
    key = sshsig.verify(signature, message).fingerprint
    owner = People(settings.people_folder()).owner_of(key)
    if owner is None or "approver" not in owner.roles:
        raise Denied(
            f"{what} by somebody who may approve, and this key is nobody's who may",
            where=str(settings.identity_key()),
            advice="ask an approver, or be registered as one: gatehouse people add NAME --role approver --key FILE.pub",
        )
    return {"person": owner.person, "key": key, "signature": signature}
