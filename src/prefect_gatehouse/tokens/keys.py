"""The root key of the tokens in all its versions, and what is derived from it: HKDF-SHA-256 (RFC 5869) with length-prefixed context.

A secret store holds either one key as text, which is version 1, or several as JSON:

    {"current": 2, "keys": {"1": "<base64 of 32 bytes>", "2": "<base64 of 32 bytes>"}}

New tokens are made with the current version; each token names its version, so old ones stay readable as long as their key is kept.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Literal

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.never_printed import NeverPrinted

Scheme = Literal["cmac", "siv", "ff1", "permute", "permute_block", "shift_dates"]
KEY_BYTES: dict[Scheme, int] = {"cmac": 32, "siv": 64, "ff1": 32, "permute": 32, "permute_block": 32, "shift_dates": 32}
"""AES-256 for all; AES-SIV takes two keys, one for the vector and one for the counter mode (RFC 5297, section 2.2)."""

_ROOT_BYTES = 32
# More versions than a key that changes every week for a century; a token's prefix stays short.
_LAST_VERSION = 9999
# 32 random bytes have fewer distinct ones than this with a probability below 10^-30; typed or repeated ones often have.
_DISTINCT_BYTES = 8
_WHERE = "root key"
_MAKE_ONE = "make one: gatehouse keys new --out FILE"
_SHAPE = 'store 32 bytes as base64, or {"current": 2, "keys": {"1": "...", "2": "..."}}'
_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{43}=?")
_VERSION = re.compile(r"[1-9][0-9]{0,3}")


def derive_key(secret: bytes, length: int, context: Sequence[str]) -> bytes:
    """A key of ``length`` bytes for one context.

    Each part of the context goes in behind its length (4 bytes, big-endian), and the number of parts goes first, so that no two
    contexts read the same: ("ab", "c") is not ("a", "bc").
    """
    parts = [part.encode() for part in context]
    info = len(parts).to_bytes(4, "big") + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret)


class RootKey(NeverPrinted):
    """The key that every token key comes from, in all its versions; never printed, never pickled.

    Args:
        secret: The 32 bytes of version 1, or those of each version.
        current: The version that new tokens are made with; the newest unless given.

    Raises:
        InputError: A key is not 32 bytes or all zeros, two versions have the same key, or the current version has none.
    """

    __slots__ = ("_secrets", "current")

    def __init__(self, secret: bytes | Mapping[int, bytes], current: int | None = None) -> None:
        held = dict(secret) if isinstance(secret, Mapping) else {1: secret}
        for key in held.values():
            if len(key) != _ROOT_BYTES:
                raise InputError("the root key of the tokens is not 32 bytes", where=_WHERE, advice=_MAKE_ONE)
            if not any(key):
                raise InputError("the root key of the tokens is all zeros", where=_WHERE, advice=_MAKE_ONE)
        if len(set(held.values())) != len(held):
            raise InputError("two versions of the root key are the same key", where=_WHERE, advice="remove one of them")
        if any(not 1 <= version <= _LAST_VERSION for version in held):
            raise InputError(f"a version of the root key is not between 1 and {_LAST_VERSION}", where=_WHERE, advice=_SHAPE)
        current = max(held, default=None) if current is None else current
        if current not in held or current is None:
            raise InputError("the current version of the root key has no key", where=_WHERE, advice=_SHAPE)
        self._secrets: dict[int, bytes] = held
        self.current = current

    @classmethod
    def parse(cls, text: str) -> RootKey:
        """The key in a secret's text, one or several versions.

        One version is 32 bytes as 64 hexadecimal digits or as base64, plain or URL-safe; several are JSON of such texts.

        Raises:
            InputError: The text is something else, or a key is weak; the message holds nothing of it.
        """
        text = text.strip()
        return _several(text) if text.startswith("{") else cls(_bytes(text))

    @classmethod
    def generate(cls) -> RootKey:
        """A new key, version 1, from the operating system's randomness."""
        return cls(secrets.token_bytes(_ROOT_BYTES))

    @property
    def versions(self) -> tuple[int, ...]:
        """All versions, ascending."""
        return tuple(sorted(self._secrets))

    def at(self, version: int) -> RootKey:
        """The same key with another version as the current one: new tokens are made with that version, whatever was rotated since.

        Raises:
            InputError: There is no such version.
        """
        if version not in self._secrets:
            advice = "keep every version that a run may still use, then resume the run"
            raise InputError(f"the root key has no version {version}", where=_WHERE, advice=advice)
        return RootKey(self._secrets, version)

    def rotated(self) -> RootKey:
        """The same with one more version, which is the current one.

        Raises:
            InputError: There are no more version numbers.
        """
        return RootKey({**self._secrets, max(self._secrets) + 1: secrets.token_bytes(_ROOT_BYTES)})

    def stored(self) -> str:
        """The text for the secret store, which ``parse`` reads; it is the secret itself."""
        keys = {str(version): base64.b64encode(self._secrets[version]).decode() for version in self.versions}
        return json.dumps({"current": self.current, "keys": keys})

    def derive(self, tenant: str, join_domain: str, scheme: Scheme, version: int | None = None) -> bytes:
        """The key for one tenant, join domain, scheme and version: 64 bytes for ``siv``, 32 for every other scheme.

        Args:
            tenant: Tokens of different tenants never match.
            join_domain: Columns with the same join domain get the same tokens.
            scheme: The kind of token.
            version: One of ``versions``; the current one unless given.

        Raises:
            InputError: The tenant or the join domain is empty, or the scheme or the version is unknown.
        """
        if not tenant or not join_domain:
            raise InputError("a token key needs a tenant and a join domain", where=_WHERE)
        if scheme not in KEY_BYTES:
            raise InputError("the token scheme is unknown", where=_WHERE, advice=f"use one of {', '.join(KEY_BYTES)}")
        version = self.current if version is None else version
        if version not in self._secrets:
            raise InputError(
                f"the root key has no version {version}", where=_WHERE, advice="look at the block under credentials with: gatehouse keys list"
            )
        return derive_key(self._secrets[version], KEY_BYTES[scheme], ("gatehouse token", scheme, str(version), tenant, join_domain))


