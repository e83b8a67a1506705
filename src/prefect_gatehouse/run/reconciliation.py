"""One look at every job that nobody waits for: which runs can go on, what is left of runs that have ended, and what nobody can explain.

Each provider is asked once for all jobs of a tenant on a device, by search where it has one; a thousand jobs cost a dozen calls and hold no process.
Where a provider has spending limits of its own, its figure is compared with ours: one call a device, in the same visit, and once an hour where there
is nothing else to ask.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.files import safe_name
from prefect_gatehouse.ledger.charges import month_of
from prefect_gatehouse.ledger.events import GateFailed, RunQueued
from prefect_gatehouse.ledger.jobs import JobUnknown, ProviderAsked
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.ledger.spending import devices_used
from prefect_gatehouse.ledger.store import LEDGER, Ledger
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.plurals import counted
from prefect_gatehouse.providers.interface import Backend, Connection, JobState, LimitsSpending, ListsJobs, SeenJob
from prefect_gatehouse.providers.registry import connect, split
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.holding import holding, why_stopped
from prefect_gatehouse.run.left_jobs import LeftJobs, PutAway
from prefect_gatehouse.run.open_jobs import Group, OpenJob, group_of, grouped, known, open_jobs, with_handle
from prefect_gatehouse.run.parts import Parts
from prefect_gatehouse.run.policy_questions import ask_secret
from prefect_gatehouse.run.services import service_to_end_with
from prefect_gatehouse.run.started import Started
from prefect_gatehouse.run.values import ApprovedPlan
from prefect_gatehouse.run.walls import Wall, joined, note, read
from prefect_gatehouse.run.willing import AGAIN_SECONDS
from prefect_gatehouse.secrets.lease import CredentialLease, SecretReader
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.store.sealer import NoKey
from prefect_gatehouse.usd import up

if TYPE_CHECKING:
    from prefect_gatehouse.policy.interface import Policy

_PUT_AWAY = 100  # jobs of ended runs in a round, a handful of calls each: a round stays shorter than the time to the next one
_STRANGERS_SINCE = timedelta(days=1)
_LONGEST_LIST = timedelta(days=30)  # older jobs are asked for by name: an obligation of last year must not have the year listed
_FIGURES_SECONDS = 3600.0  # a device without open jobs: its figure moves only if somebody else uses it, or a bill is late
_ASKED_AT_MOST = 500  # events that are read to see who was asked within that time
_SLACK = timedelta(minutes=15)  # between this machine's clock and a provider's


@dataclass
class Found:
    """What a look came to.

    Attributes:
        ready: Runs that can go on.
        told: One row each for a run or a job: what it is about, what was done, and a note.
        asked: Jobs that providers were asked about.
    """

    ready: list[RunRow] = field(default_factory=list)
    told: list[dict[str, str]] = field(default_factory=list)
    asked: int = 0

    def tell(self, about: str, done: str, note: str = "") -> None:
        """Another row."""
        self.told.append({"about": about, "done": done, "note": note})


class Reconciliation:
    """One look.

    Args:
        settings: The installation's.
        ledger: The open ledger.
        read_secret: Reads a secret by its block reference.
        now: Seconds since the epoch; the clock's unless given.
    """

    def __init__(self, settings: Settings, ledger: Ledger, read_secret: SecretReader, now: float | None = None) -> None:
        self._settings, self._ledger, self._read_secret = settings, ledger, read_secret
        self._now = time.time() if now is None else now
        self._found = Found()
        self._states: dict[str, JobState] = {}
        self._left_to_do = _PUT_AWAY
        self._walls: dict[str, tuple[Wall, ...]] = {}
        """What was read of the limits of each device, by the name that manifests have for it."""
        self._unread: set[str] = set()

    def look(self) -> Found:
        """Asks every provider, puts away what ended runs have left, and says which runs can go on."""
        waiting = [row for row in self._ledger.runs() if row.ending is None and (row.status == "queued" or self._lost_sight(row))]
        names = {row.run_id for row in waiting}
        jobs = [job for job in open_jobs(self._ledger) if job.ended or job.run_id in names]
        groups, broken = grouped(self._ledger, jobs)
        for job, error in broken:
            self._found.tell(job.entry.key, "not asked", str(error))
        for group in groups:
            try:
                self._ask(group)
            except GatehouseError as error:
                self._found.tell(group.backend, "not asked", f"{counted(len(group.jobs), 'job')}: {error}")
                for job in group.jobs:
                    if job.ended:
                        self._of(job).note(job.entry, error.message)
        self._look_at_figures({group.backend for group in groups})
        self._found.ready += [row for row in waiting if self._may_go_on(row, [job for job in jobs if job.run_id == row.run_id])]
        return self._found

    @cached_property
    def _policy(self) -> Policy:
        """The policy of the day: a job is looked after, and cancelled, whatever has become of the one that its run was approved under."""
        return Parts(self._settings, Chain(self._ledger, LEDGER), lambda: True, lambda block: {}).policy

    def _ask(self, group: Group) -> None:
        with self._signed_in(group) as lease:
            backend = self._connected(group)
            seen = self._seen(group, backend, lease)
            for job in self._in_turn([job for job in group.jobs if job.ended]):
                self._put_away(job, backend, lease, seen)
            self._read_limits(group.backend, backend, lease)
        self._found.asked += len(group.jobs)

    @contextmanager
    def _signed_in(self, group: Group) -> Iterator[CredentialLease]:
        """A lease of the group's credential, where the policy of the day lets it be fetched."""
        environment, manifest = self._settings.environment, group.admitted.manifest
        ask_secret(self._policy, group.admitted, Purpose.SUBMIT, environment, Started("process", group.cell))
        block = group.block
        service = service_to_end_with(self._settings, group.admitted, Purpose.SUBMIT, block) if block is not None else ""
        secret = self._read_secret(block) if block is not None else None
        with CredentialLease(Purpose.SUBMIT, block, secret, environment=environment, tenant=manifest.tenant, service=service) as lease:
            self._tell_asked(group, lease)
            yield lease

    def _connected(self, group: Group) -> Backend:
        folder = self._settings.folder("providers") / safe_name(split(group.backend)[0], "the provider") / group.admitted.run_id
        return connect(group.backend, Connection(folder, NoKey(), group.settings, prices=self._settings.prices))

    def _look_at_figures(self, visited: set[str]) -> None:
        """Compares what the providers have for devices with what we have, those that were used this month and not visited for jobs included.

        Several names may mean one device, whose limit is about all of them: a provider's figures are compared where all of its devices were read.
        """
        with self._ledger.reading() as connection:
            devices = devices_used(connection, month_of(self._now))
        held = holding(self._settings, self._ledger)
        due = {split(name)[0] for name in visited | (devices.keys() - self._asked_lately())}
        for name in sorted(each for each in devices.keys() - visited if split(each)[0] in due):
            try:
                group = group_of(self._ledger, devices[name], name)
                row = self._ledger.run(group.admitted.run_id)
                if row is None or why_stopped(held, row, (name,)):
                    continue  # no credential is fetched for it but to cancel its jobs
                backend = self._connected(group)
                if isinstance(backend, LimitsSpending):
                    with self._signed_in(group) as lease:
                        self._read_limits(name, backend, lease)
            except GatehouseError as error:
                self._found.tell(name, "not compared", str(error))
        unread = {split(name)[0] for name in devices if name not in self._walls or name in self._unread}
        for wall in joined(chain.from_iterable(walls for name, walls in self._walls.items() if split(name)[0] not in unread)):
            if wall.differs:
                note(self._ledger, wall)
                figures = f"until {wall.limit.end:%Y-%m-%d} the provider has {up(wall.theirs)} USD, we have {up(wall.ours)}"
                self._found.tell(wall.backend, "spending differs", figures)

    def _asked_lately(self) -> set[str]:
        since = self._now - _FIGURES_SECONDS
        newest = self._ledger.newest(ProviderAsked, limit=_ASKED_AT_MOST)
        return {event.fact.backend for event in newest if event.when.timestamp() > since}

    def _read_limits(self, name: str, backend: Backend, lease: CredentialLease) -> None:
        """Once a round for each device; the jobs were looked after before, so what a limit's figure is made of has just been asked for."""
        if name in self._walls or not isinstance(backend, LimitsSpending):
            return
        try:
            self._walls[name] = read(self._ledger, name, backend, lease, datetime.fromtimestamp(self._now, UTC))
        except GatehouseError as error:
            self._walls[name] = ()
            self._unread.add(name)
            self._found.tell(name, "not compared", str(error))

    def _seen(self, group: Group, backend: Backend, lease: CredentialLease) -> dict[str, SeenJob]:
        """Where the jobs are, into ``_states`` by handle; what a search has shown once for a key, by key."""
        seen: tuple[SeenJob, ...] = ()
        if isinstance(backend, ListsJobs):
            now = datetime.fromtimestamp(self._now, UTC)
            oldest = datetime.fromtimestamp(group.jobs[0].entry.intended, UTC) - _SLACK
            seen = backend.tasks_since(max(min(oldest, now - _STRANGERS_SINCE), now - _LONGEST_LIST), lease)
            self._tell_unknown(group.backend, seen)
        states = {each.handle: each.state for each in seen}
        missing = [job.entry.handle for job in group.jobs if job.entry.handle is not None and job.entry.handle not in states]
        if missing:
            states |= {handle: status.state for handle, status in backend.statuses(missing, lease).items()}
        self._states |= states
        times = Counter(each.key for each in seen)
        return {each.key: each for each in seen if times[each.key] == 1}

    def _in_turn(self, jobs: list[OpenJob]) -> list[OpenJob]:
        """From another one every minute: jobs that can't be put away must not keep a round from the others."""
        first = int(self._now // 60) % len(jobs) if jobs else 0
        return jobs[first:] + jobs[:first]

    def _put_away(self, job: OpenJob, backend: Backend, lease: CredentialLease, seen: dict[str, SeenJob]) -> None:
        if self._left_to_do <= 0:
            return
        self._left_to_do -= 1
        if job.entry.handle is None:
            try:
                found = seen[job.entry.key].handle if job.entry.key in seen else backend.find_by_key(job.entry.key, lease)
            except GatehouseError as error:  # several jobs for one key, or nobody answers
                self._of(job).note(job.entry, error.message)
                self._found.tell(job.entry.key, "left", str(error))
                return
            job = with_handle(job, found) if found is not None else job
        state = self._states.get(job.entry.handle) if job.entry.handle is not None else None
        done = self._of(job).put_away(job.entry, backend, lease, state)
        words = _in_words(done)
        if words or done.why:
            self._found.tell(job.entry.key, words or "left", done.why)

    def _of(self, job: OpenJob) -> LeftJobs:
        return LeftJobs(self._ledger, job.run_id, job.attempt, self._ledger.transaction)

    def _lost_sight(self, row: RunRow) -> bool:
        """Whether a run failed because its provider did not answer, which costs nothing to try again: within the approval's deadline nobody has to.

        One whose last attempt failed at anything else waits for a person.
        """
        if row.status != "failed":
            return False
        failures = self._ledger.facts(GateFailed, row.run_id)
        if not failures or failures[-1].attempt != row.attempt or failures[-1].fact.gate not in {"submit", "collect"} or not failures[-1].fact.retry:
            return False
        approved = Chain(self._ledger, row.run_id).read(ApprovedPlan.gate, ApprovedPlan)
        return approved is not None and self._now < approved.decided_at.timestamp() + approved.plan.body.deadline_seconds

    def _may_go_on(self, row: RunRow, jobs: list[OpenJob]) -> bool:
        queued = self._ledger.find(f"{row.run_id}:queued:{row.attempt}", RunQueued) if row.status == "queued" else None
        if queued is not None and queued.fact.resume_at is not None:
            return self._now >= queued.fact.resume_at
        states_here = {job.entry.state for job in jobs}
        if row.status == "failed" and states_here != {"submitted"}:  # it failed before all of its round's jobs were made
            return self._now >= row.updated + AGAIN_SECONDS
        # One that the provider tells nothing about may be in its queue: the run's deadline ends that.
        states = [self._states.get(job.entry.handle or "", "queued") for job in jobs if job.entry.state == "submitted"]
        return all(state not in {"queued", "running"} for state in states)

    def _tell_asked(self, group: Group, lease: CredentialLease) -> None:
        record = lease.record
        if record.block is None:
            return
        fact = ProviderAsked(
            backend=group.backend,
            tenant=record.tenant,
            environment=record.environment,
            block=record.block,
            secret_version=record.version,
            lease=record.lease_id,
            service=record.service,
            jobs=len(group.jobs),
        )
        with self._ledger.transaction() as tx:
            tx.append(f"asked:{record.lease_id}", LEDGER, fact)

    def _tell_unknown(self, backend: str, seen: tuple[SeenJob, ...]) -> None:
        ours = known(self._ledger, {each.key for each in seen})
        for each in seen:
            handle = ours.get(each.key, "")
            if handle is None or handle == each.handle:
                continue  # an intent without a handle is this job's
            why = "no journal knows its key" if handle == "" else "its key has another job"
            self._found.tell(each.handle, "unknown", f"{why}: {each.key}, {each.state} at {backend}")
            name = hashlib.sha256(each.handle.encode()).hexdigest()[:32]
            with self._ledger.transaction() as tx:
                tx.append(f"unknown:{name}", LEDGER, JobUnknown(backend=backend, job=each.handle, key=each.key[:200], state=each.state))


def _in_words(done: PutAway) -> str:
    outcome = f"{done.outcome}, {done.cost.normalize():f} USD" if done.outcome else ""
    return f"{outcome}; obligation met".removeprefix("; ") if done.met else outcome
