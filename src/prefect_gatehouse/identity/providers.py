"""Identity providers of the registry (OpenID Connect Core 1.0): whose ID tokens prove people, and who is who there.

As with certificate authorities, the person stays in the registry: a subject of the provider is linked to one, and where the provider has groups
a role counts only if the token names a group that has it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.identity.people import People, Told, nobody
from prefect_gatehouse.identity.registry_files import Draft, ProviderEntry
from prefect_gatehouse.vocabulary import Role

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def is_safe(url: str) -> bool:
    """Whether what is read there comes from whom the address names: over TLS, or from this machine itself."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    plain = bool(parts.hostname) and not parts.query and not parts.fragment and "@" not in parts.netloc
    return plain and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK))


def add_provider(
    people: People,
    issuer: str,
    *,
    audience: str,
    jwks: str = "",
    groups_claim: str = "groups",
    groups: Mapping[str, tuple[Role, ...]],
    without_auth_time: bool = False,
    told: Told = nobody,
) -> None:
    """Adds a provider, or changes it; who is who there stays.

    Args:
        people: The registry.
        issuer: Its address, as its tokens name it.
        audience: The client that tokens have to be made for: this installation's alone.
        jwks: Its public keys as a JSON Web Key Set; read from the issuer whenever they are needed unless given.
        groups_claim: The claim that has the groups.
        groups: Groups with the roles that they let people have; empty where the registry alone says.
        without_auth_time: Whether its tokens need not say when the person signed in: a session that is open there may then answer unasked.
        told: As for ``People.add``.

    Raises:
        InputError: Something of it is malformed.
    """
    if not is_safe(issuer):
        raise InputError("this is no issuer's address", where="issuer", advice="https://..., as the provider's discovery document names it")
    if not audience or len(audience) > 200:
        raise InputError("this is no client's identifier", where="--audience", advice="the one that the provider gave for Gatehouse")
    if jwks:
        _require_jwks(jwks)

    def change(draft: Draft) -> None:
        before = draft.providers.get(issuer)
        subjects = dict(before.subjects) if before is not None else {}
        draft.providers[issuer] = ProviderEntry(
            audience=audience,
            jwks=jwks,
            groups_claim=groups_claim,
            groups=dict(groups),
            subjects=subjects,
            without_auth_time=without_auth_time,
        )

    people.edit(change, told)


def remove_provider(people: People, issuer: str, told: Told = nobody) -> None:
    """Takes a provider away: no token of it counts any more, whenever it was used.

    Raises:
        InputError: There is no such provider.
    """

    def change(draft: Draft) -> None:
        _entry(draft, issuer)
        draft.providers.pop(issuer)

    people.edit(change, told)


def link(people: People, person: str, issuer: str, subject: str, told: Told = nobody) -> None:
    """Says who a provider's subject is; one subject is one person, and of a provider one person is one subject.

    Raises:
        InputError: There is no such person or provider, or the subject is somebody else.
    """
    if not subject or len(subject) > 255:
        raise InputError("this is no subject", where="subject", advice="the claim sub of the person's ID tokens")

    def change(draft: Draft) -> None:
        entry = _entry(draft, issuer)
        if person not in draft.entries:
            raise InputError("there is no such person", where="person", advice="run: gatehouse people list")
        if draft.entries[person].service is not None:
            raise InputError("a service signs in at no provider", where="person", advice="give it a key or a certificate")
        if entry.subjects.get(subject, person) != person:
            raise InputError("this subject is another person", where="subject", advice="unlink it first")
        others = {each: whose for each, whose in entry.subjects.items() if whose != person}
        draft.providers[issuer] = entry.model_copy(update={"subjects": {**others, subject: person}})

    people.edit(change, told)


def unlink(people: People, person: str, told: Told = nobody) -> None:
    """Takes out who somebody is at every provider.

    Raises:
        InputError: No provider knows the person.
    """

    def change(draft: Draft) -> None:
        if not any(person in entry.subjects.values() for entry in draft.providers.values()):
            raise InputError("no provider's subject is this person", where="person", advice="run: gatehouse people provider list")
        draft.forget(person)

    people.edit(change, told)


def _entry(draft: Draft, issuer: str) -> ProviderEntry:
    if issuer not in draft.providers:
        raise InputError("there is no such provider", where="issuer", advice="run: gatehouse people provider list")
    return draft.providers[issuer]


def _require_jwks(text: str) -> None:
    try:
        keys = json.loads(text)["keys"]
        if not keys or not all(isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP") and "d" not in key for key in keys):
            raise ValueError
    except (ValueError, TypeError, KeyError):
        advice = "the JSON Web Key Set that the provider publishes, public keys alone"
        raise InputError("these are no public keys", where="--jwks", advice=advice) from None
