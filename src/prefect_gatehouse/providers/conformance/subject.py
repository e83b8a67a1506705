"""A backend by its name in a manifest, ready to prove itself: with settings, a credential and a folder, and no run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.conformance.bench import Subject
from prefect_gatehouse.providers.interface import Backend, Connection
from prefect_gatehouse.providers.registry import connect
from prefect_gatehouse.secrets.lease import Checkout, CredentialLease, SecretText
from prefect_gatehouse.settings import SHIPPED_PRICES
from prefect_gatehouse.store.run_keys import RunKeysInMemory

_LEAST = timedelta(minutes=5)  # that a lease has left when a check begins


class Leases:
    """Leases for submitting, one after the other: a suite that waits in a queue outlives one.

    Args:
        block: Where the secret is from; None where the backend needs none.
        read: Reads it anew.
        environment: Of the installation.
    """

    def __init__(self, block: str | None, read: Callable[[], Checkout | None], environment: str = "local") -> None:
        self._block, self._read, self._environment = block, read, environment
        self._lease: CredentialLease | None = None

    def __call__(self) -> CredentialLease:
        """The lease; a new one where the last has nearly ended."""
        if self._lease is None or (self._block is not None and self._lease.record.expires_at - datetime.now(UTC) < _LEAST):
            self.end()
            self._lease = CredentialLease(Purpose.SUBMIT, self._block, self._read(), environment=self._environment, tenant="conformance")
        return self._lease

    def end(self) -> None:
        """Revokes the last one."""
        if self._lease is not None:
            self._lease.revoke()
            self._lease = None


def subject_of(
    name: str,
    folder: Path,
    settings: Mapping[str, Json] | None = None,
    leases: Callable[[], CredentialLease] | None = None,
    prices: Path = SHIPPED_PRICES,
) -> Subject:
    """A backend that is to prove itself.

    Args:
        name: As a manifest names it.
        folder: Where this side may keep what belongs to its jobs.
        settings: What its block would hold.
        leases: Gives leases; of nothing unless given.
        prices: File of the prices of devices.

    Raises:
        InputError: There is no such backend.
    """
    sealer = RunKeysInMemory().obtain("conformance").sealer()

    def backend() -> Backend:
        return connect(name, Connection(folder, sealer, settings or {}, prices=prices))

    backend()  # what is wrong with its settings is told before anything is run
    return Subject(name, backend, leases or Leases(None, lambda: None))


def with_secret(text: str) -> Leases:
    """Leases of a credential in hand, for tests."""
    return Leases("secret/conformance", lambda: SecretText(text))
