"""The fenced right to act on a run: one process's attempt, with what that process needs to act.

Every effect and every event goes through here and is refused once a newer attempt has begun or the ledger has closed the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.data.artifacts import ArtifactStore
from prefect_gatehouse.data.run_keys import RunKey, RunKeys
from prefect_gatehouse.errors import StorageError, Superseded
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.leases import CredentialLease, SecretReader
from prefect_gatehouse.ledger.store import Event, Ledger, RunRow, Transaction
from prefect_gatehouse.ledger.tables import artifacts
from prefect_gatehouse.providers.interface import Progress, Provider, Sealer
from prefect_gatehouse.providers.registry import provider_for
from prefect_gatehouse.settings import Settings

if TYPE_CHECKING:
    from prefect_gatehouse.manifest.models import Manifest
    from prefect_gatehouse.policy.interface import Policy
    from prefect_gatehouse.values import Artifact, LeaseRecord

ProgressOf = Callable[[str], Progress]
"""Makes a progress reporter from a few words that say what is going on."""


def _silent(_: str) -> Progress:
    return lambda done, total: None


class Attempt:
    """One process driving one run.

    Args:
        settings: The installation's settings.
        ledger: The open ledger.
        run_id: The run.
        read_secret: Reads a secret by its block reference.
        progress: Makes progress reporters.
        facts: What the ledger's entry of this attempt should tell, such as where it runs.
        after: Take the run over only if this attempt still is its last; None takes it from whichever.

    Raises:
        Superseded: The ledger has closed the run, or another attempt has begun.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        run_id: str,
        read_secret: SecretReader,
        progress: ProgressOf = _silent,
        *,
        facts: Mapping[str, Json] | None = None,
        after: int | None = None,
    ) -> None:
        self.settings = settings
        self.ledger = ledger
        self.run_id = run_id
        self.read_secret = read_secret
        self.progress = progress
        self.leases: list[CredentialLease] = []
        self.number = ledger.begin_attempt(run_id, facts or {}, after=after)

    @contextmanager
    def effect(self) -> Iterator[Transaction]:
        """A write transaction that commits only while this attempt drives the run.

        Raises:
            Superseded: A newer attempt does, or the run is closed.
        """
        with self.ledger.transaction() as tx:
            self.ledger.check_fence(tx, self.run_id, self.number)
            yield tx

    def require_fence(self) -> None:
        """Looks once more, right before an effect outside.

        Raises:
            Superseded: A newer attempt drives this run, or the run is closed.
        """
        with self.effect():
            return

    def append(self, tx: Transaction, name: str, kind: str, data: Mapping[str, Json]) -> bool:
        """Appends an event of this run; its identifier is ``run:name``."""
        return tx.append(f"{self.run_id}:{name}", self.run_id, kind, data, attempt=self.number)

    def record(self, name: str, kind: str, data: Mapping[str, Json]) -> bool:
        """Appends one event in a transaction of its own."""
        with self.effect() as tx:
            return self.append(tx, name, kind, data)

    def event(self, name: str) -> Event | None:
        """An event of this run by the name it was recorded under."""
        return self.ledger.event(f"{self.run_id}:{name}")

    def row(self) -> RunRow:
        """The run's row in the ledger."""
        row = self.ledger.run(self.run_id)
        assert row is not None  # begin_attempt made it
        return row

    @cached_property
    def run_keys(self) -> RunKeys:
        """Where data keys of runs are kept."""
        return RunKeys(self.settings.folder("run-keys"))

    @property
    def key(self) -> RunKey:
        """The run's data key, made when first asked for."""
        return self.run_keys.obtain(self.run_id)

    @property
    def sealer(self) -> Sealer:
        """Encrypts small things under the run's data key."""
        return self.key.sealer()

    @cached_property
    def store(self) -> ArtifactStore:
        """The encrypted artifacts."""
        return ArtifactStore(self.settings.folder("artifacts"))

    @cached_property
    def people(self) -> People:
        """The registry of people."""
        return People(self.settings.people_folder())

    @cached_property
    def policy(self) -> Policy:
        """The policy as its files are now."""
        from prefect_gatehouse.policy.cedar import load_policy

        return load_policy(self.settings.policies)

    @property
    def spool(self) -> Path:
        """Where local simulators keep this run's jobs."""
        return self.settings.folder("simulator") / self.run_id

    def provider(self, backend: str) -> Provider:
        """The provider of a backend."""
        return provider_for(backend, self.spool, self.sealer)

    def own(self, artifact: Artifact, manifest: Manifest) -> None:
        """Enters an artifact with its owner and retention, which the class of the data caps at admission; repeating changes nothing."""
        with self.effect() as tx:
            known = tx.connection.scalar(select(artifacts.c.uri).where(artifacts.c.uri == artifact.uri))
            if known is None:
                keep = manifest.retention.artifacts.total_seconds()
                tx.connection.execute(
                    insert(artifacts).values(uri=artifact.uri, run_id=self.run_id, owner=manifest.owner, retain_until=time.time() + keep)
                )

    def release(self) -> list[LeaseRecord]:
        """Revokes what this process holds; called on every way out of it.

        Returns:
            The leases whose store did not revoke them. They are held on, so that the next call tries again, and the ledger knows them.
        """
        kept: list[CredentialLease] = []
        for lease in self.leases:
            try:
                lease.revoke()
            except Exception:  # noqa: BLE001 - one store's error must not keep the other leases alive
                kept.append(lease)
        self.leases[:] = kept
        for lease in kept:
            record = lease.record
            data = {"lease_id": record.lease_id, "purpose": record.purpose.value, "block": record.block, "expires_at": str(record.expires_at)}
            with suppress(StorageError, Superseded):  # without a disk, or after the end, there is nowhere to write
                self.record(f"not-revoked:{record.lease_id}", "lease-not-revoked", data)
        return [lease.record for lease in kept]
