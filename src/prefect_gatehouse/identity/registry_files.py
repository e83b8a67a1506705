"""The registry's two files: what ``people.json`` says beside ``allowed_signers``, and both while they are changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import Field

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.identity.allowed_signers import NotUnderstood, Signer, is_blank, read_line
from prefect_gatehouse.identity.person import KeyAttested
from prefect_gatehouse.identity.services import Service
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.value import Value
from prefect_gatehouse.vocabulary import Role


class Entry(Value):
    """What the registry says of somebody beside their keys."""

    roles: tuple[Role, ...]
    totp: bool = False
    clearance: DataClass = DataClass.PUBLIC
    service: Service | None = None

    def written(self) -> dict[str, object]:
        """As ``people.json`` has it; a person's entry looks as it did before there were services, and so has the digest that was recorded."""
        kind = {"service": self.service.model_dump(mode="json")} if self.service is not None else {}
        return {"roles": self.roles, "totp": self.totp, "clearance": self.clearance, **kind}


class AuthorityEntry(Value):
    """What the registry says of a certificate authority beside its line."""

    groups: Mapping[str, tuple[Role, ...]] = Field(default_factory=dict)
    revoked_serials: tuple[int, ...] = ()
    revoked_keys: tuple[str, ...] = ()


class ProviderEntry(Value):
    """An identity provider, and whose of its subjects are people of the registry."""

    audience: str
    jwks: str = ""
    groups_claim: str = "groups"
    groups: Mapping[str, tuple[Role, ...]] = Field(default_factory=dict)
    subjects: Mapping[str, str] = Field(default_factory=dict)
    without_auth_time: bool = False


class RegistryFile(Value):
    """``people.json``."""

    people: dict[str, Entry] = Field(default_factory=dict)
    authorities: dict[str, AuthorityEntry] = Field(default_factory=dict)
    providers: dict[str, ProviderEntry] = Field(default_factory=dict)
    roots: dict[str, str] = Field(default_factory=dict, description="Vendors' certificates for FIDO keys, in PEM, by their SHA-256.")
    attested: dict[str, KeyAttested] = Field(default_factory=dict, description="FIDO keys that were attested, by fingerprint.")
    revoked_keys: tuple[str, ...] = Field((), description="Keys that were somebody's: no certificate brings them back, whoever signed it.")


@dataclass
class Draft:
    """The registry's two files while they are changed."""

    entries: dict[str, Entry]
    authorities: dict[str, AuthorityEntry]
    providers: dict[str, ProviderEntry]
    lines: list[str]
    revoked_keys: set[str]
    roots: dict[str, str]
    attested: dict[str, KeyAttested]

    def signers(self) -> list[tuple[int, Signer]]:
        """Each line that says something, with its place."""
        return [(place, signer) for place, line in enumerate(self.lines) if (signer := signer_of(line)) is not None]

    def forget(self, person: str) -> None:
        """Takes out what providers call somebody."""
        for issuer, entry in self.providers.items():
            left = {subject: whose for subject, whose in entry.subjects.items() if whose != person}
            self.providers[issuer] = entry.model_copy(update={"subjects": left})

    def files(self) -> dict[str, bytes]:
        """Their content."""
        people = {name: entry.written() for name, entry in sorted(self.entries.items())}
        # A registry that has none is written as it always was, so that it has the digest that was recorded.
        whole: dict[str, object] = {"people": people}
        for name, known in (("authorities", self.authorities), ("providers", self.providers)):
            if known:
                whole[name] = {each: entry.model_dump(mode="json") for each, entry in sorted(known.items())}
        if self.roots:
            whole["roots"] = dict(sorted(self.roots.items()))
        if self.attested:
            whole["attested"] = {each: found.model_dump() for each, found in sorted(self.attested.items())}
        if self.revoked_keys:
            whole["revoked_keys"] = sorted(self.revoked_keys)
        # Keys last when adding and first when revoking would both fail closed; a key without an entry is Tampered, a loud no.
        return {
            "people.json": (json.dumps(whole, indent=1) + "\n").encode(),
            "allowed_signers": "".join(f"{line}\n" for line in self.lines).encode(),
        }


def line_of(signer: Signer) -> str:
    """As the file has it.

    Raises:
        InputError: It would not be understood again: nobody could read the registry any more.
    """
    line = signer.line()
    try:
        read_line(line)
    except NotUnderstood:
        raise InputError(
            "the key would never be valid, or its times can't be written", where="valid-after, valid-before", advice="give others"
        ) from None
    return line


def signer_of(line: str) -> Signer | None:
    """What a line says, None where it is a comment; the lines have been read before."""
    return None if is_blank(line) else read_line(line)


def enter_key(
    draft: Draft,
    name: str,
    kind_blob: tuple[str, str, str],
    valid_after: datetime | None,
    valid_before: datetime | None,
    attested: KeyAttested | None,
) -> None:
    """Gives somebody a key, or other times to one of theirs.

    Raises:
        InputError: It is another's.
    """
    present = {signer.fingerprint: (place, signer) for place, signer in draft.signers()}
    place, before_it = present.get(kind_blob[2], (None, None))
    if before_it is not None and (before_it.person != name or before_it.authority):
        raise InputError("this key is another person's", where="key", advice="one key belongs to one person; make a new one")
    draft.revoked_keys.discard(kind_blob[2])
    if attested is not None:
        draft.attested[kind_blob[2]] = attested
    if place is None or before_it is None:
        draft.lines.append(line_of(Signer(name, *kind_blob, valid_after, valid_before)))
    elif valid_after or valid_before:
        after, before = valid_after or before_it.valid_after, valid_before or before_it.valid_before
        draft.lines[place] = line_of(Signer(name, *kind_blob, after, before))
