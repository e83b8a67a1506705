"""The ledger: events in one hash chain, fenced by attempt, appended in the transaction of what they tell.

An event's body is RFC 8785 JSON that names the leaf hash of the event before it; the leaf hash is RFC 6962's. Identifiers come
from the caller, so that an append whose acknowledgement was lost is found again instead of repeated.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, inspect, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from prefect_gatehouse.canonical import Json, canonical, parse
from prefect_gatehouse.errors import StorageError, Superseded
from prefect_gatehouse.ledger.connect import cause_of, open_engine
from prefect_gatehouse.ledger.merkle import leaf_hash
from prefect_gatehouse.ledger.tables import events, heartbeats, metadata, runs

GENESIS = "0" * 64
# Any constant will do: it names the one lock that orders appends on PostgreSQL.
_APPEND_LOCK = 0x6761746568
SILENT_SECONDS = 120.0
"""A process that gave no sign of life for so long is taken for dead: it renews its heartbeat eight times in that time."""


@dataclass(frozen=True)
class Event:
    """One entry as it was written."""

    seq: int
    event_id: str
    run_id: str
    kind: str
    at: str
    attempt: int
    data: Mapping[str, Any]
    leaf: str

    @classmethod
    def of(cls, row: Any) -> Event:
        """The event of a table row; fields come from the hashed body, not from the index columns."""
        body: Any = parse(row.body)
        return cls(body["seq"], body["id"], body["run"], body["kind"], body["at"], body["attempt"], body["data"], row.leaf)


@dataclass(frozen=True)
class RunRow:
    """What the ledger knows of a run at a glance.

    Attributes:
        status: ``running``, ``waiting`` (for an approval), ``suspended`` (by hand, in Prefect), ``failed`` (can be resumed), ``scheduled``
            (was resumed, no process has taken it up yet) or ``ended``.
        wait_until: Until when it waits or can be resumed, seconds since the epoch.
        last_sign: When a process that drives it gave its last sign of life, seconds since the epoch.
    """

    run_id: str
    attempt: int
    status: str
    ending: str | None
    pipeline: str
    tenant: str
    environment: str
    tier: str
    ticket: str
    requester: str
    started: float
    updated: float
    wait_until: float | None
    message: str
    last_sign: float

    def silent_for(self, now: float | None = None) -> float | None:
        """Seconds since the last sign of life of the process that drives the run; None where no process should."""
        return max(0.0, (time.time() if now is None else now) - self.last_sign) if self.status == "running" else None

    def is_lost(self, now: float | None = None) -> bool:
        """Whether the run counts as running, but its process has been silent for so long that it is taken for dead."""
        silent = self.silent_for(now)
        return silent is not None and silent > SILENT_SECONDS


_RUNS = select(runs, func.coalesce(heartbeats.c.at, runs.c.updated).label("last_sign")).outerjoin(heartbeats, heartbeats.c.run_id == runs.c.run_id)


class Transaction:
    """One write transaction; everything in it commits together or not at all."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def append(self, event_id: str, run_id: str, kind: str, data: Mapping[str, Json], *, attempt: int = 0) -> bool:
        """Appends an event; False where one with this identifier is there already (nothing is written then).

        Args:
            event_id: The caller's identifier of the event, unique in the ledger.
            run_id: The run, or 'ledger' for what belongs to none.
            kind: What happened, such as ``gate-passed``.
            data: Value-free facts.
            attempt: The attempt that acts.
        """
        if self.connection.scalar(select(events.c.seq).where(events.c.event_id == event_id)) is not None:
            return False
        last = self.connection.execute(select(events.c.seq, events.c.leaf).order_by(events.c.seq.desc()).limit(1)).first()
        seq, previous = (last.seq + 1, last.leaf) if last is not None else (1, GENESIS)
        body = canonical(
            {
                "seq": seq,
                "id": event_id,
                "run": run_id,
                "kind": kind,
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "attempt": attempt,
                "prev": previous,
                "data": data,
            }
        )
        self.connection.execute(
            insert(events).values(seq=seq, event_id=event_id, run_id=run_id, kind=kind, body=body.decode(), leaf=leaf_hash(body).hex())
        )
        return True

    def set_run(self, run_id: str, **columns: object) -> None:
        """Updates the run's row."""
        self.connection.execute(update(runs).where(runs.c.run_id == run_id).values(updated=time.time(), **columns))