def _bytes(text: str) -> bytes:
    """32 bytes as 64 hexadecimal digits or base64; nothing where the text is neither.

    Raises:
        InputError: So few bytes are distinct that nobody drew them at random.
    """
    key = b""
    if _HEX.fullmatch(text):
        key = bytes.fromhex(text)
    elif _BASE64.fullmatch(text):
        try:
            key = base64.b64decode(text[:43].replace("-", "+").replace("_", "/") + "=", validate=True)
        except binascii.Error:
            key = b""
    if key and len(set(key)) < _DISTINCT_BYTES:
        raise InputError("the root key of the tokens repeats a few bytes: nobody drew it at random", where=_WHERE, advice=_MAKE_ONE)
    return key


def _several(text: str) -> RootKey:
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise InputError("the root key of the tokens is not the JSON that it begins to be", where=_WHERE, advice=_SHAPE) from None
    keys, current = (found.get("keys"), found.get("current")) if isinstance(found, dict) else (None, None)
    if not isinstance(keys, dict) or set(found) != {"current", "keys"} or type(current) is not int:
        raise InputError("the root key's JSON needs exactly the fields current and keys", where=_WHERE, advice=_SHAPE)
    if not all(_VERSION.fullmatch(version) and isinstance(key, str) for version, key in keys.items()):
        raise InputError("the root key's JSON names a version that is no number, or a key that is no text", where=_WHERE, advice=_SHAPE)
    return RootKey({int(version): _bytes(key) for version, key in keys.items()}, current)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object whose names occur once: of two keys under one version nobody could say which one counts."""
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError
    return dict(pairs)
