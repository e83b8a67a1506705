"""The root key of the tokens and what is derived from it: HKDF-SHA-256 (RFC 5869) with length-prefixed context."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Literal, NoReturn

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from prefect_gatehouse.errors import InputError

Scheme = Literal["cmac", "siv", "shift_dates"]
KEY_BYTES: dict[Scheme, int] = {"cmac": 32, "siv": 64, "shift_dates": 32}
"""AES-256 for all; AES-SIV takes two keys, one for the vector and one for the counter mode (RFC 5297, section 2.2)."""

_ROOT_BYTES = 32
_MAKE_ONE = "make one: openssl rand -base64 32"
_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{43}=?")


def derive_key(secret: bytes, length: int, context: Sequence[str]) -> bytes:
    """A key of ``length`` bytes for one context.

    Each part of the context goes in behind its length (4 bytes, big-endian), and the number of parts goes first, so that no two
    contexts read the same: ("ab", "c") is not ("a", "bc").
    """
    parts = [part.encode() for part in context]
    info = len(parts).to_bytes(4, "big") + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret)


class RootKey:
    """The key that every token key comes from; never printed, never pickled."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != _ROOT_BYTES:
            raise InputError("the root key of the tokens is not 32 bytes", where="root key", advice=_MAKE_ONE)
        if not any(secret):
            raise InputError("the root key of the tokens is all zeros", where="root key", advice=_MAKE_ONE)
        self._secret = secret

    @classmethod
    def parse(cls, text: str) -> RootKey:
        """The key in a secret's text: 32 bytes as 64 hexadecimal digits or as base64, plain or URL-safe.

        Raises:
            InputError: The text is something else.
        """
        text = text.strip()
        secret = b""
        if _HEX.fullmatch(text):
            secret = bytes.fromhex(text)
        elif _BASE64.fullmatch(text):
            try:
                secret = base64.b64decode(text[:43].replace("-", "+").replace("_", "/") + "=", validate=True)
            except binascii.Error:
                secret = b""
        return cls(secret)

    def derive(self, tenant: str, join_domain: str, scheme: Scheme, version: int = 1) -> bytes:
        """The key for one tenant, join domain, scheme and version: 32 bytes for ``cmac``, 64 for ``siv``.

        Raises:
            InputError: The tenant or the join domain is empty, or the scheme is unknown.
        """
        if not tenant or not join_domain:
            raise InputError("a token key needs a tenant and a join domain", where="root key")
        if scheme not in KEY_BYTES:
            raise InputError("the token scheme is unknown", where="root key", advice="use cmac or siv")
        return derive_key(self._secret, KEY_BYTES[scheme], ("gatehouse token", scheme, str(version), tenant, join_domain))

    def __repr__(self) -> str:
        return "RootKey(**********)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a root key is never pickled")
