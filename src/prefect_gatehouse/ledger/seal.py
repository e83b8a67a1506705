"""Sealing the ledger: signed Merkle heads, in the ledger and, the newest, in a second place beside it.

Whoever can write the database could delete its newest head together with the events under it; the copy in the home tells that there was one.
A copy kept elsewhere tells it to somebody who does not trust the home either.
"""

from __future__ import annotations

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, func, insert, select

from prefect_gatehouse.errors import StorageError, Tampered
from prefect_gatehouse.files import replace_file
from prefect_gatehouse.ledger.merkle import Frontier, frontier_text
from prefect_gatehouse.ledger.note import Head, VerifierKey, ledger_key, open_note, sign_head
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.ledger.tables import events, heads

ORIGIN = "gatehouse-ledger"
COPY = "ledger.head"


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
        tx.connection.execute(insert(heads).values(size=head.size, note=sign_head(head, key), frontier=frontier_text(frontier)))
    return head


def seal_home(home: Path, ledger: Ledger) -> Head | None:
    """Signs a head with the home's key and keeps a copy of it there.

    Args:
        home: The folder of the ledger's key.
        ledger: The open ledger.

    Raises:
        Tampered: See ``seal``.
        StorageError: The key or the copy can't be written.
    """
    key, trusted = ledger_key(home, ORIGIN)
    head = seal(ledger, key)
    if head is not None:
        before = newest_copy(home, trusted)
        if before is None or before.size < head.size:
            try:
                replace_file(home / COPY, sign_head(head, key).encode(), 0o644)
            except OSError as error:
                raise StorageError(
                    f"the copy of the newest head can't be written: {error.strerror}", where=str(home / COPY), advice="free space or fix permissions"
                ) from None
    return head


def newest_copy(home: Path, trusted: VerifierKey) -> Head | None:
    """The newest head that the home has a copy of, None where there is none that the trusted key signed."""
    try:
        return open_note((home / COPY).read_text(), trusted)
    except (OSError, UnicodeDecodeError, Tampered):
        return None


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
