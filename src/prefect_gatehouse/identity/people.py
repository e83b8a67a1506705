"""The registry of people: an OpenSSH ``allowed_signers`` file, roles and clearances beside it, and shared secrets of one-time codes (0600)."""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field, ValidationError

from prefect_gatehouse.errors import GatehouseError, InputError, StorageError, Tampered
from prefect_gatehouse.files import replace_file
from prefect_gatehouse.identity.keys import parse_public
from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.identity.sshsig import NAMESPACE
from prefect_gatehouse.identity.totp import new_secret
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.value import Value
from prefect_gatehouse.vocabulary import Role

ROLES: tuple[Role, ...] = ("requester", "approver", "auditor")
_PERSON = re.compile(r"[a-z0-9](?:[a-z0-9._@+-]{0,118}[a-z0-9])?")


class PersonKey(Value):
    """One public key of a person."""

    line: str
    fingerprint: str


class Person(Value):
    """A person (or a deployment's service principal), its roles and keys."""

    person: str
    roles: frozenset[Role]
    keys: tuple[PersonKey, ...] = ()
    totp: bool = False
    clearance: DataClass = Field(DataClass.PUBLIC, description="Highest class of data that the person may read.")


class _Entry(Value):
    roles: tuple[Role, ...]
    totp: bool = False
    clearance: DataClass = DataClass.PUBLIC


class _File(Value):
    people: dict[str, _Entry] = Field(default_factory=dict)


def identifier(person: str) -> str:
    """A person's identifier as the registry writes it.

    Raises:
        InputError: It is none.
    """
    name = person.strip().casefold()
    if not _PERSON.fullmatch(name):
        raise InputError(
            "this is no identifier of a person", where="person", advice="use letters, digits and . _ @ + -, for example approver@example.org"
        )
    if name in {"unverified", "unknown"}:
        raise InputError("this identifier stands for nobody", where="person", advice="choose another")
    return name


def _read_line(line: str) -> tuple[str, PersonKey | None]:
    """Person and key of a line of ``allowed_signers``; no key where it is not one of ours."""
    name, _, rest = line.partition(f' namespaces="{NAMESPACE}" ')
    try:
        kind, blob, fingerprint = parse_public(rest)
    except InputError:
        return name, None
    return name, PersonKey(line=f"{kind} {blob}", fingerprint=fingerprint)


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
        entries = self._entries()
        keys: dict[str, list[PersonKey]] = {name: [] for name in entries}
        owners: dict[str, str] = {}
        for number, line in enumerate(self._lines(), 1):
            name, key = _read_line(line)
            if key is None or name not in keys or owners.setdefault(key.fingerprint, name) != name:
                raise Tampered("a line of the registry is not understood", where=f"allowed_signers:{number}", advice="restore the file")
            keys[name].append(key)
        return tuple(
            Person(person=name, roles=frozenset(entry.roles), keys=tuple(keys[name]), totp=entry.totp, clearance=entry.clearance)
            for name, entry in sorted(entries.items())
        )

    def get(self, person: str) -> Person | None:
        """One person; identifiers are compared without regard to case."""
        wanted = person.strip().casefold()
        return next((known for known in self.all() if known.person == wanted), None)

    def owner_of(self, fingerprint: str) -> Person | None:
        """Whose key this is."""
        return next((person for person in self.all() if any(key.fingerprint == fingerprint for key in person.keys)), None)

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
        self, person: str, *, key: str | None = None, roles: frozenset[Role], totp: bool = False, clearance: DataClass | None = None
    ) -> str | None:
        """Adds a person, or keys and roles to one who is there.

        Args:
            person: Identifier such as an e-mail address.
            key: Public line of an OpenSSH key.
            roles: Roles to add.
            totp: Whether to make a shared secret for one-time codes.
            clearance: Highest class of data that the person may read from now on; as before unless given, public for somebody new.

        Returns:
            The new shared secret, where one was made.

        Raises:
            InputError: The identifier or key is malformed, or the key is another person's.
        """
        name = identifier(person)
        if not roles <= set(ROLES):
            raise InputError("there is no such role", where="role", advice=f"use {', '.join(ROLES)}")
        kind_blob = parse_public(key) if key is not None else None
        with self._locked():
            entries, lines = self._entries(), self._lines()
            if kind_blob is not None:
                owner = self.owner_of(kind_blob[2])
                if owner is not None and owner.person != name:
                    raise InputError("this key is another person's", where="key", advice="one key belongs to one person; make a new one")
                if owner is None:
                    lines.append(f'{name} namespaces="{NAMESPACE}" {kind_blob[0]} {kind_blob[1]}')
            before = entries.get(name)
            known_roles = set(before.roles) if before else set()
            had_totp = before is not None and before.totp
            secret = new_secret() if totp and not had_totp else None
            if secret is not None:
                self._write(Path("totp") / name, secret + "\n")
            kept = before.clearance if before is not None else DataClass.PUBLIC
            entries[name] = _Entry(roles=tuple(sorted(known_roles | roles)), totp=totp or had_totp, clearance=clearance or kept)
            self._save(entries, lines)
        return secret

    def revoke(self, person: str, fingerprint: str | None = None) -> None:
        """Takes away one key, or everything a person may do.

        Raises:
            InputError: There is no such person or key.
        """
        with self._locked():
            known = self.get(person)
            if known is None or (fingerprint is not None and all(key.fingerprint != fingerprint for key in known.keys)):
                raise InputError("there is no such person or key", where="person", advice="run: gatehouse people list")
            # By fingerprint, not by text: a line written by hand may have a comment.
            gone = {key.fingerprint for key in known.keys if fingerprint in (None, key.fingerprint)}
            lines = [line for line in self._lines() if (key := _read_line(line)[1]) is None or key.fingerprint not in gone]
            entries = self._entries()
            if fingerprint is None:
                entries.pop(known.person)
                (self._folder / "totp" / known.person).unlink(missing_ok=True)
            self._save(entries, lines)

    def _entries(self) -> dict[str, _Entry]:
        path = self._folder / "people.json"
        try:
            return dict(_File.model_validate_json(path.read_bytes()).people)
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError):
            raise Tampered("the registry of people can't be read", where=str(path), advice="restore the file from its backup") from None

    def _lines(self) -> list[str]:
        path = self._folder / "allowed_signers"
        try:
            return [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError):
            raise Tampered("the registry of people can't be read", where=str(path), advice="restore the file from its backup") from None

    def _save(self, entries: dict[str, _Entry], lines: list[str]) -> None:
        people = {name: {"roles": entry.roles, "totp": entry.totp, "clearance": entry.clearance} for name, entry in sorted(entries.items())}
        # Keys last when adding and first when revoking would both fail closed; a key without an entry is Tampered, a loud no.
        self._write(Path("people.json"), json.dumps({"people": people}, indent=1) + "\n")
        self._write(Path("allowed_signers"), "".join(f"{line}\n" for line in lines))

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
