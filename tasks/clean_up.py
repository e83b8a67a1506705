"""Gate 11, always: the run's data key is shredded first, then jobs, staging, artifacts and spool go, and the ledger closes the run."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select, update

from prefect_gatehouse.errors import Denied, GatehouseError, StorageError
from prefect_gatehouse.ledger.events import ArtifactsDeleted, PolicyDecided, RunEnded
from prefect_gatehouse.ledger.projection import OPEN
from prefect_gatehouse.ledger.store import Transaction
from prefect_gatehouse.ledger.tables import artifacts
from prefect_gatehouse.manifest.endpoints import endpoint_of
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.registry import split
from prefect_gatehouse.run import journal, reproducible, reusable
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.credentials import Fetch
from prefect_gatehouse.run.left_jobs import LeftJobs, PutAway
from prefect_gatehouse.run.values import AdmittedRun, CleanupReceipt, Plan, WriteBackReceipt
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.store.artifact import Deletion
from prefect_gatehouse.store.sealer import NoKey
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.vocabulary import Ending
from prefect_gatehouse.write_back import sql

_KEPT = (reproducible.FILES.scheme, reusable.FILES.scheme)
"""What is kept to run again, or to answer identical requests, has a retention of its own."""


def _close(attempt: Attempt, tx: Transaction, receipt: CleanupReceipt) -> None:
    gone = ArtifactsDeleted(uris=tuple(item.uri for item in receipt.deletions if item.deleted), at=time.time())
    attempt.append(tx, f"deleted:{attempt.number}", gone)
    tx.connection.execute(update(artifacts).where(artifacts.c.uri.in_(gone.uris)).values(deleted_at=gone.at))
    attempt.append(tx, "ended", RunEnded(ending=receipt.ending))


@gate(CleanupReceipt, and_then=_close, heeds_cancellation="never")
def clean_up(attempt: Attempt, ending: Ending, fetch: Fetch) -> CleanupReceipt:
    """Ends a run; each step may have been done before, by an attempt that died, and is then done already.

    Raises:
        StorageError: An artifact can't be deleted; the run stays open and the sweeper comes again.
    """
    held = len(attempt.leases)
    unrevoked = attempt.release()
    attempt.run_keys.shred(attempt.run_id)
    admitted = attempt.chain.read(AdmittedRun.gate, AdmittedRun)
    cancelled, obligations = _forget_jobs(attempt, admitted, fetch)
    if admitted is not None:
        obligations += _empty_staging(attempt, admitted, fetch)
    obligations += [f"lease {item.lease_id} of {item.block} was not revoked; it ends by itself" for item in unrevoked]
    with attempt.ledger.reading() as connection:
        uris = connection.scalars(select(artifacts.c.uri).where(artifacts.c.run_id == attempt.run_id))
        owned = {uri for uri in uris if not uri.startswith(_KEPT)}
    deletions = [attempt.store.delete(uri) for uri in sorted(owned | set(attempt.store.uris(attempt.run_id)))]
    deletions += _forget_here(attempt, admitted)
    left = [item.uri for item in deletions if not item.deleted]
    if left:
        raise StorageError(f"{len(left)} artifacts can't be deleted", where="clean_up", advice="fix the permissions; the sweeper tries again")
    return CleanupReceipt(
        run_id=attempt.run_id,
        ending=ending,
        leases_revoked=held - len(unrevoked),
        jobs_cancelled=cancelled,
        key_shredded=True,
        deletions=tuple(deletions),
        obligations=tuple(obligations),
        at=datetime.now(UTC),
    )


def _forget_jobs(attempt: Attempt, admitted: AdmittedRun | None, fetch: Fetch) -> tuple[int, list[str]]:
    """Cancels what runs and deletes the provider's copies; what is left is an obligation in the ledger, which ``reconcile`` goes on with."""
    left = LeftJobs(attempt.ledger, attempt.run_id, attempt.number, attempt.effect)
    done: dict[str, PutAway] = {}
    at: dict[str, list[journal.Entry]] = {}
    for entry in journal.entries(attempt):
        if entry.handle is None and entry.state in OPEN:
            done[entry.key] = PutAway(why=f"a job may exist at {entry.backend}; look it up and cancel it")
            left.note(entry, done[entry.key].why)
        elif entry.handle is not None and admitted is not None:
            at.setdefault(entry.backend, []).append(entry)
    for name, entries in at.items():
        assert admitted is not None  # as above
        try:
            backend = attempt.backend(name, NoKey())
            with _lease(attempt, admitted, fetch) as lease:
                done |= {entry.key: left.put_away(entry, backend, lease) for entry in entries}
        except GatehouseError as error:
            for entry in entries:
                done[entry.key] = PutAway(why=error.message)
                left.note(entry, error.message)
    return sum(each.outcome == "cancelled" for each in done.values()), [f"{key}: {each.why}" for key, each in done.items() if each.why]


def _lease(attempt: Attempt, admitted: AdmittedRun, fetch: Fetch) -> CredentialLease:
    """What signs in at the provider; where nothing does, no event tells of it."""
    if admitted.manifest.credentials.submit is not None:
        return fetch(attempt, admitted, Purpose.SUBMIT)
    return CredentialLease(Purpose.SUBMIT, None, None, environment=attempt.settings.environment, tenant=admitted.manifest.tenant)


def _empty_staging(attempt: Attempt, admitted: AdmittedRun, fetch: Fetch) -> list[str]:
    """Drops the staging table of a write-back that was allowed to begin and did not end; an undeclared database is not even opened."""
    began = any(event.fact.action == "write_back" for event in attempt.ledger.facts(PolicyDecided, run_id=attempt.run_id))
    if not began or attempt.chain.read(WriteBackReceipt.gate, WriteBackReceipt) is not None:
        return []
    target = admitted.manifest.output.target
    try:
        planned = attempt.chain.read(Plan.gate, Plan)
        with fetch(attempt, admitted, Purpose.WRITE_BACK) as address:
            url = address.reveal(Purpose.WRITE_BACK)
            if planned is None or endpoint_of(url) != planned.body.endpoint(target.system):
                raise Denied("the address is not the declared system any more", where=f"systems.{target.system}")
            sql.discard(url, run_id=attempt.run_id)
    except GatehouseError as error:
        return [f"staging of {target.system}/{target.table} may hold rows: {error.message}"]
    return []


def _forget_here(attempt: Attempt, admitted: AdmittedRun | None) -> list[Deletion]:
    """Deletes what providers kept on this side."""
    names = admitted.manifest.execution.backends if admitted is not None else ()
    return [_removed(provider, attempt.kept_by(provider), attempt.run_id) for provider in sorted({split(name)[0] for name in names})]


def _removed(provider: str, folder: Path, run_id: str) -> Deletion:
    uri = f"{provider}:{run_id}"
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError:
        return Deletion(uri=uri, deleted=False, note="can't be removed")
    return Deletion(uri=uri, deleted=True)
