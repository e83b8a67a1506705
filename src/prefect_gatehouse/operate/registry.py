"""Changing the registry of people: each change is in the ledger, signed where whoever makes it has a key, before it takes effect."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from prefect_gatehouse.canonical import Json, canonical, sha256_bytes
from prefect_gatehouse.errors import Denied, InputError, Tampered
from prefect_gatehouse.identity import authorities, sshsig
from prefect_gatehouse.identity.keys import fingerprint
from prefect_gatehouse.identity.people import People, Told
from prefect_gatehouse.identity.person import KeyAttested, identifier, refuse_service
from prefect_gatehouse.identity.registry_files import Draft
from prefect_gatehouse.identity.services import Service
from prefect_gatehouse.ledger.acts import (
    AuthorityChanged,
    IdentityProviderChanged,
    KeyAttestedAct,
    PeopleChanged,
    RootChanged,
    ServiceChanged,
    SignedAct,
)
from prefect_gatehouse.ledger.store import LEDGER, Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate.budgets import line_of
from prefect_gatehouse.policy.bundles import LAST, Bundles
from prefect_gatehouse.policy.cedar import policy_now
from prefect_gatehouse.policy.quarantine import Quarantines, quarantines_in
from prefect_gatehouse.run.bundle import bundles_of, policy_that_counts
from prefect_gatehouse.run.plan import registry_of
from prefect_gatehouse.run.refused_acts import recorded_if_refused, tried_by_caller
from prefect_gatehouse.run.registry import changes, require_as_recorded
from prefect_gatehouse.run.under import this_user
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import Role


@dataclass(frozen=True)
class _Entry:
    """What a person and a service are entered with alike."""

    name: str
    key: str | None
    roles: frozenset[Role]
    clearance: DataClass | None
    valid_after: datetime | None
    valid_before: datetime | None

    def told(self) -> dict[str, Json]:
        """As the event of the change has it."""
        return {
            "whom": identifier(self.name),
            "roles": sorted(self.roles),
            "clearance": str(self.clearance or ""),
            "fingerprint": fingerprint(self.key) if self.key is not None else "",
            **_times(self.valid_after, self.valid_before),
        }


def _times(valid_after: datetime | None, valid_before: datetime | None) -> dict[str, str]:
    return {"valid_after": valid_after.isoformat() if valid_after else "", "valid_before": valid_before.isoformat() if valid_before else ""}


class Registrar:
    """Somebody who changes the registry.

    Args:
        settings: The installation; its identity, where there is one, is the caller's.
        ledger: The open ledger.
        reason: Why, in one line; may be empty.
        next_version: Whether what a signed bundle would not take in is made all the same, for the bundle's next version: until every role has signed
            that, no run above the prototype tier goes on.

    Raises:
        InputError: The reason is no line.
    """

    def __init__(self, settings: Settings, ledger: Ledger, reason: str, *, next_version: bool = False) -> None:
        self._settings, self._ledger, self._next_version = settings, ledger, next_version
        self._reason = line_of(reason, "--reason") if reason else ""
        self.people = People(settings.people_folder())

    def add(
        self,
        person: str,
        *,
        key: str | None,
        roles: frozenset[Role],
        totp: bool = False,
        clearance: DataClass | None = None,
        valid_after: datetime | None = None,
        valid_before: datetime | None = None,
        attestation: tuple[bytes, bytes] | None = None,
    ) -> str | None:
        """As ``People.add``; with an attestation of the key and the challenge that it was made for.

        Raises:
            InputError: As there; or the attestation proves nothing of the key.
            Tampered: The registry is not as its last recorded change left it.
            Denied: A bundle of policies stands, which covers the registry, and the caller is nobody who may extend it.
        """
        told: dict[str, Json] = {"action": "add-person", "totp": totp}
        attested: KeyAttested | None = None
        kind: type[PeopleChanged] = PeopleChanged
        if attestation is not None and key is not None:
            attested, kind = self._attested(key, *attestation), KeyAttestedAct
            told |= {**attested.model_dump(), "attestation": sha256_bytes(attestation[0]), "challenge": sha256_bytes(attestation[1])}
        entry = _Entry(person, key, roles, clearance, valid_after, valid_before)
        return self._enter(entry, told, kind, totp=totp, attested=attested)

    def _enter(
        self,
        entry: _Entry,
        told: Mapping[str, Json],
        kind: type[PeopleChanged],
        *,
        totp: bool = False,
        attested: KeyAttested | None = None,
        service: Service | None = None,
    ) -> str | None:
        """Enters a person or a service, where the registry is as its last recorded change left it."""
        require_as_recorded(self._settings, self._ledger, self.people)
        self._refuse_of_other_kind(entry.name, entry.key, "add-service" if service is None else "add-person")
        return self.people.add(
            entry.name,
            key=entry.key,
            roles=entry.roles,
            totp=totp,
            clearance=entry.clearance,
            valid_after=entry.valid_after,
            valid_before=entry.valid_before,
            attested=attested,
            service=service,
            told=self._tell({**told, **entry.told()}, kind),
        )

    def _attested(self, key: str, attestation: bytes, challenge: bytes) -> KeyAttested:
        from prefect_gatehouse.identity.attestation import check_attestation, read_roots

        roots = [each for pem in self.people.roots().values() for each in read_roots(pem.encode())]
        found = check_attestation(key, attestation, challenge, roots, datetime.now(UTC))
        return KeyAttested(root=found.root, aaguid=found.aaguid)

    def add_roots(self, pem: bytes) -> list[str]:
        """Adds vendors' certificates, to which attestations of FIDO keys may lead.

        Returns:
            Their fingerprints.

        Raises:
            InputError: They are none.
            Tampered: The registry is not as its last recorded change left it.
            Denied: A bundle of policies stands, and this is not made for its next version.
        """
        from prefect_gatehouse.identity.attestation import fingerprint_of, pem_of, read_roots

        require_as_recorded(self._settings, self._ledger, self.people)
        found = {fingerprint_of(each): pem_of(each) for each in read_roots(pem)}
        for mark, text in found.items():
            self.people.edit(partial(_enter_root, mark, text), self._tell({"action": "add-root", "root": mark}, RootChanged))
        return list(found)

    def remove_root(self, mark: str) -> None:
        """Takes a vendor's certificate away: what led to it is attested no more; also where the registry was edited by hand.

        Raises:
            InputError: There is no such root.
        """

        def change(draft: Draft) -> None:
            if draft.roots.pop(mark, None) is None:
                raise InputError("the registry has no such root", where="ROOT", advice="run: gatehouse people root list")

        self.people.edit(change, self._tell({"action": "remove-root", "root": mark}, RootChanged))

    def add_service(
        self,
        name: str,
        service: Service,
        *,
        key: str | None,
        roles: frozenset[Role],
        clearance: DataClass | None = None,
        valid_after: datetime | None = None,
        valid_before: datetime | None = None,
    ) -> None:
        """As ``People.add`` of a service.

        Raises:
            InputError: As there; or nothing is given that a service could do; or the key was a person's.
            Tampered: The registry is not as its last recorded change left it.
            Denied: A bundle of policies stands, which covers the registry, and the caller is nobody who may extend it.
        """
        if not service.duties and not roles and self.people.get(name) is None:
            advice = "--role requester for one that signs requests, or --duty, --tenant and --block for one that fetches"
            raise InputError("the service is named for nothing", where="service", advice=advice)
        told: dict[str, Json] = {"action": "add-service", **service.model_dump(mode="json")}
        self._enter(_Entry(name, key, roles, clearance, valid_after, valid_before), told, ServiceChanged, service=service)

    def _refuse_of_other_kind(self, name: str, key: str | None, other: str) -> None:
        """Stops a name or key that was ever the other kind's: who had the key may have it still, and certificates prove names.

        Raises:
            InputError: It was.
        """
        mark, kind = fingerprint(key) if key is not None else "", "person" if other == "add-person" else "service"
        for event in changes(self._settings, self._ledger):
            if event.fact.action != other:
                continue
            if mark and event.fact.fingerprint == mark:
                advice = "a key is a person's or a service's for good; make a new one"
                raise InputError(f"this key is, or was, the {kind} {event.fact.whom}'s", where="key", advice=advice)
            if event.fact.whom == identifier(name):
                advice = "a name is a person's or a service's for good; take another"
                raise InputError(f"this name is, or was, a {kind}'s", where="name", advice=advice)

    def revoke(self, person: str, key: str | None) -> None:
        """As ``People.revoke``; also where the registry was edited by hand, which goes on to be noticed.

        Raises:
            InputError: As there.
        """
        told: dict[str, Json] = {"action": "revoke-person" if key is None else "revoke-key", "whom": identifier(person), "fingerprint": key or ""}
        self.people.revoke(person, key, told=self._tell(told))

    def add_authority(
        self,
        key: str,
        *,
        names: str,
        groups: Mapping[str, tuple[Role, ...]],
        valid_after: datetime | None = None,
        valid_before: datetime | None = None,
    ) -> str:
        """As ``identity.authorities.add_authority``.

        Raises:
            InputError: As there.
            Tampered: The registry is not as its last recorded change left it.
        """
        require_as_recorded(self._settings, self._ledger, self.people)
        told: dict[str, Json] = {
            "action": "add-authority",
            "fingerprint": fingerprint(key),
            "names": names,
            "groups": {group: list(roles) for group, roles in groups.items()},
            **_times(valid_after, valid_before),
        }
        tell = self._tell(told, AuthorityChanged)
        return authorities.add_authority(self.people, key, names=names, groups=groups, valid_after=valid_after, valid_before=valid_before, told=tell)

    def remove_authority(self, mark: str) -> None:
        """As ``identity.authorities.remove_authority``; also where the registry was edited by hand.

        Raises:
            InputError: As there.
        """
        authorities.remove_authority(self.people, mark, self._tell({"action": "remove-authority", "fingerprint": mark}, AuthorityChanged))

    def revoke_certificates(self, mark: str, *, serial: int | None, key: str) -> None:
        """As ``identity.authorities.revoke_certificates``; also where the registry was edited by hand.

        Raises:
            InputError: As there.
        """
        told: dict[str, Json] = {"action": "revoke-certificate", "fingerprint": mark, "serial": serial, "revoked_key": key}
        authorities.revoke_certificates(self.people, mark, serial=serial, key=key, told=self._tell(told, AuthorityChanged))

    def change_provider(self, told: Mapping[str, Json], change: Callable[[Told], None]) -> None:
        """Another change of the identity providers.

        Args:
            told: The fields of its event.
            change: Makes it, telling what it is handed.

        Raises:
            InputError: As ``change`` does.
            Tampered: The registry is not as its last recorded change left it, and more is to count than did.
        """
        if str(told["action"]).startswith("add-"):
            require_as_recorded(self._settings, self._ledger, self.people)
        change(self._tell(told, IdentityProviderChanged))

    def accept(self) -> None:
        """Says that the registry is right as it is, though its files were changed in another way, or a recorded change was not made.

        Raises:
            InputError: There is no reason.
            Tampered: The registry is not understood.
        """
        if not self._reason:
            raise InputError("a registry is accepted with a reason", where="--reason", advice="say why in one line")
        self.people.all()
        digest = self.people.digest()
        self._tell({"action": "accept-registry"})(digest, digest)

    def _tell(self, told: Mapping[str, Json], kind: type[PeopleChanged] = PeopleChanged) -> Told:
        def tell(before: str, after: str) -> None:
            found = changes(self._settings, self._ledger)
            if str(told["action"]).startswith("add-") and found and found[-1].fact.after != before:
                raise Tampered("somebody else has changed the registry", where="people", advice="look: gatehouse people history; then add again")
            statement: dict[str, Json] = {
                **told,
                "reason": self._reason,
                "host": socket.gethostname(),
                "user": this_user(),
                "registry": registry_of(self._settings),
                "before": before,
                "after": after,
                "environment": self._settings.environment,
                "change": str(uuid.uuid4()),
            }
            fact = kind.model_validate(statement)
            named = {"whom": fact.whom}
            with recorded_if_refused(self._ledger, tried_by_caller(self._settings, "change_people", fact.action, named)):
                self._record(fact.model_copy(update=signed_if_possible(self._settings, fact)))

        return tell

    def _record(self, fact: PeopleChanged) -> None:
        if fact.gives and not self._next_version:
            _refuse_unsigned(bundles_of(self._settings, self._ledger), fact)
        with self._ledger.transaction() as tx:
            if not fact.takes:
                # What waits for the next version is entered while its files are written.
                rules = policy_now(self._settings) if self._next_version else policy_that_counts(self._settings, tx)
                _refuse_quarantined(quarantines_in(tx, self.people, self._settings.environment, rules), fact)
            # The next head covers it, not one that is signed here: another machine of this ledger may not have its key.
            tx.append(f"{fact.kind}:{fact.change}", LEDGER, fact)


def _enter_root(mark: str, pem: str, draft: Draft) -> None:
    draft.roots[mark] = pem


def signed_if_possible(settings: Settings, fact: SignedAct) -> dict[str, str]:
    """Person, key and signature of an act; nothing where the caller has no key, as nobody has who enters the first.

    Raises:
        InputError: A key is named that is not there, or the caller's can't sign.
    """
    path, message = settings.signing_key(), canonical(fact.statement)
    if path is None:
        return {}
    signature = sshsig.sign(path, message)
    mark = sshsig.verify(signature, message).fingerprint  # of what signed, whatever lies beside it
    owner = People(settings.people_folder()).owner_of(mark)
    refuse_service(owner, "the registry and the first bundle are changed", str(path))
    return {"person": owner.person if owner is not None else "", "key": mark, "signature": signature}


def _refuse_unsigned(bundles: Bundles, fact: PeopleChanged) -> None:
    """Stops what the signed bundle that stands would not take in, so that nobody stops every run by adding somebody.

    Raises:
        Denied: The bundle gives whoever makes the change no role that changes the registry, or they would give something to themselves.
    """
    if bundles.may_change_people(fact, datetime.now(UTC), LAST):
        return
    current = bundles.current
    assert current is not None  # without one everybody may
    who = [each for each in bundles.registrars if each != fact.whom]
    if fact.by_registrar:
        advice = f"have it made by {' or '.join(who) or 'nobody: no signer is left'} with their own key (GATEHOUSE_IDENTITY)"
    else:
        advice = "make it with --next-version and have every role sign that; until they have, no run above the prototype tier goes on"
    raise Denied(
        f"version {current.bundle.version} of the bundle of policies covers the registry, and this change is not one that it takes in",
        where="people",
        advice=advice,
        rules=("no-signer",),
    )


def _refuse_quarantined(held: Quarantines, fact: PeopleChanged) -> None:
    """While a person is in quarantine, nobody enters people who might be that person.

    Raises:
        Quarantined: The person is in quarantine.
        Denied: Nobody says who it is.
    """
    if fact.person:
        held.refuse_person(fact.person)
    elif any(each.event.fact.scope == "principal" for each in held.all()):
        raise Denied(
            "a person is in quarantine, and nobody known signed this change",
            where="people",
            advice="have it made by somebody of the registry, with their own key",
            rules=("in-quarantine",),
        )
