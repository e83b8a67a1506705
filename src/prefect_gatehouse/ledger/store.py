"""The ledger: events in one hash chain, fenced by attempt, appended in the transaction of what they tell.

An event's body is RFC 8785 JSON that names the leaf hash of the event before it; the leaf hash is RFC 6962's. Identifiers come
from the caller, so that an append whose acknowledgement was lost is found again instead of repeated.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, Generic, Self, TypeVar, cast

from sqlalchemy import Connection, bindparam, delete, func, insert, inspect, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from prefect_gatehouse.canonical import Json, canonical, parse
from prefect_gatehouse.errors import StorageError, Superseded, Tampered
from prefect_gatehouse.ledger.charges import Account, account_of, charge
from prefect_gatehouse.ledger.connect import cause_of, open_engine
from prefect_gatehouse.ledger.events import KINDS, AttemptStarted, PackagesInstalled, RanUnder, RunAdmitted, RunRescheduled, read_fact
from prefect_gatehouse.ledger.fact import Fact, UnknownFact
from prefect_gatehouse.ledger.jobs import SubmissionIntended
from prefect_gatehouse.ledger.merkle import leaf_hash
from prefect_gatehouse.ledger.projection import RunRow, next_run, paid_for
from prefect_gatehouse.ledger.tables import charges, events, heartbeats, metadata, outbox, runs

GENESIS = "0" * 64
LEDGER = "ledger"
"""The run of events that belong to none."""
# Any constant will do: it names the one lock that orders appends on PostgreSQL.
_APPEND_LOCK = 0x6761746568


F = TypeVar("F", bound=Fact, covariant=True)
G = TypeVar("G", bound=Fact)


@dataclass(frozen=True)
class Event(Generic[F]):
    """One entry as it was written.

    Attributes:
        seq: Its number, from 1.
        event_id: The caller's identifier.
        run_id: The run, ``ledger`` for what belongs to none.
        kind: What happened.
        at: When, ISO 8601.
        attempt: The attempt that acted.
        fact: What it tells.
        leaf: Its leaf hash.
    """

    seq: int
    event_id: str
    run_id: str
    kind: str
    at: str
    attempt: int
    fact: F
    leaf: str

    @property
    def data(self) -> Mapping[str, Any]:
        """The fields as they are hashed, for what shows any event; who concludes something takes the fact."""
        return self.fact.fields if isinstance(self.fact, UnknownFact) else self.fact.data()

    @property
    def when(self) -> datetime:
        """When, as a time."""
        return datetime.fromisoformat(self.at)


def _kinds(base: type[Fact]) -> list[str]:
    return [name for name, each in KINDS.items() if issubclass(each, base)]


def _short(event_id: str, run_id: str) -> str:
    """An identifier as the body spells it: ``:name`` where it is ``run:name`` of the body's own run."""
    return event_id.removeprefix(run_id) if event_id.startswith(f"{run_id}:") else event_id


def _older(body: object) -> bool:
    """Whether an event is written as an earlier release wrote it; what is no event at all is for the verification to tell."""
    try:
        entry: Any = parse(body) if isinstance(body, str) else None
        return bool(entry.get("v", 1) < Fact.version)
    except (AttributeError, TypeError, ValueError, RecursionError):
        return False


def whole_id(entry: Mapping[str, Any]) -> str:
    """The identifier that a body spells."""
    return f"{entry['run']}{entry['id']}" if entry["id"].startswith(":") else str(entry["id"])


def read_event(body: str, leaf: str) -> Event[Fact]:
    """The event of a hashed body; nothing is taken from the table's other columns.

    Raises:
        Tampered: The body is no event's, is not the one that was hashed, or the fields are not those of the kind.
    """
    try:
        entry: Any = parse(body)
        fact = read_fact(entry["kind"], entry.get("v", 1), entry["data"], f"ledger event {entry['seq']}")
        event = Event(entry["seq"], whole_id(entry), entry["run"], entry["kind"], entry["at"], entry["attempt"], fact, leaf)
        event.when  # noqa: B018 - a text that is no time is no event's
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        raise Tampered("an event can't be read", where="ledger", advice="run: gatehouse verify") from None
    if leaf_hash(body.encode()).hex() != leaf:
        raise Tampered("an event is not the one that was written", where=f"ledger event {event.seq}", advice="run: gatehouse verify")
    return event


_RUNS = select(runs, func.coalesce(heartbeats.c.at, runs.c.updated).label("last_sign")).outerjoin(heartbeats, heartbeats.c.run_id == runs.c.run_id)

