"""The registry of people: an OpenSSH ``allowed_signers`` file, roles and clearances beside it, and shared secrets of one-time codes (0600)."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from prefect_gatehouse.canonical import digest, sha256_bytes
from prefect_gatehouse.errors import GatehouseError, InputError, StorageError, Tampered
from prefect_gatehouse.files import replace_file
from prefect_gatehouse.identity.allowed_signers import NotUnderstood, Signer, is_blank, read_line
from prefect_gatehouse.identity.keys import parse_public
from prefect_gatehouse.identity.person import ROLES, KeyAttested, Person, PersonKey, identifier, owner_among
from prefect_gatehouse.identity.registry_files import AuthorityEntry, Draft, Entry, ProviderEntry, RegistryFile, enter_key, signer_of
from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.identity.services import Service, refuse_as_service
from prefect_gatehouse.identity.totp import new_secret
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.vocabulary import Role

_FILES = ("people.json", "allowed_signers")
Told = Callable[[str, str], None]
"""Is told of a change before it is made: the registry's digest, and what it will be."""


def nobody(before: str, after: str) -> None:
    """Nobody is told."""


def _digest_of(files: dict[str, bytes]) -> str:
    return digest({name: sha256_bytes(content) for name, content in files.items()})


class People:
    """The registry in a folder: ``allowed_signers``, ``people.json``, ``totp/<person>``.

    Args:
        folder: The folder; made when the first person is added.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> tuple[Person, ...]:
        """Everybody, by identifier.

        Raises:
            Tampered: A file of the registry can't be understood.
        """
        content = self._read_people()
        entries = dict(content.people)
        attested = {mark: found for mark, found in content.attested.items() if found.root in content.roots}
        for each, entry in entries.items():
            if entry.service is not None and (entry.totp or set(entry.roles) - {"requester"}):
                raise Tampered(f"the registry gives the service {each} what only people have", where="people.json", advice="restore the file")
        keys: dict[str, list[PersonKey]] = {name: [] for name in entries}
        owners: dict[str, str] = {}
        for number, signer in self._signers():
            name = signer.person
            if signer.authority:  # whose key signs certificates: it is nobody's own, whoever its line names
                if owners.setdefault(signer.fingerprint, "") != "":
                    raise Tampered("a line of the registry has a person's key", where=f"allowed_signers:{number}", advice="restore the file")
                continue
            if name not in keys or owners.setdefault(signer.fingerprint, name) != name:
                why = "is of nobody in people.json" if name not in keys else "has another person's key"
                raise Tampered(f"a line of the registry {why}", where=f"allowed_signers:{number}", advice="restore the file")
            key = PersonKey(
                line=f"{signer.kind} {signer.blob}",
                fingerprint=signer.fingerprint,
                valid_after=signer.valid_after,
                valid_before=signer.valid_before,
                attested=attested.get(signer.fingerprint),
            )
            keys[name].append(key)
        return tuple(
            Person(
                person=name,
                roles=frozenset(entry.roles),
                keys=tuple(keys[name]),
                totp=entry.totp,
                clearance=entry.clearance,
                service=entry.service,
            )
            for name, entry in sorted(entries.items())
        )

    def get(self, person: str) -> Person | None:
        """One person; identifiers are compared without regard to case."""
        wanted = person.strip().casefold()
        return next((known for known in self.all() if known.person == wanted), None)

    def owner_of(self, fingerprint: str, at: datetime | None = None) -> Person | None:
        """Whose key this was at a time, now unless given; nobody's before it is valid, nor after.

        Args:
            fingerprint: The key's.
            at: Aware time.
        """
        return owner_among(self.all(), fingerprint, at or datetime.now(UTC))

    def clearance(self, requester: Requester, unverified: DataClass) -> DataClass:
        """Highest class that a requester may read, as the registry says now: public for somebody who is not in it any more.

        Args:
            requester: Who asks.
            unverified: What the tier lets a request read that nobody signed.
        """
        if requester.method == "unverified":
            return unverified
        known = self.get(requester.person)
        return known.clearance if known is not None else DataClass.PUBLIC

    def totp_secret(self, person: str) -> str | None:
        """The shared secret of a person's one-time codes, None where there is none."""
        known = self.get(person)
        if known is None or not known.totp:
            return None
        try:
            return (self._folder / "totp" / known.person).read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None

    def add(
        self,
        person: str,
        *,
        key: str | None = None,
        roles: frozenset[Role],
        totp: bool = False,
        clearance: DataClass | None = None,
        valid_after: datetime | None = None,
        valid_before: datetime | None = None,
        service: Service | None = None,
        attested: KeyAttested | None = None,
        told: Told = nobody,
    ) -> str | None:
        """Adds a person, or keys and roles to one who is there; or a service, or keys and duties to one that is there.

        Args:
            person: Identifier such as an e-mail address.
            key: Public line of an OpenSSH key.
            roles: Roles to add.
            totp: Whether to make a shared secret for one-time codes.
            clearance: Highest class of data that the person may read from now on; as before unless given, public for somebody new.
            valid_after: Aware time from which the key signs; as before unless given, at once for a new one.
            valid_before: Aware time until which it signs; as before unless given, for ever for a new one.
            service: What it is named for, where a service is added; None for a person.
            attested: What was proven of the key by its authenticator; as before unless given.
            told: Called with the registry's digests before and behind the change, before anything is written.

        Returns:
            The new shared secret, where one was made.

        Raises:
            InputError: The identifier or key is malformed, the key is another's, or its times are none; a service is given what only people
                have, or the other kind has the name.
        """
        name = identifier(person)
        if not roles <= set(ROLES):
            raise InputError("there is no such role", where="role", advice=f"use {', '.join(ROLES)}")
        if service is not None:
            refuse_as_service(roles, totp=totp)
        kind_blob = parse_public(key) if key is not None else None
        if kind_blob is None and (valid_after or valid_before):
            raise InputError("a time is a key's, and none is given", where="key", advice="give the .pub file")
        with self._locked():
            self.all()  # nothing is added to what is not understood
            draft = self._draft()
            entries = draft.entries
            entry = entries.get(name)
            if entry is not None and (entry.service is None) != (service is None):
                one, other = ("person", "service") if service is not None else ("service", "person")
                raise InputError(f"this name is a {one}'s, and a {other} is somebody else", where=one, advice="give another name")
            if kind_blob is not None:
                enter_key(draft, name, kind_blob, valid_after, valid_before, attested)
            known_roles = set(entry.roles) if entry else set()
            had_totp = entry is not None and entry.totp
            secret = new_secret() if totp and not had_totp else None
            kept = entry.clearance if entry is not None else DataClass.PUBLIC
            named = service.joined(entry.service if entry is not None else None) if service is not None else None
            all_roles = tuple(sorted(known_roles | roles))
            if named is not None and all_roles and not named.tenants:
                advice = "name the tenants whose pipelines it asks for: --tenant"
                raise InputError("a service asks for pipelines of tenants, and none is given", where="tenant", advice=advice)
            entries[name] = Entry(roles=all_roles, totp=totp or had_totp, clearance=clearance or kept, service=named)
            files = draft.files()
            told(self.digest(), _digest_of(files))
            if secret is not None:
                self._write(Path("totp") / name, secret + "\n")
            self._save(files)
        return secret

    def revoke(self, person: str, fingerprint: str | None = None, *, told: Told = nobody) -> None:
        """Takes away one key, or everything a person may do.

        Args:
            person: Whose.
            fingerprint: Of the key; everything unless given.
            told: As for ``add``.

        Raises:
            InputError: There is no such person or key.
        """
        with self._locked():
            known = self.get(person)
            if known is None or (fingerprint is not None and all(key.fingerprint != fingerprint for key in known.keys)):
                raise InputError("there is no such person or key", where="person", advice="run: gatehouse people list")
            # By fingerprint, not by text: a line written by hand may have a comment.
            gone = {key.fingerprint for key in known.keys if fingerprint in (None, key.fingerprint)}
            draft = self._draft()
            draft.lines = [line for line in draft.lines if (signer := signer_of(line)) is None or signer.fingerprint not in gone]
            draft.revoked_keys |= gone
            draft.attested = {mark: found for mark, found in draft.attested.items() if mark not in gone}
            if fingerprint is None:
                draft.entries.pop(known.person)
                draft.forget(known.person)
            files = draft.files()
            told(self.digest(), _digest_of(files))
            if fingerprint is None:
                (self._folder / "totp" / known.person).unlink(missing_ok=True)
            self._save(files)

    def edit(self, change: Callable[[Draft], None], told: Told = nobody) -> None:
        """Changes something else than people, under the registry's lock.

        Args:
            change: Changes the draft, or raises.
            told: As for ``add``.
        """
        with self._locked():
            self.all()  # nothing is changed of what is not understood
            draft = self._draft()
            change(draft)
            files = draft.files()
            told(self.digest(), _digest_of(files))
            self._save(files)

    def signers(self) -> list[Signer]:
        """What the lines say, in order.

        Raises:
            Tampered: A line is not understood.
        """
        return [signer for _, signer in self._signers()]

    def authority_entries(self) -> Mapping[str, AuthorityEntry]:
        """What ``people.json`` says of authorities, by fingerprint."""
        return self._read_people().authorities

    def revoked_keys(self) -> frozenset[str]:
        """Fingerprints of keys that were taken away from people and not given to anybody since."""
        return frozenset(self._read_people().revoked_keys)

    def roots(self) -> Mapping[str, str]:
        """Vendors' certificates for FIDO keys, in PEM, by their SHA-256."""
        return self._read_people().roots

    def is_attested(self, fingerprint: str) -> bool:
        """Whether a key of the registry was attested by an authenticator whose vendor's root the registry still has."""
        return any(key.fingerprint == fingerprint and key.attested is not None for person in self.all() for key in person.keys)

    def provider_entries(self) -> Mapping[str, ProviderEntry]:
        """The identity providers, by issuer."""
        return self._read_people().providers

    def digest(self) -> str:
        """SHA-256 over the registry as it is: who may do what with which key, without secrets; the same for a folder that holds nothing.

        Raises:
            Tampered: A file can't be read.
        """
        return _digest_of({name: self._read(name) or b"" for name in _FILES})

    def _read(self, name: str) -> bytes | None:
        """A file's content, None where there is none."""
        path = self._folder / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError:
            raise self._unreadable(name) from None

    def _unreadable(self, name: str) -> Tampered:
        return Tampered("the registry of people can't be read", where=str(self._folder / name), advice="restore the file from its backup")

    def _draft(self) -> Draft:
        content = self._read_people()
        return Draft(
            entries=dict(content.people),
            authorities=dict(content.authorities),
            providers=dict(content.providers),
            lines=self._lines(),
            revoked_keys=set(content.revoked_keys),
            roots=dict(content.roots),
            attested=dict(content.attested),
        )

    def _read_people(self) -> RegistryFile:
        content = self._read("people.json")
        if content is None:
            return RegistryFile()
        try:
            return RegistryFile.model_validate_json(content)
        except ValidationError:
            raise self._unreadable("people.json") from None

    def _signers(self) -> Iterator[tuple[int, Signer]]:
        """Each line's number and what it says.

        Raises:
            Tampered: A line is not understood.
        """
        for number, line in enumerate(self._lines(), 1):
            if is_blank(line):
                continue
            try:
                yield number, read_line(line)
            except NotUnderstood as error:
                raise Tampered(f"a line of the registry {error}", where=f"allowed_signers:{number}", advice="restore the file") from None

    def _lines(self) -> list[str]:
        """The file's lines as they are: comments stay where they were."""
        try:
            return (self._read("allowed_signers") or b"").decode().splitlines()
        except UnicodeDecodeError:
            raise self._unreadable("allowed_signers") from None

    def _save(self, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            self._write(Path(name), content.decode())

    def _write(self, name: Path, text: str) -> None:
        path = self._folder / name
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(path, text.encode())
        except OSError as error:
            raise StorageError(f"the registry of people can't be written: {error.strerror}", where=str(path)) from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self._folder / ".lock").open("w") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                yield
        except GatehouseError:
            raise
        except OSError as error:
            raise StorageError(f"the registry of people can't be locked: {error.strerror}", where=str(self._folder)) from None
