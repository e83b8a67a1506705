"""What an identity provider publishes (OpenID Connect Discovery 1.0): its addresses, and the keys that it signs with.

It is asked before anything is judged; what judges, inside the ledger's transaction, asks nobody.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

from prefect_gatehouse.identity.methods.bounded import exchange, unreadable
from prefect_gatehouse.identity.providers import is_safe
from prefect_gatehouse.identity.registry_files import ProviderEntry

Keys = Sequence[Mapping[str, Any]]
_FRESH_SECONDS = 600.0  # a key that the provider has withdrawn counts for so long in a process that knew it
_AGAIN_SECONDS = 60.0  # between two readings for a key that is not among those known: anybody can name one
_known: dict[str, tuple[float, Keys]] = {}
_asked: dict[str, float] = {}


def known_keys(issuer: str, provider: ProviderEntry) -> Keys:
    """A provider's keys: those of the registry, or else what ``read_keys`` has read; nobody is asked.

    Raises:
        Unavailable: They have not been read.
    """
    if provider.jwks:
        return cast(Keys, json.loads(provider.jwks)["keys"])
    if issuer not in _known:
        raise unreadable(issuer)
    return _known[issuer][1]


def read_keys(issuer: str, provider: ProviderEntry, name: object) -> None:
    """Reads a provider's keys where those known are old or, once a minute, where the one that is meant is not among them.

    Args:
        issuer: The provider.
        provider: What the registry says of it.
        name: The ``kid`` that is looked for; None for any.

    Raises:
        Unavailable: They can't be read.
    """
    if provider.jwks:
        return
    now, found = time.monotonic(), _known.get(issuer)
    if found is not None and now - found[0] <= _FRESH_SECONDS:
        here = name is None or any(key.get("kid") == name for key in found[1])
        if here or now - _asked[issuer] <= _AGAIN_SECONDS:
            return
    _asked[issuer] = now
    keys = read_json(str(discovery(issuer)["jwks_uri"])).get("keys")
    if not isinstance(keys, list):
        raise unreadable(issuer)
    _known[issuer] = (now, [each for each in keys if isinstance(each, dict)])


def discovery(issuer: str) -> Mapping[str, Any]:
    """What an issuer says of itself.

    Raises:
        Unavailable: It can't be read, or is another issuer's.
    """
    found = read_json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if found.get("issuer") != issuer or not all(is_safe(str(found.get(name))) for name in ("jwks_uri", "authorization_endpoint", "token_endpoint")):
        raise unreadable(issuer)
    return found


def read_json(url: str) -> Mapping[str, Any]:
    """A JSON object at an address, which nobody redirects.

    Raises:
        Unavailable: There is none.
    """
    answer = exchange(url)
    try:
        found = json.loads(answer.body) if answer.status == HTTPStatus.OK else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise unreadable(url)
    return found
