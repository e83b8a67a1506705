"""Certificate authorities of the registry: ``cert-authority`` lines of ``allowed_signers``, and in ``people.json`` what their groups may be.

A certificate proves who somebody is. What that person may do is in the registry as for everybody; where an authority has groups, a role counts
only if one of the certificate's principals is a group that has it: so whoever leaves the group at the provider has lost the role here as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from pydantic import AwareDatetime

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.identity.allowed_signers import Signer
from prefect_gatehouse.identity.keys import parse_public
from prefect_gatehouse.identity.people import People, Told, nobody
from prefect_gatehouse.identity.registry_files import AuthorityEntry, Draft, line_of
from prefect_gatehouse.value import Value
from prefect_gatehouse.vocabulary import Role

_NAMES = re.compile(r"!?[a-z0-9._@+*?-]+(?:,!?[a-z0-9._@+*?-]+)*")
_GROUP = re.compile(r"[\w.@+:/-]{1,120}")


class Authority(Value):
    """An authority, and when it counts."""

    names: str
    fingerprint: str
    line: str
    valid_after: AwareDatetime | None = None
    valid_before: AwareDatetime | None = None
    groups: Mapping[str, tuple[Role, ...]]
    revoked_serials: frozenset[int]
    revoked_keys: frozenset[str]

    def valid_at(self, moment: datetime) -> bool:
        """Whether what it signed counted at a time."""
        return (self.valid_after is None or moment >= self.valid_after) and (self.valid_before is None or moment <= self.valid_before)

    def roles_of(self, principals: tuple[str, ...]) -> frozenset[Role] | None:
        """What the groups among a certificate's principals may be; None where the authority has no groups."""
        return frozenset(role for group in principals for role in self.groups.get(group, ())) if self.groups else None


def authorities(people: People) -> tuple[Authority, ...]:
    """Every authority, in the file's order.

    Raises:
        Tampered: A file of the registry can't be understood.
    """
    people.all()  # what is not understood as a whole says nothing about its parts
    entries, nothing = people.authority_entries(), AuthorityEntry()
    found = []
    for signer in people.signers():
        if signer.authority:
            entry = entries.get(signer.fingerprint, nothing)
            found.append(
                Authority(
                    names=signer.person,
                    fingerprint=signer.fingerprint,
                    line=f"{signer.kind} {signer.blob}",
                    valid_after=signer.valid_after,
                    valid_before=signer.valid_before,
                    groups=entry.groups,
                    revoked_serials=frozenset(entry.revoked_serials),
                    revoked_keys=frozenset(entry.revoked_keys),
                )
            )
    return tuple(found)


def add_authority(
    people: People,
    key: str,
    *,
    names: str,
    groups: Mapping[str, tuple[Role, ...]],
    valid_after: datetime | None = None,
    valid_before: datetime | None = None,
    told: Told = nobody,
) -> str:
    """Adds an authority, or changes whom it may name and which roles its groups have; what it has revoked stays so.

    Args:
        people: The registry.
        key: Public line of its key.
        names: Patterns of those whom its certificates may name, with commas between: ``*@example.org``.
        groups: Principals that are groups, with the roles that they let people have; empty where the registry alone says.
        valid_after: Aware time from which it counts.
        valid_before: Aware time until which it counts.
        told: As for ``People.add``.

    Returns:
        The key's fingerprint.

    Raises:
        InputError: Something of it is malformed, or the key is a person's.
    """
    kind, blob, fingerprint = parse_public(key)
    if not _NAMES.fullmatch(names):
        raise InputError("these are no patterns of people", where="--names", advice="for example *@example.org, or * for anybody in the registry")
    for group in groups:
        if not _GROUP.fullmatch(group):
            raise InputError("this is no name of a group", where="--group", advice="GROUP=ROLE, for example approvers=approver")
    line = line_of(Signer(names, kind, blob, fingerprint, valid_after, valid_before, authority=True))

    def change(draft: Draft) -> None:
        here = [place for place, signer in draft.signers() if signer.fingerprint == fingerprint]
        if any(not signer.authority for _, signer in draft.signers() if signer.fingerprint == fingerprint):
            raise InputError("this key is a person's", where="key", advice="an authority signs certificates and nothing else; give its own key")
        if here:
            draft.lines[here[0]] = line
        else:
            draft.lines.append(line)
        entry = draft.authorities.get(fingerprint, AuthorityEntry())
        draft.authorities[fingerprint] = entry.model_copy(update={"groups": dict(groups)})

    people.edit(change, told)
    return fingerprint


def remove_authority(people: People, fingerprint: str, told: Told = nobody) -> None:
    """Takes an authority away: no certificate of it counts any more, whenever it was used.

    Raises:
        InputError: There is no such authority.
    """

    def change(draft: Draft) -> None:
        _require(draft, fingerprint)
        gone = {place for place, signer in draft.signers() if signer.authority and signer.fingerprint == fingerprint}
        draft.lines[:] = [line for place, line in enumerate(draft.lines) if place not in gone]
        entry = draft.authorities.pop(fingerprint, AuthorityEntry())
        if entry.revoked_serials or entry.revoked_keys:  # for the day on which somebody adds it again
            draft.authorities[fingerprint] = entry.model_copy(update={"groups": {}})

    people.edit(change, told)


def revoke_certificates(people: People, fingerprint: str, *, serial: int | None = None, key: str = "", told: Told = nobody) -> None:
    """Revokes what an authority has signed: a number, or every certificate of a key.

    Args:
        people: The registry.
        fingerprint: The authority's.
        serial: A certificate's number.
        key: A key's fingerprint.
        told: As for ``People.add``.

    Raises:
        InputError: There is no such authority, neither number nor key is given, or what is given was revoked already.
    """
    if serial is None and not re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", key):
        raise InputError("neither a serial number nor a key's fingerprint is given", where="--serial, --fingerprint", advice="give one of them")
    if serial == 0:
        raise InputError("0 is the number of every certificate that was made without one", where="--serial", advice="revoke by --fingerprint")

    def change(draft: Draft) -> None:
        _require(draft, fingerprint)
        entry = draft.authorities.get(fingerprint, AuthorityEntry())
        if serial in {None, *entry.revoked_serials} and key in {"", *entry.revoked_keys}:
            raise InputError("this was revoked already", where="authority", advice="nothing to do; see: gatehouse people authority list")
        serials = {*entry.revoked_serials, *([serial] if serial is not None else [])}
        keys = {*entry.revoked_keys, *([key] if key else [])}
        draft.authorities[fingerprint] = entry.model_copy(update={"revoked_serials": tuple(sorted(serials)), "revoked_keys": tuple(sorted(keys))})

    people.edit(change, told)


def _require(draft: Draft, fingerprint: str) -> None:
    if not any(signer.authority and signer.fingerprint == fingerprint for _, signer in draft.signers()):
        raise InputError("there is no such authority", where="authority", advice="run: gatehouse people authority list")
