"""Sealing and verifying the ledger: signed Merkle heads, and the check that an outsider with one public key can repeat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, func, insert, select

from prefect_gatehouse.canonical import canonical, parse
from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.ledger.merkle import Frontier, leaf_hash
from prefect_gatehouse.ledger.note import Head, VerifierKey, open_note, sign_head
from prefect_gatehouse.ledger.store import GENESIS, Ledger
from prefect_gatehouse.ledger.tables import events, heads, runs, submissions

ORIGIN = "gatehouse-ledger"


def seal(ledger: Ledger, key: Ed25519PrivateKey) -> Head | None:
    """Signs a head over everything appended so far; None where nothing is new.

    Raises:
        Tampered: The newest head is not this key's, or the ledger no longer has what that head states.
    """
    with ledger.transaction() as tx:
        frontier = _signed_frontier(tx.connection, VerifierKey(ORIGIN, key.public_key().public_bytes_raw()))
        new = tx.connection.execute(select(events.c.leaf).where(events.c.seq > frontier.size).order_by(events.c.seq))
        before = frontier.size
        for row in new:
            frontier.add(bytes.fromhex(row.leaf))
        if frontier.size == before:
            return None
        head = Head(ORIGIN, frontier.size, frontier.root())
        tx.connection.execute(
            insert(heads).values(size=head.size, note=sign_head(head, key), frontier=json.dumps([item.hex() for item in frontier.hashes]))
        )
    return head


def _signed_frontier(connection: Connection, trusted: VerifierKey) -> Frontier:
    """Where the newest head ends: a stored frontier counts only where that head's signature covers its root."""
    last = connection.execute(select(heads).order_by(heads.c.size.desc()).limit(1)).first()
    if last is None:
        return Frontier()
    head = open_note(_text(last.note), trusted)
    try:
        frontier = Frontier(last.size, [bytes.fromhex(item) for item in json.loads(_text(last.frontier))])
    except (ValueError, TypeError, RecursionError):
        frontier = Frontier()
    length = connection.scalar(select(func.max(events.c.seq))) or 0
    if (head.size, head.root) != (frontier.size, frontier.root()) or length < head.size:
        raise Tampered("the ledger does not go on from its newest head", where=f"ledger heads: {last.size}", advice="run: gatehouse verify")
    return frontier


def _text(value: object) -> str:
    """A text column's value; SQLite keeps bytes there too, if somebody puts them in."""
    return value if isinstance(value, str) else ""


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


def verify(ledger: Ledger, trusted: VerifierKey) -> Verification:
    """Recomputes every hash, the chain, the tree and every signature, and compares the journal with its events.

    A tail that was deleted together with the newest head can't be seen here: compare ``root`` with a copy kept elsewhere.

    Raises:
        StorageError: The ledger can't be read.
    """
    found = Verification()
    with ledger.reading() as connection:
        stated = _heads(connection, trusted, found)
        _walk(connection, stated, found)
        _projections(connection, found)
    if not found.heads:
        found.problems.append("no signed head: nothing vouches for these events")
    return found


def _heads(connection: Connection, trusted: VerifierKey, found: Verification) -> dict[int, bytes]:
    stated: dict[int, bytes] = {}
    for row in connection.execute(select(heads).order_by(heads.c.size)):
        try:
            head = open_note(_text(row.note), trusted)
        except Tampered as error:
            found.problems.append(f"head at {row.size}: {error.message}")
            continue
        if head.size != row.size:
            found.problems.append(f"head at {row.size}: the signed size is another")
        stated[head.size] = head.root
        found.heads += 1
    return stated


def _walk(connection: Connection, stated: dict[int, bytes], found: Verification) -> None:
    frontier, previous = Frontier(), GENESIS
    for row in connection.execute(select(events).order_by(events.c.seq)):
        body = _text(row.body).encode()
        leaf = leaf_hash(body)
        problem = _entry_problem(body, frontier.size + 1, previous, (row.seq, row.event_id, row.run_id, row.kind))
        if leaf.hex() != row.leaf:
            problem = "the body does not have the recorded hash"
        if problem:
            found.problems.append(f"event {row.seq}: {problem}")
        previous = row.leaf
        frontier.add(leaf)
        root = stated.pop(frontier.size, None)
        if root is not None:
            found.sealed, found.root = frontier.size, root.hex()
            if root != frontier.root():
                found.problems.append(f"head at {frontier.size}: the events do not have the signed root")
    found.events = frontier.size
    found.problems.extend(f"head at {size}: the ledger has only {frontier.size} events" for size in stated)


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
    if (entry.get("id"), entry.get("run"), entry.get("kind")) != columns[1:]:
        return "its index columns differ from its body"
    return ""


def _projections(connection: Connection, found: Verification) -> None:
    def bodies(kind: str) -> Iterator[tuple[str, dict[str, object]]]:
        for row in connection.execute(select(events.c.body).where(events.c.kind == kind)):
            try:
                body: Any = parse(_text(row.body))
                data = body["data"]
            except (ValueError, TypeError, LookupError, RecursionError):
                continue  # the walk has told of it
            if isinstance(data, dict):
                yield str(body.get("run")), data

    ended = {run: data.get("ending") for run, data in bodies("run-ended")}
    for row in connection.execute(select(runs.c.run_id, runs.c.ending)):
        if ended.pop(row.run_id, None) != row.ending:
            found.problems.append(f"run {row.run_id}: its ending is not the one in the events")
    found.problems.extend(f"run {run}: its ending is missing from the runs" for run in ended)
    intents = {str(data.get("key")): data.get("payload_sha256") for _, data in bodies("submission-intended")}
    for row in connection.execute(select(submissions.c.key, submissions.c.payload_sha256)):
        if intents.pop(row.key, None) != row.payload_sha256:
            found.problems.append(f"submission {row.key}: its payload is not the one that was intended")
    found.problems.extend(f"submission {key}: it is missing from the journal" for key in intents)


def count_unsealed(ledger: Ledger) -> int:
    """Events after the newest head."""
    with ledger.reading() as connection:
        size = connection.scalar(select(func.max(heads.c.size))) or 0
        return (connection.scalar(select(func.count()).select_from(events)) or 0) - size


def roots(ledger: Ledger, trusted: VerifierKey) -> set[str]:
    """The roots of every head that the trusted key has signed, hexadecimal."""
    found: set[str] = set()
    with ledger.reading() as connection:
        for note in connection.scalars(select(heads.c.note)):
            try:
                found.add(open_note(_text(note), trusted).root.hex())
            except Tampered:
                continue
    return found