# Made once: SQLAlchemy takes longer to recognise a statement that it has compiled than SQLite takes to run it.
_BODIES = select(events.c.body, events.c.leaf)
_EVENT = _BODIES.where(events.c.event_id == bindparam("id"))
_HAS = select(events.c.seq).where(events.c.event_id == bindparam("id"))
_LAST = select(events.c.seq, events.c.leaf).order_by(events.c.seq.desc()).limit(1)
_IN_ORDER = _BODIES.order_by(events.c.seq)
_OF_RUN = _IN_ORDER.where(events.c.run_id == bindparam("run"))
_KINDS, _KINDS_OF_RUN = (query.where(events.c.kind.in_(bindparam("kinds", expanding=True))) for query in (_IN_ORDER, _OF_RUN))
_ADMITTED = _BODIES.where(events.c.run_id == bindparam("run"), events.c.kind == RunAdmitted.kind).order_by(events.c.seq).limit(1)
_ROW = select(runs).where(runs.c.run_id == bindparam("run"))
_FENCE = select(runs.c.attempt, runs.c.ending).where(runs.c.run_id == bindparam("run")).with_for_update()
_ADD, _BEGIN, _CHANGE = insert(events), insert(runs), update(runs).where(runs.c.run_id == bindparam("run"))


class Transaction:
    """One write transaction; everything in it commits together or not at all."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._admissions: dict[str, RunAdmitted] = {}

    def append(self, event_id: str, run_id: str, fact: Fact, *, attempt: int = 0) -> bool:
        """Appends an event and brings the run's row up to date; False where one with this identifier is there already (nothing is written then).

        Args:
            event_id: The caller's identifier of the event, unique in the ledger.
            run_id: The run, or 'ledger' for what belongs to none.
            fact: What happened: one of ``events.KINDS``.
            attempt: The attempt that acts.
        """
        if KINDS.get(fact.kind) is not type(fact):
            raise TypeError(f"{type(fact).__name__} is no kind of event that the ledger takes")
        if self.has(event_id):
            return False
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._chain(event_id, run_id, fact.kind, fact.version, at, attempt, fact.data())
        self._project(run_id, attempt, datetime.fromisoformat(at).timestamp(), fact)
        self._charge(run_id, fact)
        return True

    def has(self, event_id: str) -> bool:
        """Whether there is an event with this identifier."""
        return self.connection.scalar(_HAS, {"id": event_id}) is not None

    def facts(self, kind: type[G]) -> list[Event[G]]:
        """Events of a kind, or of all kinds with a common base, in order; none comes between them and what this transaction appends."""
        return cast(list[Event[G]], [read_event(row.body, row.leaf) for row in self.connection.execute(_KINDS, {"kinds": _kinds(kind)})])

    def recent(self, kind: type[G], since: datetime) -> list[Event[G]]:
        """Events of a kind from a moment on, oldest first; older ones are not read."""
        query = select(events.c.body, events.c.leaf).where(events.c.kind == kind.kind).order_by(events.c.seq.desc())
        newest = (cast(Event[G], read_event(row.body, row.leaf)) for row in self.connection.execute(query))
        return list(takewhile(lambda event: event.when >= since, newest))[::-1]

    def account(self, run_id: str) -> Account | None:
        """Who pays for a run, by its admission; None where it has none."""
        admitted = self.admission(run_id)
        return account_of(admitted) if admitted is not None else None

    def admission(self, run_id: str) -> RunAdmitted | None:
        """What a run was admitted as; None where it was not."""
        if run_id not in self._admissions:
            row = self.connection.execute(_ADMITTED, {"run": run_id}).first()
            if row is None:
                return None
            self._admissions[run_id] = cast(RunAdmitted, read_event(row.body, row.leaf).fact)
        return self._admissions[run_id]

    def newest(self) -> int:
        """Number of the newest event, which is this transaction's own where it has appended one; 0 in an empty ledger."""
        return self.connection.scalar(select(func.max(events.c.seq))) or 0

    def is_at(self, run_id: str, attempt: int, status: str) -> bool:
        """Whether an open run is still in the hands of an attempt and has a status; nobody changes that before this transaction commits."""
        here = (runs.c.run_id == run_id) & (runs.c.attempt == attempt) & (runs.c.status == status) & runs.c.ending.is_(None)
        return self.connection.scalar(select(runs.c.attempt).where(here).with_for_update()) is not None

    def _chain(self, event_id: str, run_id: str, kind: str, version: int, at: str, attempt: int, data: Mapping[str, Json]) -> None:
        last = self.connection.execute(_LAST).first()
        seq, previous = (last.seq + 1, last.leaf) if last is not None else (1, GENESIS)
        body = canonical(
            {
                "seq": seq,
                "id": _short(event_id, run_id),
                "run": run_id,
                "kind": kind,
                "v": version,
                "at": at,
                "attempt": attempt,
                "prev": previous,
                "data": data,
            }
        )
        row = {"seq": seq, "event_id": event_id, "run_id": run_id, "kind": kind, "body": body.decode(), "leaf": leaf_hash(body).hex()}
        self.connection.execute(_ADD, row)

    def _project(self, run_id: str, attempt: int, at: float, fact: Fact) -> None:
        """The run's row follows from its events alone, so nobody else writes it."""
        found = self.connection.execute(_ROW, {"run": run_id}).first()
        before = RunRow(**found._asdict(), last_sign=found.updated) if found is not None else None
        after = next_run(before, run_id, attempt, at, fact)
        if after is None:
            return
        if before is None:
            self.connection.execute(_BEGIN, after.derived())
        else:
            self.connection.execute(_CHANGE, {**after.derived(), "run": run_id})

    def _charge(self, run_id: str, fact: Fact) -> None:
        """Who pays follows from the events, too: nobody else writes it, and nobody can leave it out."""
        if isinstance(fact, SubmissionIntended):
            account = self.account(run_id)
            if account is not None and account.billing_code:
                self.connection.execute(insert(charges).values(key=fact.key, **charge(run_id, account, fact)))
        elif (paid := paid_for(fact)) is not None:
            self.connection.execute(update(charges).where(charges.c.key == paid[0]).values(settled=paid[1]))


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
            here = inspect(self._engine)
            tables = set(here.get_table_names())
            columns = {name: {column["name"] for column in here.get_columns(name)} for name in set(metadata.tables) & tables}
        self._refuse_foreign(columns)
        if not set(metadata.tables) <= tables:  # a new ledger, or one of a version that had fewer tables
            # In one write transaction, so that two processes that start at once do not both create.
            with self.transaction() as tx:
                metadata.create_all(tx.connection)

    def _refuse_foreign(self, columns: Mapping[str, set[str]]) -> None:
        """What is there must be what this release reads: the tables' columns, and the way in which the first event is written."""
        foreign = any(found != set(metadata.tables[name].columns.keys()) for name, found in columns.items())
        if not foreign and events.name in columns:
            with self.reading() as connection:
                foreign = _older(connection.scalar(select(events.c.body).order_by(events.c.seq).limit(1)))
        if foreign:
            advice = "keep it as evidence, the release that wrote it verifies it; give a new one with GATEHOUSE_HOME or GATEHOUSE_LEDGER_URL"
            raise StorageError("the ledger is of another release, and this one can't go on with it", where="ledger", advice=advice)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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

    def find(self, event_id: str, kind: type[G]) -> Event[G] | None:
        """One event by its identifier.

        Raises:
            Tampered: It is of another kind, or its fields are not those of the kind.
        """
        found = self.event(event_id)
        if found is not None and not isinstance(found.fact, kind):
            raise Tampered("an event is not of the kind that its name says", where=f"ledger event {found.seq}", advice="run: gatehouse verify")
        return cast("Event[G] | None", found)

    def event(self, event_id: str) -> Event[Fact] | None:
        """One event by its identifier, whatever its kind."""
        with self.reading() as connection:
            row = connection.execute(_EVENT, {"id": event_id}).first()
        return read_event(row.body, row.leaf) if row is not None else None

    def events(self, run_id: str | None = None, kind: str | None = None) -> list[Event[Fact]]:
        """Events in order, of one run or one kind where given; who concludes something from them takes ``facts``.

        Raises:
            Tampered: The fields of one are not those of its kind.
        """
        return self._read(run_id, None if kind is None else [kind])

    def facts(self, kind: type[G], run_id: str | None = None) -> list[Event[G]]:
        """Events of a kind, or of all kinds with a common base, in order; of one run where given.

        Raises:
            Tampered: The fields of one are not those of its kind.
        """
        return cast(list[Event[G]], self._read(run_id, _kinds(kind)))

    def _read(self, run_id: str | None, kinds: list[str] | None) -> list[Event[Fact]]:
        of_all, of_one = (_IN_ORDER, _OF_RUN) if kinds is None else (_KINDS, _KINDS_OF_RUN)
        query = of_all if run_id is None else of_one
        named = {"run": run_id, "kinds": kinds}
        with self.reading() as connection:
            rows = connection.execute(query, {name: value for name, value in named.items() if value is not None})
            return [read_event(row.body, row.leaf) for row in rows]

    def newest(self, kind: type[G], *, behind: int = 0, limit: int | None = None) -> list[Event[G]]:
        """Events of a kind, newest first: those behind a number, at most so many.

        Raises:
            Tampered: The fields of one are not those of its kind.
        """
        query = select(events.c.body, events.c.leaf).where(events.c.kind == kind.kind, events.c.seq > behind).order_by(events.c.seq.desc())
        with self.reading() as connection:
            return cast(list[Event[G]], [read_event(row.body, row.leaf) for row in connection.execute(query.limit(limit))])

    def after(self, seq: int, limit: int) -> list[Event[Fact]]:
        """The next events behind a number, at most so many."""
        query = select(events.c.body, events.c.leaf).where(events.c.seq > seq).order_by(events.c.seq).limit(limit)
        with self.reading() as connection:
            return [read_event(row.body, row.leaf) for row in connection.execute(query)]

    def told(self, topic: str) -> int:
        """Number of the last event that a receiver outside was told of, 0 where it was told nothing."""
        with self.reading() as connection:
            return connection.scalar(select(outbox.c.seq).where(outbox.c.topic == topic)) or 0

    def tell(self, topic: str, seq: int) -> None:
        """Marks how far a receiver outside has been told; never back."""
        with self.transaction() as tx:
            before = tx.connection.scalar(select(outbox.c.seq).where(outbox.c.topic == topic))
            if before is None:
                tx.connection.execute(insert(outbox).values(topic=topic, seq=seq))
            elif before < seq:
                tx.connection.execute(update(outbox).where(outbox.c.topic == topic).values(seq=seq))

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

    def begin_attempt(
        self,
        run_id: str,
        *,
        prefect_flow: str = "",
        after: int | None = None,
        under: RanUnder | None = None,
        versions: Sequence[str] = (),
    ) -> int:
        """Takes the next attempt number of a run; whoever held the one before can no longer write.

        Args:
            run_id: The run.
            prefect_flow: Prefect's identifier of the flow.
            after: Take it only if this is still the run's last attempt.
            under: What the process runs under.
            versions: Each distribution that is installed, as ``name==version``.

        Raises:
            Superseded: The ledger has closed the run, or its last attempt is another than ``after``.
        """
        alike = [event.attempt for event in self.facts(AttemptStarted, run_id) if under is not None and event.fact.under == under]
        with self.transaction() as tx:
            row = tx.connection.execute(select(runs).where(runs.c.run_id == run_id)).first()
            if row is not None and row.ending is not None:
                raise Superseded(f"the run is closed ({row.ending})", where=run_id, advice="start a new run")
            if after is not None and (row is None or row.attempt != after):
                raise Superseded("a newer attempt drives this run", where=run_id, advice="nothing to do")
            number, now = (1 if row is None else row.attempt + 1), time.time()
            tx.connection.execute(delete(heartbeats).where(heartbeats.c.run_id == run_id))
            tx.connection.execute(insert(heartbeats).values(run_id=run_id, attempt=number, at=now))
            if under is not None and under.packages:
                tx.append(f"packages:{under.packages}", "ledger", PackagesInstalled(packages=under.packages, versions=tuple(versions)))
            began = AttemptStarted(prefect_flow=prefect_flow, under=None if alike else under, as_attempt=alike[0] if alike else None)
            tx.append(f"{run_id}:attempt:{number}", run_id, began, attempt=number)
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
            if tx.is_at(row.run_id, row.attempt, row.status):
                tx.append(f"{row.run_id}:rescheduled:{row.attempt}:{secrets.token_hex(4)}", row.run_id, RunRescheduled(until=until))

    def check_fence(self, tx: Transaction, run_id: str, attempt: int) -> None:
        """Inside a transaction: this attempt still drives the run, and the run is open.

        Raises:
            Superseded: It does not.
        """
        row = tx.connection.execute(_FENCE, {"run": run_id}).first()
        if row is None or row.attempt != attempt:
            raise Superseded("a newer attempt drives this run", where=run_id, advice="nothing to do: this process stops")
        if row.ending is not None:
            raise Superseded(f"the run is closed ({row.ending})", where=run_id, advice="start a new run")
