"""The check of a ledger that an outsider with one public key can repeat: hashes, chain, tree, signatures, and all that is derived from events."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, Connection, Table, select

from prefect_gatehouse.canonical import canonical, parse
from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.ledger.answers import Consent
from prefect_gatehouse.ledger.events import GateEntered, GateLeft, GatePassed, PolicyDecided, ReIdentified, RunEnded
from prefect_gatehouse.ledger.fact import Fact
from prefect_gatehouse.ledger.jobs import JobSubmitted, SubmissionIntended
from prefect_gatehouse.ledger.merkle import Frontier, frontier_text, leaf_hash
from prefect_gatehouse.ledger.note import Head, VerifierKey, open_note
from prefect_gatehouse.ledger.projection import Projection
from prefect_gatehouse.ledger.store import GENESIS, Event, Ledger, read_event, whole_id
from prefect_gatehouse.ledger.tables import artifacts, charges, events, heads, runs, submissions


@dataclass
class Verification:
    """What the check found; an empty list of problems means that everything holds."""

    events: int = 0
    heads: int = 0
    sealed: int = 0
    root: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything holds; an empty ledger proves nothing and does not."""
        return not self.problems and self.events > 0 and self.heads > 0


def verify(ledger: Ledger, trusted: VerifierKey, seen: Head | None = None) -> Verification:
    """Recomputes every hash, the chain, the tree, every signature and every derived row.

    Args:
        ledger: The open ledger.
        trusted: The key that signed its heads.
        seen: A head that the ledger is known to have had, from a copy kept elsewhere; a tail that was deleted together with the newest head
            shows by it alone.

    Raises:
        StorageError: The ledger can't be read.
    """
    found = Verification()
    with ledger.reading() as connection:
        stated, frontiers = _heads(connection, trusted, found)
        if seen is not None and stated.get(seen.size) != seen.root:
            found.problems.append(f"head at {seen.size}: it was signed, and the ledger has it no more")
        _Walk(stated, frontiers, found).over(connection)
    if not found.heads:
        found.problems.append("no signed head: nothing vouches for these events")
    return found


def _text(value: object) -> str:
    """A text column's value; SQLite keeps bytes there too, if somebody puts them in."""
    return value if isinstance(value, str) else ""


def _heads(connection: Connection, trusted: VerifierKey, found: Verification) -> tuple[dict[int, bytes], dict[int, str]]:
    """The roots of the signed heads, and the frontiers beside them, by size."""
    stated: dict[int, bytes] = {}
    frontiers: dict[int, str] = {}
    for row in connection.execute(select(heads).order_by(heads.c.size)):
        try:
            head = open_note(_text(row.note), trusted)
        except Tampered as error:
            found.problems.append(f"head at {row.size}: {error.message}")
            continue
        if head.size != row.size:
            found.problems.append(f"head at {row.size}: the signed size is another")
        stated[head.size] = head.root
        frontiers[head.size] = _text(row.frontier)
        found.heads += 1
    return stated, frontiers


class _Walk:
    """One pass over all events."""

    def __init__(self, stated: dict[int, bytes], frontiers: dict[int, str], found: Verification) -> None:
        self._left = dict(stated)
        self._frontiers = frontiers
        self._sealed = _Sealed(sorted(stated))
        self._found = found
        self._derived = Projection()
        self._entered: dict[int, tuple[str, str, int | None]] = {}
        self._frontier = Frontier()

    def over(self, connection: Connection) -> None:
        """Walks the chain, then compares what the other tables say."""
        previous = GENESIS
        for row in connection.execute(select(events).order_by(events.c.seq)):
            body = _text(row.body)
            leaf = leaf_hash(body.encode())
            problem = _entry_problem(body.encode(), self._frontier.size + 1, previous, (row.seq, row.event_id, row.run_id, row.kind))
            if leaf.hex() != row.leaf:
                problem = "the body does not have the recorded hash"
            if problem:
                self._found.problems.append(f"event {row.seq}: {problem}")
            else:
                self._conclude(body, row.leaf)
            previous = row.leaf
            self._frontier.add(leaf)
            self._compare_root()
        self._found.events = self._frontier.size
        self._found.problems.extend(f"head at {size}: the ledger has only {self._frontier.size} events" for size in self._left)
        self._found.problems.extend(_differences(connection, self._derived))

    def _conclude(self, body: str, leaf: str) -> None:
        try:
            event = read_event(body, leaf)
        except Tampered as error:
            self._found.problems.append(f"event {self._frontier.size + 1}: {error.message}")
            return
        derived = self._derived.add(event.run_id, event.attempt, event.when.timestamp(), event.fact)
        problems = [*derived, *self._sealed.add(event), *self._left_gate(event)]
        self._found.problems.extend(f"event {event.seq}: {problem}" for problem in problems)

    def _left_gate(self, event: Event[Fact]) -> Iterator[str]:
        """What is left was entered, once, by the same run through the same gate."""
        fact = event.fact
        if isinstance(fact, GateEntered):
            self._entered[event.seq] = (event.run_id, fact.gate, fact.round)
        elif isinstance(fact, GateLeft) and fact.entered and self._entered.pop(fact.entered, None) != (event.run_id, fact.gate, fact.round):
            yield f"the gate {fact.gate} was not entered by event {fact.entered}"

    def _compare_root(self) -> None:
        root = self._left.pop(self._frontier.size, None)
        if root is None:
            return
        self._found.sealed, self._found.root = self._frontier.size, root.hex()
        if root != self._frontier.root():
            self._found.problems.append(f"head at {self._frontier.size}: the events do not have the signed root")
        elif self._frontiers[self._frontier.size] != frontier_text(self._frontier):
            self._found.problems.append(f"head at {self._frontier.size}: the frontier beside it, which the next head goes on from, is not its own")