class Ledger:
    """An open ledger.

    Args:
        url: SQLAlchemy URL; SQLite (WAL, synchronous FULL) or PostgreSQL.

    Raises:
        StorageError: The database can't be opened.
    """

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)
        with self._guarded():
            present = set(metadata.tables) <= set(inspect(self._engine).get_table_names())
        if not present:  # a new ledger, or one of a version that had fewer tables
            # In one write transaction, so that two processes that start at once do not both create.
            with self.transaction() as tx:
                metadata.create_all(tx.connection)

    def close(self) -> None:
        """Gives the connections back."""
        self._engine.dispose()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise StorageError(
                f"the ledger can't be used: {cause_of(error)}",
                where="ledger",
                advice="check disk space, permissions and GATEHOUSE_LEDGER_URL, then resume the run",
            ) from None

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A write transaction; appends are ordered, so only one runs at a time."""
        with self._guarded(), self._engine.connect() as connection:
            connection = connection.execution_options(gatehouse_write=True)
            with connection.begin():
                if connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _APPEND_LOCK})
                yield Transaction(connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent view."""
        with self._guarded(), self._engine.connect() as connection, connection.begin():
            yield connection

    def event(self, event_id: str) -> Event | None:
        """One event by its identifier."""
        with self.reading() as connection:
            row = connection.execute(select(events).where(events.c.event_id == event_id)).first()
        return Event.of(row) if row is not None else None

    def events(self, run_id: str | None = None, kind: str | None = None) -> list[Event]:
        """Events in order, of one run or one kind where given."""
        query = select(events).order_by(events.c.seq)
        if run_id is not None:
            query = query.where(events.c.run_id == run_id)
        if kind is not None:
            query = query.where(events.c.kind == kind)
        with self.reading() as connection:
            return [Event.of(row) for row in connection.execute(query)]

    def size(self) -> int:
        """How many events there are."""
        with self.reading() as connection:
            return connection.scalar(select(func.count()).select_from(events)) or 0

    def run(self, run_id: str) -> RunRow | None:
        """One run's row."""
        with self.reading() as connection:
            row = connection.execute(_RUNS.where(runs.c.run_id == run_id)).first()
        return RunRow(**row._asdict()) if row is not None else None

    def runs(self) -> list[RunRow]:
        """All runs, newest first."""
        with self.reading() as connection:
            return [RunRow(**row._asdict()) for row in connection.execute(_RUNS.order_by(runs.c.started.desc()))]

    def begin_attempt(self, run_id: str, facts: Mapping[str, Json] | None = None, *, after: int | None = None) -> int:
        """Takes the next attempt number of a run; whoever held the one before can no longer write.

        Args:
            run_id: The run.
            facts: The data of the attempt's event.
            after: Take it only if this is still the run's last attempt.

        Raises:
            Superseded: The ledger has closed the run, or its last attempt is another than ``after``.
        """
        with self.transaction() as tx:
            row = tx.connection.execute(select(runs).where(runs.c.run_id == run_id)).first()
            if row is not None and row.ending is not None:
                raise Superseded(f"the run is closed ({row.ending})", where=run_id, advice="start a new run")
            if after is not None and (row is None or row.attempt != after):
                raise Superseded("a newer attempt drives this run", where=run_id, advice="nothing to do")
            number, now = (1 if row is None else row.attempt + 1), time.time()
            if row is None:
                tx.connection.execute(insert(runs).values(run_id=run_id, attempt=1, status="running", started=now, updated=now))
            else:
                tx.set_run(run_id, attempt=number, status="running", wait_until=None, message="")
            tx.connection.execute(delete(heartbeats).where(heartbeats.c.run_id == run_id))
            tx.connection.execute(insert(heartbeats).values(run_id=run_id, attempt=number, at=now))
            tx.append(f"{run_id}:attempt:{number}", run_id, "attempt-started", facts or {}, attempt=number)
        return number

    def beat(self, run_id: str, attempt: int) -> None:
        """Notes that an attempt's process lives; one that was superseded changes nothing.

        Not an event, so it does not take the lock that orders appends on PostgreSQL.
        """
        with self._guarded(), self._engine.connect() as connection:
            connection = connection.execution_options(gatehouse_write=True)
            with connection.begin():
                mine = (heartbeats.c.run_id == run_id) & (heartbeats.c.attempt == attempt)
                connection.execute(update(heartbeats).where(mine).values(at=time.time()))

    def schedule_again(self, row: RunRow, until: float) -> None:
        """Notes that somebody resumed a run, unless a process has taken it up meanwhile.

        Args:
            row: The run as it was when somebody decided to resume it.
            until: Until when a process has to take it up, seconds since the epoch.
        """
        with self.transaction() as tx:
            as_it_was = (runs.c.run_id == row.run_id) & (runs.c.attempt == row.attempt) & (runs.c.status == row.status)
            values = {"status": "scheduled", "wait_until": until, "message": "resumed, waits for a worker", "updated": time.time()}
            tx.connection.execute(update(runs).where(as_it_was).values(**values))

    def check_fence(self, tx: Transaction, run_id: str, attempt: int) -> None:
        """Inside a transaction: this attempt still drives the run, and the run is open.

        Raises:
            Superseded: It does not.
        """
        query = select(runs.c.attempt, runs.c.ending).where(runs.c.run_id == run_id)
        row = tx.connection.execute(query.with_for_update()).first()
        if row is None or row.attempt != attempt:
            raise Superseded("a newer attempt drives this run", where=run_id, advice="nothing to do: this process stops")
        if row.ending is not None:
            raise Superseded(f"the run is closed ({row.ending})", where=run_id, advice="start a new run")
