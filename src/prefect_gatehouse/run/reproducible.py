"""What stays of a job beyond its run, so that it can be run again: a few of its circuits, their counts, and the device as it was.

Only where the manifest says ``reproduce:``. One sealed file a job, under a key of its run's own that is not the run's data key, so that the
clean-up's first step does not take it; entered in the ledger as an artifact with owner and retention, and deleted by the sweeper with a receipt.
Angles and counts have the class of what the workload saw: docs/adr/0027 says what is kept of them, and why. No row, no token, no name is in it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from pydantic import Field, JsonValue, ValidationError
from sqlalchemy import select, update

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.errors import GatehouseError, StorageError, Tampered
from prefect_gatehouse.files import replace_file, safe_name
from prefect_gatehouse.ledger.events import ArtifactsDeleted
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.ledger.tables import artifacts
from prefect_gatehouse.providers.interface import JobResult
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.values import AdmittedRun, Plan
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.store.artifact import Deletion
from prefect_gatehouse.store.run_keys import RunKeys
from prefect_gatehouse.value import Value
from prefect_gatehouse.workload import plain_form
from prefect_gatehouse.workload.batch import CircuitBatch, joined

SCHEME = "reproduction:"
_PACKAGES = ("qiskit", "qiskit-aer", "qiskit-ibm-runtime", "amazon-braket-sdk", "amazon-braket-schemas", "prefect-gatehouse")


class KeptJob(Value):
    """One job, as far as it is needed to run it again."""

    key: str = Field(description="run:round:job:fallback")
    backend: str
    device: str = Field(description="The provider and what it called this version of its device.")
    handle: str
    shots: int
    circuits: int = Field(description="That the job had.")
    places: tuple[int, ...] = Field(description="Which of them are kept, from 0.")
    payload: str = Field(description="Those in the plain form, base64.")
    counts: tuple[dict[str, int], ...] = Field(description="What each of them gave.")
    settings: dict[str, JsonValue] = Field(description="How they were transpiled on this side, seed included; empty where the provider compiles.")
    versions: dict[str, str] = Field(description="Of what made, sent and read them.")
    calibration: str = Field(description="Raw, at execution, base64; empty where the backend has none.")
    queue_seconds: float
    run_seconds: float
    at: datetime = Field(description="When the result was read.")

    @property
    def batch(self) -> CircuitBatch:
        """The kept circuits.

        Raises:
            Tampered: They do not read.
        """
        return plain_form.decode(base64.b64decode(self.payload))[0]

    @property
    def calibrated(self) -> bytes:
        """The raw calibration."""
        return base64.b64decode(self.calibration)


def keep(attempt: Attempt, entry: journal.Entry, result: JobResult) -> None:
    """Keeps a job whose result has come, if the manifest says so; called before the job is settled, and again changes nothing.

    Args:
        attempt: Who collects.
        entry: The job.
        result: What it gave.

    Raises:
        StorageError: The disk does not take it; the job is collected again when the run is resumed.
    """
    admitted = attempt.chain.read(AdmittedRun.gate, AdmittedRun)
    if admitted is None or admitted.manifest.reproduce is None:
        return
    plan, backend = attempt.chain.read(Plan.gate, Plan), attempt.backend(entry.backend)
    found = plan.body.backend(entry.backend) if plan is not None else None
    batch, shots = plain_form.decode(backend.plain_form(journal.payload_of(attempt, entry)))
    places = sample(len(batch), admitted.manifest.reproduce.circuits)
    made = KeptJob(
        key=entry.key,
        backend=entry.backend,
        device=f"{found.provider} {found.version}" if found is not None else "",
        handle=entry.handle or "",
        shots=shots,
        circuits=len(batch),
        places=places,
        payload=base64.b64encode(plain_form.write(_only(batch, places), shots)).decode(),
        counts=tuple(dict(result.counts[place]) for place in places),
        settings=found.prepared.settings if found is not None and found.prepared is not None else {},
        versions=dict(_versions()),
        calibration=base64.b64encode(result.calibration).decode(),
        queue_seconds=result.queue_seconds,
        run_seconds=result.run_seconds,
        at=datetime.now(UTC),
    )
    keep_for = admitted.manifest.reproduce.keep
    # First: what has no owner is never on the disk.
    attempt.enter(f"{SCHEME}{attempt.run_id}/{_name(entry.key)}", admitted.manifest.owner, keep_for, f"{SCHEME}{_name(entry.key)}")
    sealer = RunKeys(_keys(attempt.settings)).obtain(attempt.run_id).sealer()
    path = _folder(attempt.settings, attempt.run_id) / _name(entry.key)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, sealer.seal(made.model_dump_json().encode()))
    except OSError as error:
        advice = "free space, then resume the run"
        raise StorageError(f"what is kept to run again can't be written: {error.strerror}", where="collect", advice=advice) from None


def sample(circuits: int, most: int) -> tuple[int, ...]:
    """Places of at most so many circuits, evenly spread over all of them, the first and the last among them."""
    if most == 1:
        return (0,)
    return tuple(sorted({round(place * (circuits - 1) / (most - 1)) for place in range(most)})) if circuits > most else tuple(range(circuits))


def read_kept(settings: Settings, ledger: Ledger, run_id: str) -> list[KeptJob]:
    """What is kept of a run, in order of round and job; nothing where nothing was kept or its retention has passed.

    Raises:
        StorageError: The key or a file is gone although its retention has not passed.
        Tampered: A file is not what was written.
    """
    wanted = [uri for uri, _ in _open(ledger, run_id)]
    if not wanted:
        return []
    sealer = RunKeys(_keys(settings)).load(run_id).sealer()
    found = []
    for uri in wanted:
        try:
            sealed = (_folder(settings, run_id) / uri.rpartition("/")[2]).read_bytes()
        except OSError:
            raise StorageError("what was kept is gone", where=uri, advice="look at the backup, or start a new run") from None
        try:
            job = KeptJob.model_validate_json(sealer.open(sealed))
        except ValidationError:
            raise Tampered("what was kept does not read", where=uri, advice="run: gatehouse verify") from None
        if _name(job.key) != uri.rpartition("/")[2]:
            raise Tampered("what was kept is another job's", where=uri, advice="run: gatehouse verify")
        found.append(job)
    return sorted(found, key=lambda job: [int(part) for part in job.key.split(":")[1:]])


def delete_due(settings: Settings, ledger: Ledger, now: float) -> list[Deletion]:
    """Deletes what has been kept for as long as it may be, with receipts; once a run has ended its key goes first, with the last of it.

    Args:
        settings: The installation's.
        ledger: Where it is entered.
        now: Seconds since the epoch; what counts as passed.
    """
    query = select(artifacts.c.run_id).where(artifacts.c.uri.startswith(SCHEME, autoescape=True), artifacts.c.deleted_at.is_(None)).distinct()
    with ledger.reading() as connection:
        runs = set(connection.scalars(query))
    # A run that went on for longer than it keeps has a key when all that it opened is gone.
    runs |= {path.stem for path in _keys(settings).glob("*.key")}
    return [deletion for run_id in sorted(runs) for deletion in _deleted(settings, ledger, run_id, now)]


def _deleted(settings: Settings, ledger: Ledger, run_id: str, now: float) -> list[Deletion]:
    kept, row = _open(ledger, run_id), ledger.run(run_id)
    due = [uri for uri, until in kept if until <= now]
    try:
        if len(due) == len(kept) and (row is None or row.ending is not None):
            RunKeys(_keys(settings)).shred(run_id)
        if due:
            _delete(_folder(settings, run_id), ledger, run_id, due, now)
    except (OSError, GatehouseError):
        return [Deletion(uri=uri, deleted=False, note="can't be deleted; the sweeper tries again") for uri in due]
    return [Deletion(uri=uri, deleted=True) for uri in due]


def _delete(folder: Path, ledger: Ledger, run_id: str, uris: list[str], now: float) -> None:
    for uri in uris:
        (folder / uri.rpartition("/")[2]).unlink(missing_ok=True)
    with suppress(OSError):  # another job's is still there
        folder.rmdir()
    with ledger.transaction() as tx:
        tx.append(f"{run_id}:deleted:{SCHEME}{digest(uris)[:12]}", run_id, ArtifactsDeleted(uris=tuple(uris), at=now))
        tx.connection.execute(update(artifacts).where(artifacts.c.uri.in_(uris)).values(deleted_at=now))


def _open(ledger: Ledger, run_id: str) -> list[tuple[str, float]]:
    """URIs that are not deleted yet, and until when they stay."""
    query = select(artifacts.c.uri, artifacts.c.retain_until).where(artifacts.c.run_id == run_id, artifacts.c.deleted_at.is_(None))
    with ledger.reading() as connection:
        return [(row.uri, row.retain_until) for row in connection.execute(query) if row.uri.startswith(SCHEME)]


def _only(batch: CircuitBatch, places: Sequence[int]) -> CircuitBatch:
    wanted = set(places)
    return joined([(template, row[np.newaxis]) for place, (template, row) in enumerate(batch.settings()) if place in wanted])


def _versions() -> Iterator[tuple[str, str]]:
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            yield name, version(name)


def _name(key: str) -> str:
    return "-".join(key.split(":")[1:])


def _folder(settings: Settings, run_id: str) -> Path:
    return settings.home / "reproduce" / safe_name(run_id, "the run id")


def _keys(settings: Settings) -> Path:
    return settings.home / "reproduce-keys"
