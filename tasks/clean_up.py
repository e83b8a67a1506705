"""Gate 11, always: the run's data key is shredded first, then jobs, staging, artifacts and spool go, and the ledger closes the run."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime

from sqlalchemy import select, update

from prefect_gatehouse import journal
from prefect_gatehouse.attempt import Attempt
from prefect_gatehouse.errors import Denied, GatehouseError, StorageError
from prefect_gatehouse.leases import CredentialLease
from prefect_gatehouse.ledger.note import ledger_key
from prefect_gatehouse.ledger.seal import ORIGIN, seal
from prefect_gatehouse.ledger.store import Transaction
from prefect_gatehouse.ledger.tables import artifacts
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.registry import provider_for
from prefect_gatehouse.tasks.admit import admit
from prefect_gatehouse.tasks.fetch_credential import fetch_credential
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.values import AdmittedRun, CleanupReceipt, Deletion, Ending
from prefect_gatehouse.write_back import sql
from prefect_gatehouse.write_back.endpoints import endpoint_of


class _NoKey:
    """The sealer of a run whose key is gone: a provider may forget its copy, nobody may read or write one."""

    def seal(self, data: bytes) -> bytes:
        raise StorageError("the run's data key has been shredded", where="clean_up")

    def open(self, sealed: bytes) -> bytes:
        raise StorageError("the run's data key has been shredded", where="clean_up")


def _close(attempt: Attempt, tx: Transaction, receipt: CleanupReceipt) -> None:
    gone = [item.uri for item in receipt.deletions if item.deleted]
    tx.connection.execute(update(artifacts).where(artifacts.c.uri.in_(gone)).values(deleted_at=time.time()))
    attempt.append(tx, "ended", "run-ended", {"ending": receipt.ending})
    tx.set_run(attempt.run_id, status="ended", ending=receipt.ending, wait_until=None)


@gate(CleanupReceipt, and_then=_close, heeds_cancellation=False)
def clean_up(attempt: Attempt, ending: Ending) -> CleanupReceipt:
    """Ends a run; each step may have been done before, by an attempt that died, and is then done already.

    Raises:
        StorageError: An artifact can't be deleted; the run stays open and the sweeper comes again.
    """
    held = len(attempt.leases)
    unrevoked = attempt.release()
    attempt.run_keys.shred(attempt.run_id)
    admitted = admit.kept(attempt)
    cancelled, obligations = _forget_jobs(attempt, admitted)
    if admitted is not None:
        obligations += _empty_staging(attempt, admitted)
    obligations += [f"lease {item.lease_id} of {item.block} was not revoked; it ends by itself" for item in unrevoked]
    with attempt.ledger.reading() as connection:
        owned = set(connection.scalars(select(artifacts.c.uri).where(artifacts.c.run_id == attempt.run_id)))
    deletions = [attempt.store.delete(uri) for uri in sorted(owned | set(attempt.store.uris(attempt.run_id)))]
    deletions.append(_remove_spool(attempt))
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


def end(attempt: Attempt, ending: Ending, reason: str = "") -> CleanupReceipt:
    """Decides the ending, once, then cleans up and signs a head over what has happened.

    The decision comes first: should cleaning up fail, whoever comes next ends the run in the same way.
    """
    attempt.record("ending", "ending-decided", {"ending": ending, "reason": reason[:1000]})
    receipt = clean_up(attempt, decided_ending(attempt) or ending)
    key, _ = ledger_key(attempt.settings.folder(""), ORIGIN)
    seal(attempt.ledger, key)
    return receipt


def decided_ending(attempt: Attempt) -> Ending | None:
    """How the run ends, where that has been decided."""
    event = attempt.event("ending")
    return event.data["ending"] if event is not None else None


def _forget_jobs(attempt: Attempt, admitted: AdmittedRun | None) -> tuple[int, list[str]]:
    """Cancels what runs and deletes the provider's copies; one that stays is an open obligation."""
    cancelled = 0
    obligations: list[str] = []
    for entry in journal.entries(attempt):
        if entry.state == "ambiguous" or (entry.state == "intended" and entry.handle is None):
            obligations.append(f"{entry.key}: a job may exist at {entry.backend}; look it up and cancel it")
        if entry.handle is None or admitted is None:
            continue
        try:
            provider = provider_for(entry.backend, attempt.spool, _NoKey())
            if entry.state == "submitted":
                with CredentialLease(Purpose.SUBMIT, None, None, environment=attempt.settings.environment, tenant=admitted.manifest.tenant) as lease:
                    cancelled += provider.cancel(entry.handle, lease)
            why = provider.delete(entry.handle)
        except GatehouseError as error:
            why = error.message
        if why:
            obligations.append(f"{entry.key}: {why}")
    return cancelled, obligations


def _empty_staging(attempt: Attempt, admitted: AdmittedRun) -> list[str]:
    """Drops the staging table of a write-back that was allowed to begin and did not end; an undeclared database is not even opened."""
    from prefect_gatehouse.tasks.plan import plan
    from prefect_gatehouse.tasks.write_back import write_back

    began = any(event.data.get("action") == "write_back" for event in attempt.ledger.events(attempt.run_id, "policy-decided"))
    if not began or write_back.kept(attempt) is not None:
        return []
    target = admitted.manifest.output.target
    try:
        planned = plan.kept(attempt)
        with fetch_credential(attempt, admitted, Purpose.WRITE_BACK) as address:
            url = address.reveal(Purpose.WRITE_BACK)
            if planned is None or endpoint_of(url) != planned.body.endpoint(target.system):
                raise Denied("the address is not the declared system any more", where=f"systems.{target.system}")
            sql.discard(url, run_id=attempt.run_id)
    except GatehouseError as error:
        return [f"staging of {target.system}/{target.table} may hold rows: {error.message}"]
    return []


def _remove_spool(attempt: Attempt) -> Deletion:
    try:
        if attempt.spool.exists():
            shutil.rmtree(attempt.spool)
    except OSError:
        return Deletion(uri=f"simulator:{attempt.run_id}", deleted=False, note="can't be removed")
    return Deletion(uri=f"simulator:{attempt.run_id}", deleted=True)
