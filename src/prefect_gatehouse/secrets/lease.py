"""A secret in use: held in memory for minutes, by one process, for one purpose; never printed, pickled or kept."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import ClassVar, Protocol, Self

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.never_printed import NeverPrinted
from prefect_gatehouse.secrets.lease_record import LeaseRecord

LEASE_TIME = timedelta(minutes=15)
"""How long what the store never ends by itself is held at most; the lifetime of the shortest STS session."""


class SecretReader(Protocol):
    """Reads a secret by its block reference; blocks implement it, the library only knows this face."""

    def __call__(self, block: str, /) -> Checkout:
        """The secret that a block reference names.

        Raises:
            Unavailable: The store does not answer, or the block is missing.
            Denied: The store refuses.
        """


class Checkout(NeverPrinted):
    """What a store handed out, with its version there, its end and, where it can be revoked, how.

    Args:
        version: The version at the store, where the store has versions.
        expires_at: When the store itself ends it; None where what it handed out stays valid.
        revoke: Revokes it at the store.
    """

    __slots__ = ("_revoke", "expires_at", "version")

    def __init__(self, *, version: str = "", expires_at: datetime | None = None, revoke: Callable[[], None] | None = None) -> None:
        self.version = version
        self.expires_at = expires_at
        self._revoke = revoke

    def forget(self) -> None:
        """Drops what is held in memory."""

    def revoke(self) -> None:
        """Forgets it, and revokes it at its store where it can be; after an error another call tries again."""
        self.forget()
        if self._revoke is not None:
            self._revoke()
            self._revoke = None


class SecretText(Checkout):
    """A secret's text."""

    __slots__ = ("_text",)

    def __init__(self, text: str, *, version: str = "", expires_at: datetime | None = None, revoke: Callable[[], None] | None = None) -> None:
        super().__init__(version=version, expires_at=expires_at, revoke=revoke)
        self._text = text

    def reveal(self) -> str:
        """The secret itself."""
        return self._text

    def forget(self) -> None:
        """Drops the text."""
        self._text = ""


class CredentialLease(NeverPrinted):
    """Gate 6: a secret bound to a purpose, an environment and a tenant, until it expires or is revoked.

    Use it as a context manager: leaving revokes it.
    """

    gate: ClassVar[str] = "fetch_credential"
    """The gate that returns it."""

    def __init__(self, purpose: Purpose, block: str | None, secret: Checkout | None, *, environment: str, tenant: str, service: str = "") -> None:
        self._secret = secret
        self.record = LeaseRecord(
            purpose=purpose,
            block=block,
            version=secret.version if secret is not None else "",
            lease_id=secrets.token_hex(8) if block is not None else "",
            service=service,
            environment=environment,
            tenant=tenant,
            expires_at=(secret.expires_at if secret is not None else None) or datetime.now(UTC) + LEASE_TIME,
        )
        self.revoked = False

    def reveal(self, purpose: Purpose) -> str:
        """The secret's text, for the purpose it was fetched for.

        Raises:
            Denied: The lease has another purpose, holds no text, has expired or was revoked.
        """
        held = self.held(purpose)
        if not isinstance(held, SecretText):
            raise Denied(
                f"the block for {purpose.value} holds no text", where="fetch_credential", advice="name a block with a secret for this purpose"
            )
        return held.reveal()

    def held(self, purpose: Purpose) -> Checkout:
        """What was checked out, where it is no text, for the purpose it was fetched for.

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

    def sign_in(self) -> str:
        """The text that signs in at the provider, where reading is all that it is for; what makes jobs asks for the purpose to submit beside it.

        Raises:
            Denied: As for ``reveal``; or the lease is for neither to submit nor to retrieve.
        """
        return self.reveal(Purpose.RETRIEVE if self.record.purpose is Purpose.RETRIEVE else Purpose.SUBMIT)

    def held_to_read(self) -> Checkout:
        """What was checked out, to read at the provider.

        Raises:
            Denied: As for ``held``; or the lease is for neither to submit nor to retrieve.
        """
        return self.held(Purpose.RETRIEVE if self.record.purpose is Purpose.RETRIEVE else Purpose.SUBMIT)

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
