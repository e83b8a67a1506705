"""Sealed files that stay beyond their run because its manifest says so, each with an owner, an end and a receipt.

They lie under a key of their run's own that is not the run's data key, so that the clean-up's first step does not take them; each is entered in the
ledger as an artifact, and the sweeper deletes it when its time is over, the key with the last of a run's.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select, update

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.errors import GatehouseError, StorageError
from prefect_gatehouse.files import replace_file, safe_name
from prefect_gatehouse.ledger.events import ArtifactsDeleted
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.ledger.tables import artifacts
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.store.artifact import Deletion
from prefect_gatehouse.store.retention import Until, as_entered
from prefect_gatehouse.store.run_keys import RunKeys


@dataclass(frozen=True)
class KeptFiles:
    """Files of one kind.

    Attributes:
        folder: Below the home; their keys are in ``<folder>-keys``.
        scheme: What their URIs begin with.
        what: What they are, for messages.
    """

    folder: str
    scheme: str
    what: str

    def write(self, attempt: Attempt, name: str, owner: str, keep: timedelta, content: bytes) -> None:
        """Keeps a file of the attempt's run; again, it takes the place of the one before.

        Raises:
            StorageError: The disk does not take it.
        """
        # First: what has no owner is never on the disk.
        attempt.enter(f"{self.scheme}{attempt.run_id}/{name}", owner, keep, f"{self.scheme}{name}")
        sealer = RunKeys(self._keys(attempt.settings)).obtain(attempt.run_id).sealer()
        path = self._folder(attempt.settings, attempt.run_id) / name
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(path, sealer.seal(content))
        except OSError as error:
            advice = "free space, then resume the run"
            raise StorageError(f"{self.what} can't be written: {error.strerror}", where="collect", advice=advice) from None

    def read(self, settings: Settings, uri: str) -> bytes:
        """What a file holds.

        Raises:
            StorageError: It is gone, or its key is.
            Tampered: It is not what was written.
        """
        run_id, _, name = uri.removeprefix(self.scheme).partition("/")
        sealer = RunKeys(self._keys(settings)).load(run_id).sealer()
        try:
            sealed = (self._folder(settings, run_id) / name).read_bytes()
        except OSError:
            raise StorageError("what was kept is gone", where=uri, advice="look at the backup, or start a new run") from None
        return sealer.open(sealed)

    def of_run(self, ledger: Ledger, run_id: str) -> list[tuple[str, float]]:
        """URIs that are not deleted yet, and until when they stay."""
        query = select(artifacts.c.uri, artifacts.c.retain_until).where(artifacts.c.run_id == run_id, artifacts.c.deleted_at.is_(None))
        with ledger.reading() as connection:
            return [(row.uri, row.retain_until) for row in connection.execute(query) if row.uri.startswith(self.scheme)]

    def named(self, ledger: Ledger, name: str, now: float) -> list[str]:
        """URIs of all runs' files of a name that stay for longer than now."""
        here = artifacts.c.uri.startswith(self.scheme, autoescape=True) & artifacts.c.uri.endswith(f"/{name}", autoescape=True)
        query = select(artifacts.c.uri).where(here, artifacts.c.deleted_at.is_(None), artifacts.c.retain_until > now)
        with ledger.reading() as connection:
            return list(connection.scalars(query.order_by(artifacts.c.retain_until.desc())))

    def delete_due(self, settings: Settings, ledger: Ledger, now: float, until: Until = as_entered) -> list[Deletion]:
        """Deletes what has been kept for as long as it may be, with receipts; once a run has ended its key goes first, with the last of it.

        Args:
            settings: The installation's.
            ledger: Where it is entered.
            now: Seconds since the epoch; what counts as passed.
            until: Says how long each stays that was entered until a time.
        """
        query = (
            select(artifacts.c.run_id).where(artifacts.c.uri.startswith(self.scheme, autoescape=True), artifacts.c.deleted_at.is_(None)).distinct()
        )
        with ledger.reading() as connection:
            runs = set(connection.scalars(query))
        # A run that went on for longer than it keeps has a key when all that it opened is gone.
        runs |= {path.stem for path in self._keys(settings).glob("*.key")}
        return [deletion for run_id in sorted(runs) for deletion in self._deleted(settings, ledger, run_id, now, until)]

    def _deleted(self, settings: Settings, ledger: Ledger, run_id: str, now: float, stays: Until) -> list[Deletion]:
        kept, row = self.of_run(ledger, run_id), ledger.run(run_id)
        due = [uri for uri, until in kept if until <= now and stays(uri, until) <= now]
        try:
            if len(due) == len(kept) and (row is None or row.ending is not None):
                RunKeys(self._keys(settings)).shred(run_id)
            if due:
                self._delete(self._folder(settings, run_id), ledger, run_id, due, now)
        except (OSError, GatehouseError):
            return [Deletion(uri=uri, deleted=False, note="can't be deleted; the sweeper tries again") for uri in due]
        return [Deletion(uri=uri, deleted=True) for uri in due]

    def _delete(self, folder: Path, ledger: Ledger, run_id: str, uris: list[str], now: float) -> None:
        for uri in uris:
            (folder / uri.rpartition("/")[2]).unlink(missing_ok=True)
        with suppress(OSError):  # another job's is still there
            folder.rmdir()
        with ledger.transaction() as tx:
            tx.append(f"{run_id}:deleted:{self.scheme}{digest(uris)[:12]}", run_id, ArtifactsDeleted(uris=tuple(uris), at=now))
            tx.connection.execute(update(artifacts).where(artifacts.c.uri.in_(uris)).values(deleted_at=now))

    def _folder(self, settings: Settings, run_id: str) -> Path:
        return settings.home / self.folder / safe_name(run_id, "the run id")

    def _keys(self, settings: Settings) -> Path:
        return settings.home / f"{self.folder}-keys"