class _Sealed:
    """Every event that permits something is under a signed head before what it permits happens."""

    _PERMITS = (Consent, PolicyDecided)

    def __init__(self, sizes: list[int]) -> None:
        self._sizes = sizes
        self._permits: dict[str, int] = {}
        # Whoever writes down a permit signs a head before it writes anything else; one that died in between is another attempt's to mend.
        self._to_seal: dict[tuple[str, int], int] = {}

    def add(self, event: Event[Fact]) -> list[str]:
        """What is wrong with the next event."""
        permit = self._to_seal.pop((event.run_id, event.attempt), None)
        lost = permit is not None and not self._between(permit, event.seq)
        problems = [f"the signed head over event {permit}, which permits something, is missing"] if lost else self._unsealed(event)
        if isinstance(event.fact, self._PERMITS):
            self._to_seal[event.run_id, event.attempt] = event.seq
        return problems

    def _unsealed(self, event: Event[Fact]) -> list[str]:
        if isinstance(event.fact, self._PERMITS):
            self._permits[event.run_id] = event.seq
        elif _is_effect(event.fact):
            permit = self._permits.get(event.run_id)
            if permit is None:
                return ["nothing had permitted it"]
            if not self._between(permit, event.seq):
                return [f"event {permit}, which permits it, was not sealed before it"]
        elif isinstance(event.fact, RunEnded) and event.run_id in self._permits and not self._between(self._permits[event.run_id], event.seq):
            return [f"event {self._permits[event.run_id]} permits something and was not sealed before the run ended"]
        return []

    def _between(self, permit: int, effect: int) -> bool:
        place = bisect_left(self._sizes, permit)
        return place < len(self._sizes) and self._sizes[place] < effect


def _is_effect(fact: Fact) -> bool:
    written = isinstance(fact, GatePassed) and fact.gate == "write_back"
    return written or isinstance(fact, SubmissionIntended | JobSubmitted | ReIdentified)


def _entry_problem(body: bytes, expected: int, previous: str, columns: tuple[int, str, str, str]) -> str:
    try:
        entry = parse(body)
        if canonical(entry) != body:
            return "the body is not in canonical form"
    except (ValueError, RecursionError):
        return "the body is not JSON"
    if not isinstance(entry, dict) or not isinstance(entry.get("data"), dict):
        return "the body is not an event's"
    if entry.get("prev") != previous:
        return "the chain is broken before it"
    if columns[0] != expected or entry.get("seq") != expected:
        return "it is out of order"
    if not isinstance(entry.get("id"), str) or (whole_id(entry), entry.get("run"), entry.get("kind")) != columns[1:]:
        return "its index columns differ from its body"
    return ""


def _differences(connection: Connection, derived: Projection) -> Iterator[str]:
    """Where a derived row is not what the events say."""
    wanted: dict[str, dict[str, dict[str, Any]]] = {
        "run": {run: {name: value for name, value in row.derived().items() if name != "run_id"} for run, row in derived.runs.items()},
        "submission": derived.submissions,
        "charge": derived.charges,
        "artifact": derived.artifacts,
    }
    tables = {
        "run": (runs, runs.c.run_id),
        "submission": (submissions, submissions.c.key),
        "charge": (charges, charges.c.key),
        "artifact": (artifacts, artifacts.c.uri),
    }
    for what, rows in wanted.items():
        table, name = tables[what]
        try:
            yield from _rows_differ(connection, what, table, name, rows)
        except Tampered as error:  # a cell that can't even be read; nothing more of this table can be compared
            yield f"{error.where}: {error.message}"


def _rows_differ(connection: Connection, what: str, table: Table, name: Column[Any], rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    compared = sorted({column for row in rows.values() for column in row})
    left = dict(rows)
    for found in connection.execute(select(name.label("name_"), *(table.c[column] for column in compared))):
        row = left.pop(found.name_, None)
        if row is None:
            yield f"{what} {found.name_}: no event tells of it"
            continue
        for column in compared:
            if not _same(getattr(found, column), row[column]):
                yield f"{what} {found.name_}: its {column} is not the one in the events"
    yield from (f"{what} {each}: it is missing from its table" for each in left)


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, Decimal) and found is not None:
        # The tables keep money as numeric(12, 4).
        return Decimal(found) == wanted.quantize(Decimal("0.0001"))
    return bool(found == wanted)
