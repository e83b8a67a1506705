"""The record of a new version of a root key: who added it, to which secret, and whose tokens change; never a key.

The decision is in the ledger, signed with the caller's own key, before the store is touched; that it was done follows in a second event.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass

from prefect_gatehouse.canonical import Json, canonical
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.person import Person, refuse_service
from prefect_gatehouse.identity.requester import NOBODY
from prefect_gatehouse.ledger.events import GatePassed, KeyRotationDecided, KeysRotated
from prefect_gatehouse.ledger.store import LEDGER, Ledger
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.policy.act_questions import ask_act, refuse_act
from prefect_gatehouse.policy.quarantine import quarantines_in
from prefect_gatehouse.run.bundle import policy_that_counts
from prefect_gatehouse.run.refused_acts import recorded_if_refused, tried
from prefect_gatehouse.run.registry import require_as_recorded
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.secrets.lease_record import LeaseRecord
from prefect_gatehouse.settings import Settings


@dataclass(frozen=True)
class User:
    """A pipeline that has used a root key.

    Attributes:
        pipeline: Its name.
        tenant: Its tenant.
        purposes: What it used the key for.
    """

    pipeline: str
    tenant: str
    purposes: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """For ``--json``."""
        return asdict(self)


def users(ledger: Ledger, block: str) -> list[User]:
    """The pipelines whose runs have fetched a root key, by the ledger.

    Args:
        ledger: The open ledger.
        block: The reference, as the manifests spell it.
    """
    runs = {row.run_id: row for row in ledger.runs()}
    found: dict[tuple[str, str], set[str]] = {}
    for event in ledger.facts(GatePassed):
        if event.fact.gate != CredentialLease.gate or event.run_id not in runs:
            continue
        record = LeaseRecord.model_validate(event.fact.value)
        if record.block == block and record.purpose in {Purpose.TOKENISE, Purpose.RE_IDENTIFY}:
            row = runs[event.run_id]
            found.setdefault((row.pipeline, row.tenant), set()).add(record.purpose.value)
    return [User(pipeline, tenant, tuple(sorted(purposes))) for (pipeline, tenant), purposes in sorted(found.items())]


@dataclass(frozen=True)
class Rotation:
    """One version more of a root key, decided by somebody who signed it.

    Attributes:
        rotation_id: Names its two events.
        decided: Block, versions and who, as the ledger keeps them.
    """

    rotation_id: str
    decided: KeyRotationDecided

    def done(self, ledger: Ledger, store_version: str) -> None:
        """Records that the store holds the new version."""
        with ledger.transaction() as tx:
            rotated = KeysRotated.model_validate({**self.decided.data(), "store_version": store_version})
            tx.append(f"keys-rotated:{self.rotation_id}", LEDGER, rotated)


def decide(settings: Settings, ledger: Ledger, block: str, before: int, after: int) -> Rotation:
    """Signs the decision with the caller's own key and records it.

    Args:
        settings: The installation.
        ledger: The open ledger.
        block: The reference of the secret.
        before: The version that was current.
        after: The version that will be.

    Raises:
        InputError: The caller has no usable signing key, or the policies can't be loaded.
        Denied: The policy does not let the caller do it; names the rule. Or the policies are not those that were signed.
        Quarantined: The caller is in quarantine.
        Tampered: The registry was changed beside `gatehouse people`.
    """
    rotation_id = str(uuid.uuid4())
    statement: dict[str, Json] = {
        "action": "rotate-keys",
        "block": block,
        "from": before,
        "to": after,
        "environment": settings.environment,
        "rotation": rotation_id,
    }
    require_as_recorded(settings, ledger, People(settings.people_folder()))
    message = canonical(statement)
    signature = sshsig.sign(settings.identity_key(), message)
    key = sshsig.verify(signature, message).fingerprint
    owner = People(settings.people_folder()).owner_of(key) or Person(person=NOBODY, roles=frozenset())
    person = owner.person
    decided = KeyRotationDecided.model_validate({**statement, "person": person, "key": key, "signature": signature})
    with recorded_if_refused(ledger, tried(decided, "rotate_key")):
        refuse_service(owner, "keys are rotated", str(settings.identity_key()))
        rules = policy_that_counts(settings, ledger)
        policy = rules()
        decision = ask_act(policy, "rotate_key", decided, decided, owner)
        refuse_act(policy, decision, "a key is rotated", person)
        decided = decided.model_copy(update=decision.permits())
        with ledger.transaction() as tx:
            quarantines_in(tx, People(settings.people_folder()), settings.environment, rules).refuse_person(person)
            tx.append(f"keys-rotation-decided:{rotation_id}", LEDGER, decided)
    return Rotation(rotation_id, decided)
