"""The jobs of all runs that somebody still has to ask a provider about, grouped so that each provider is asked once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from sqlalchemy import Select, select

from prefect_gatehouse.canonical import Json, canonical
from prefect_gatehouse.errors import GatehouseError, Tampered
from prefect_gatehouse.ledger.jobs import JobGone, JobLeft
from prefect_gatehouse.ledger.projection import OPEN
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.ledger.tables import runs, submissions
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.registry import block_of
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.journal import Entry
from prefect_gatehouse.run.values import AdmittedRun, Plan
from prefect_gatehouse.vocabulary import CellName

_AT_ONCE = 500  # names in a query: databases take no end of them


@dataclass(frozen=True)
class OpenJob:
    """A job.

    Attributes:
        run_id: Its run.
        attempt: The run's last attempt.
        ended: Whether the run has ended; otherwise no process drives it.
        entry: Of the journal.
    """

    run_id: str
    attempt: int
    ended: bool
    entry: Entry


@dataclass
class Group:
    """Jobs that one connection with one credential can ask about.

    Attributes:
        backend: Name of the backend.
        admitted: One of their runs: its manifest names tenant and credential.
        settings: Of the backend, as in their plans.
        cell: Where their workloads ran.
        jobs: Oldest first.
    """

    backend: str
    admitted: AdmittedRun
    settings: dict[str, Json]
    cell: CellName
    jobs: list[OpenJob] = field(default_factory=list)

    @property
    def block(self) -> str | None:
        """The block with the credential."""
        return self.admitted.manifest.credentials.of(Purpose.SUBMIT)


_ENTRY = tuple(submissions.c[name] for name in Entry.__dataclass_fields__)


def open_jobs(ledger: Ledger) -> list[OpenJob]:
    """Jobs of runs that wait for them or have failed, and of runs that have ended without being done with them; oldest first."""
    query = select(*_ENTRY, submissions.c.run_id, runs.c.attempt, runs.c.ending).join(runs, runs.c.run_id == submissions.c.run_id)
    waiting = query.where(submissions.c.state.in_(OPEN), runs.c.ending.is_not(None) | runs.c.status.in_(("queued", "failed")))
    found = {job.entry.key: job for job in _read(ledger, waiting)}
    for part in _parts(sorted(left(ledger) - found.keys())):
        found |= {job.entry.key: job for job in _read(ledger, query.where(submissions.c.key.in_(part), runs.c.ending.is_not(None)))}
    return sorted(found.values(), key=lambda job: job.entry.intended)


def left(ledger: Ledger) -> set[str]:
    """Keys of the jobs of ended runs that are not done with at their provider."""
    return {event.fact.key for event in ledger.facts(JobLeft)} - {event.fact.key for event in ledger.facts(JobGone)}


def known(ledger: Ledger, keys: Iterable[str]) -> dict[str, str | None]:
    """Those of these keys that the journal has, with the handle that it has."""
    found: dict[str, str | None] = {}
    for part in _parts(sorted(keys)):
        with ledger.reading() as connection:
            rows = connection.execute(select(submissions.c.key, submissions.c.handle).where(submissions.c.key.in_(part)))
            found |= {row.key: row.handle for row in rows}
    return found


def grouped(ledger: Ledger, jobs: Iterable[OpenJob]) -> tuple[list[Group], list[tuple[OpenJob, GatehouseError]]]:
    """The jobs by backend, settings, tenant and credential; and those of runs whose plan can't be read, with the reason."""
    groups: dict[tuple[str, str, str | None, bytes, CellName], Group] = {}
    broken: list[tuple[OpenJob, GatehouseError]] = []
    of_run: dict[tuple[str, str], Group] = {}
    for job in jobs:
        backend = job.entry.backend
        try:
            if (job.run_id, backend) not in of_run:
                plan = _plan(ledger, job.run_id)
                settings, manifest = plan.body.settings_of(backend), plan.admitted.manifest
                # What runs on this machine keeps each run's jobs in a folder of its own.
                place = backend if block_of(backend) is not None else f"{backend} of {job.run_id}"
                name = (place, manifest.tenant, manifest.credentials.of(Purpose.SUBMIT), canonical(settings), plan.body.cell)
                of_run[job.run_id, backend] = groups.setdefault(name, Group(backend, plan.admitted, settings, plan.body.cell))
        except GatehouseError as error:
            broken.append((job, error))
            continue
        of_run[job.run_id, backend].jobs.append(job)
    return list(groups.values()), broken


def group_of(ledger: Ledger, run_id: str, backend: str) -> Group:
    """No jobs, and the way to the provider that a run's plan has.

    Raises:
        Tampered: The ledger does not have the plan.
    """
    plan = _plan(ledger, run_id)
    return Group(backend, plan.admitted, plan.body.settings_of(backend), plan.body.cell)


def _plan(ledger: Ledger, run_id: str) -> Plan:
    plan = Chain(ledger, run_id).read(Plan.gate, Plan)
    if plan is None:
        raise Tampered("the ledger does not have what led to this run's jobs", where=run_id, advice="run: gatehouse verify")
    return plan


def with_handle(job: OpenJob, handle: str) -> OpenJob:
    """A job whose handle was found."""
    return replace(job, entry=replace(job.entry, handle=handle))


def _read(ledger: Ledger, query: Select[tuple[object, ...]]) -> list[OpenJob]:
    with ledger.reading() as connection:
        rows = [row._asdict() for row in connection.execute(query)]
    return [OpenJob(row.pop("run_id"), row.pop("attempt"), row.pop("ending") is not None, Entry(**row)) for row in rows]


def _parts(names: list[str]) -> Iterator[list[str]]:
    return (names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE))
