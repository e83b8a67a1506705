"""What stays of a job beyond its run, so that it can be run again: a few of its circuits, their counts, and the device as it was.

Only where the manifest says ``reproduce:``. One sealed file a job (``run/kept_files.py``).
Angles and counts have the class of what the workload saw: docs/adr/0027 says what is kept of them, and why. No row, no token, no name is in it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from pydantic import Field, JsonValue, ValidationError

from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.providers.interface import JobResult
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.kept_files import KeptFiles
from prefect_gatehouse.run.values import AdmittedRun, Plan
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.value import Value
from prefect_gatehouse.workload import plain_form
from prefect_gatehouse.workload.batch import CircuitBatch, joined

FILES = KeptFiles("reproduce", "reproduction:", "what is kept to run again")
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
    content = made.model_dump_json().encode()
    FILES.write(attempt, _name(entry.key), admitted.manifest.owner, admitted.manifest.reproduce.keep, content)


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
    found = []
    for uri, _ in FILES.of_run(ledger, run_id):
        try:
            job = KeptJob.model_validate_json(FILES.read(settings, uri))
        except ValidationError:
            raise Tampered("what was kept does not read", where=uri, advice="run: gatehouse verify") from None
        if _name(job.key) != uri.rpartition("/")[2]:
            raise Tampered("what was kept is another job's", where=uri, advice="run: gatehouse verify")
        found.append(job)
    return sorted(found, key=lambda job: [int(part) for part in job.key.split(":")[1:]])


def _only(batch: CircuitBatch, places: Sequence[int]) -> CircuitBatch:
    wanted = set(places)
    return joined([(template, row[np.newaxis]) for place, (template, row) in enumerate(batch.settings()) if place in wanted])


def _versions() -> Iterator[tuple[str, str]]:
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            yield name, version(name)


def _name(key: str) -> str:
    return "-".join(key.split(":")[1:])
