"""A secret in use: held in memory for minutes, by one process, for one purpose; never printed, pickled or kept."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import NoReturn, Protocol, Self

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.values import LeaseRecord

LEASE_TIME = timedelta(minutes=15)
"""How long a static secret is held at most; the lifetime of the shortest STS session."""


class SecretReader(Protocol):
    """Reads a secret by its block reference; blocks implement it, the library only knows this face."""

    def __call__(self, block: str, /) -> SecretText:
        """The secret that a block reference names.

        Raises:
            Unavailable: The store does not answer, or the block is missing.
            Denied: The store refuses.
        """


class SecretText:
    """A secret's text with its version at the store and, where it can be revoked, how."""

    __slots__ = ("_revoke", "_text", "version")

    def __init__(self, text: str, *, version: str = "", revoke: Callable[[], None] | None = None) -> None:
        self._text = text
        self.version = version
        self._revoke = revoke

    def reveal(self) -> str:
        """The secret itself."""
        return self._text

    def revoke(self) -> None:
        """Forgets the secret, and revokes it at its store where it can be; after an error another call tries again."""
        self._text = ""
        if self._revoke is not None:
            self._revoke()
            self._revoke = None

    def __repr__(self) -> str:
        return "SecretText(**********)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is never pickled")


class CredentialLease:
    """Gate 6: a secret bound to a purpose, an environment and a tenant, until it expires or is revoked.

    Use it as a context manager: leaving revokes it.
    """

    def __init__(self, purpose: Purpose, block: str | None, secret: SecretText | None, *, environment: str, tenant: str) -> None:
        self._secret = secret
        self.record = LeaseRecord(
            purpose=purpose,
            block=block,
            version=secret.version if secret is not None else "",
            lease_id=secrets.token_hex(8),
            environment=environment,
            tenant=tenant,
            expires_at=datetime.now(UTC) + LEASE_TIME,
        )
        self.revoked = False

    def reveal(self, purpose: Purpose) -> str:
        """The secret's text, for the purpose it was fetched for.

        Raises:
            Denied: The lease has another purpose, holds no secret, has expired or was revoked.
        """
        return self.held(purpose).reveal()

    def held(self, purpose: Purpose) -> SecretText:
        """The secret itself, where it is more than a text, for the purpose it was fetched for.

        Raises:
            Denied: The lease has another purpose, holds no secret, has expired or was revoked.
        """
        if purpose is not self.record.purpose:
            raise Denied(f"a lease for {self.record.purpose.value} was asked for {purpose.value}", where="fetch_credential")
        if self._secret is None:
            raise Denied(f"the purpose {purpose.value} has no secret", where="fetch_credential", advice="name a block under credentials")
        if self.revoked or datetime.now(UTC) >= self.record.expires_at:
            raise Denied(f"the lease for {purpose.value} has ended", where="fetch_credential", advice="fetch it again just before its use")
        return self._secret

    def revoke(self) -> None:
        """Ends the lease, forgets the secret and revokes it at its store; after an error of the store another call tries again."""
        self.revoked = True
        if self._secret is not None:
            self._secret.revoke()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(Exception):  # what the lease was for is done; the attempt's release tries again and keeps a record
            self.revoke()

    def __repr__(self) -> str:
        return f"CredentialLease(purpose={self.record.purpose.value!r}, block={self.record.block!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a lease is never pickled")
