"""Sealing and verifying: whatever somebody with the database file does, somebody with the public key sees."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert
from tests.support.facts import told

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.errors import StorageError, Tampered
from prefect_gatehouse.ledger.events import PolicyDecided, RunEnded
from prefect_gatehouse.ledger.jobs import SubmissionIntended
from prefect_gatehouse.ledger.merkle import Frontier, leaf_hash
from prefect_gatehouse.ledger.note import Head, VerifierKey, ledger_key, sign_head
from prefect_gatehouse.ledger.seal import ORIGIN, count_unsealed, newest_copy, roots, seal, seal_home
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.ledger.tables import submissions
from prefect_gatehouse.ledger.verify import Verification, verify

TRIGGERS = ("events_no_update", "events_no_delete", "events_no_replace", "heads_no_update", "heads_no_delete", "heads_no_replace")


class Thief:
    """Somebody who has the database file: takes the triggers off and does what he likes."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        for trigger in TRIGGERS:
            self.connection.execute(f"DROP TRIGGER IF EXISTS gatehouse_{trigger}")

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        return self.connection.execute(statement, values).fetchall()

    def rewrite_from(self, seq: int, change: Callable[[dict[str, object]], None]) -> None:
        """Changes an event and repairs leaf and chain of everything after it, as a thief who knows the format would."""
        previous = None
        for number, text in self.sql("SELECT seq, body FROM gatehouse_events WHERE seq >= ? ORDER BY seq", seq):
            body = json.loads(str(text))
            if previous is None:
                change(body)
            else:
                body["prev"] = previous
            raw = canonical(body)
            previous = leaf_hash(raw).hex()
            self.sql("UPDATE gatehouse_events SET body = ?, leaf = ? WHERE seq = ?", raw.decode(), previous, number)

    def frontier(self, size: int) -> Frontier:
        """The tree over the first events as they are now."""
        frontier = Frontier()
        for (leaf,) in self.sql("SELECT leaf FROM gatehouse_events WHERE seq <= ? ORDER BY seq", size):
            frontier.add(bytes.fromhex(str(leaf)))
        return frontier


class Sealed:
    """A ledger of twelve events with heads at 5 and 10, a closed run and two submissions."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite"
        self.key, self.trusted = ledger_key(folder, ORIGIN)
        self.ledger = Ledger(f"sqlite:///{self.path}")
        self.ledger.begin_attempt("run")
        for number in range(2, 5):
            self._append(f"run:e{number}", "something", {"n": number})
        with self.ledger.transaction() as tx:
            tx.append("run:decided", "run", PolicyDecided(action="submit", allowed=True, reasons=("p",), policy_digest="d" * 64))
        seal(self.ledger, self.key)
        for job in (0, 1):
            with self.ledger.transaction() as tx:
                tx.connection.execute(insert(submissions), [self._row(job)])
                fields = {name: value for name, value in self._row(job).items() if name in SubmissionIntended.model_fields}
                tx.append(f"run:intended:{job}", "run", SubmissionIntended.model_validate({**fields, "reserved_usd": 0}))
        for number in range(8, 10):
            self._append(f"run:e{number}", "something", {"n": number})
        with self.ledger.transaction() as tx:
            tx.append("run:ended", "run", RunEnded(ending="completed"), attempt=1)
        seal_home(folder, self.ledger)
        for number in (11, 12):
            self._append(f"other:e{number}", "something", {"n": number})

    def _append(self, event_id: str, kind: str, data: dict[str, int]) -> None:
        with self.ledger.transaction() as tx:
            tx.append(event_id, event_id.partition(":")[0], told(kind, data))

    def _row(self, job: int) -> dict[str, object]:
        return {
            "key": f"run:0:{job}:0",
            "run_id": "run",
            "round": 0,
            "job": job,
            "fallback": 0,
            "backend": "aer",
            "state": "intended",
            "circuits": 1,
            "payload": b"sealed",
            "payload_sha256": f"{job}" * 64,
            "circuits_digest": "c" * 64,
            "reserved": 0,
            "intended": 0.0,
        }

    def verify(self) -> Verification:
        return verify(self.ledger, self.trusted)


@pytest.fixture(scope="module")
def sealed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sealed ledger that nobody changes."""
    folder = tmp_path_factory.mktemp("sealed")
    sealed = Sealed(folder)
    sealed.ledger.close()
    return folder


class Copy:
    """A copy of the sealed ledger, to be tampered with."""

    def __init__(self, source: Path, folder: Path) -> None:
        shutil.copytree(source, folder, dirs_exist_ok=True)
        self.path = folder / "ledger.sqlite"
        self.key, self.trusted = ledger_key(folder, ORIGIN)
        self.thief = Thief(self.path)
        self.ledger = Ledger(f"sqlite:///{self.path}")

    def verify(self) -> Verification:
        return verify(self.ledger, self.trusted, newest_copy(self.path.parent, self.trusted))

    def close(self) -> None:
        self.thief.connection.close()
        self.ledger.close()


@pytest.fixture
def copy(sealed_once: Path, tmp_path: Path) -> Iterator[Copy]:
    """A fresh copy."""
    with contextlib.closing(Copy(sealed_once, tmp_path)) as made:
        yield made


def test_an_untouched_ledger_verifies(copy: Copy) -> None:
    """All events, both heads, the newest root, and what is not sealed yet; the public line from the file is enough."""
    found = verify(copy.ledger, VerifierKey.parse((copy.path.parent / "ledger.vkey").read_text()))
    assert (found.ok, found.problems, found.events, found.heads, found.sealed) == (True, [], 12, 2, 10)
    assert found.root == copy.thief.frontier(10).root().hex()
    assert count_unsealed(copy.ledger) == 2
    assert roots(copy.ledger, copy.trusted) == {copy.thief.frontier(size).root().hex() for size in (5, 10)}


def test_sealing_goes_on_from_the_newest_head(copy: Copy) -> None:
    """The next head covers what was new, a repetition signs nothing, and every head verifies."""
    head = seal(copy.ledger, copy.key)
    assert head == Head(ORIGIN, 12, copy.thief.frontier(12).root())
    assert seal(copy.ledger, copy.key) is None
    found = copy.verify()
    assert (found.ok, found.heads, found.sealed) == (True, 3, 12)


def test_nothing_proves_nothing(tmp_path: Path) -> None:
    """An empty ledger, and one that nobody has sealed, are not verified."""
    key, trusted = ledger_key(tmp_path, ORIGIN)
    with contextlib.closing(Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")) as ledger:
        assert seal(ledger, key) is None
        assert not verify(ledger, trusted).ok
        ledger.begin_attempt("r")
        found = verify(ledger, trusted)
        assert not found.ok
        assert "no signed head" in found.problems[0]


def drop(thief: Thief, where: str) -> None:
    thief.sql(f"DELETE FROM gatehouse_events WHERE {where}")


def close_gap(thief: Thief) -> None:
    """Deletes event 3 and repairs numbers and chain behind it."""
    drop(thief, "seq = 3")
    for (seq,) in thief.sql("SELECT seq FROM gatehouse_events WHERE seq > 3 ORDER BY seq"):
        assert isinstance(seq, int)
        body = json.loads(str(thief.sql("SELECT body FROM gatehouse_events WHERE seq = ?", seq)[0][0]))
        body["seq"] = seq - 1
        body["prev"] = thief.sql("SELECT leaf FROM gatehouse_events WHERE seq = ?", seq - 2)[0][0]
        raw = canonical(body)
        thief.sql("UPDATE gatehouse_events SET seq = ?, body = ?, leaf = ? WHERE seq = ?", seq - 1, raw.decode(), leaf_hash(raw).hex(), seq)


def swap(thief: Thief, one: int, two: int) -> None:
    for old, new in ((one, -1), (two, one), (-1, two)):
        thief.sql("UPDATE gatehouse_events SET seq = ? WHERE seq = ?", new, old)


def replace_head(thief: Thief, size: int, note: str) -> None:
    thief.sql("UPDATE gatehouse_heads SET note = ? WHERE size = ?", note, size)


def forged(size: int, root: bytes) -> str:
    return sign_head(Head(ORIGIN, size, root), Ed25519PrivateKey.from_private_bytes(b"f" * 32))


def transplanted(thief: Thief) -> None:
    """The signature of one head under the text of another."""
    old, new = (str(thief.sql("SELECT note FROM gatehouse_heads WHERE size = ?", size)[0][0]) for size in (5, 10))
    replace_head(thief, 10, new.partition("\n\n")[0] + "\n\n" + old.partition("\n\n")[2])


def rewritten_and_resealed(thief: Thief) -> None:
    """Changes history, repairs the chain and signs new heads with a key of the thief's own."""
    thief.rewrite_from(2, lambda body: body.update(data={"n": 99}))
    for size in (5, 10):
        replace_head(thief, size, forged(size, thief.frontier(size).root()))


def newest_head_deleted(thief: Thief) -> None:
    """The newest head goes, and what it covered alone is written anew."""
    thief.sql("DELETE FROM gatehouse_heads WHERE size = 10")
    thief.rewrite_from(8, lambda body: body.update(data={"n": 99}))


FORGED = canonical({"seq": 13, "id": "x", "run": "run", "kind": "approval-given", "data": {}, "prev": "0" * 64})
ATTACKS: dict[str, tuple[Callable[[Thief], object], str]] = {
    "changed_body": (lambda t: t.sql("UPDATE gatehouse_events SET body = replace(body, '\"n\":3', '\"n\":4') WHERE seq = 3"), "event 3: the body"),
    "changed_body_and_leaf": (
        lambda t: t.sql("UPDATE gatehouse_events SET body = '{}', leaf = ? WHERE seq = 3", leaf_hash(b"{}").hex()),
        "event 3: the body is not an event's",
    ),
    "changed_body_with_repaired_chain": (lambda t: t.rewrite_from(3, lambda body: body.update(data={"n": 4})), "head at 5"),
    "changed_time_with_repaired_chain": (lambda t: t.rewrite_from(7, lambda body: body.update(at="2020-01-01T00:00:00.000+00:00")), "head at 10"),
    "body_not_canonical": (
        lambda t: t.sql("UPDATE gatehouse_events SET body = ?, leaf = ? WHERE seq = 12", '{ "seq":12}', leaf_hash(b'{ "seq":12}').hex()),
        "event 12: the body is not in canonical form",
    ),
    "deleted_middle_row": (lambda t: drop(t, "seq = 4"), "event 5: the chain is broken"),
    "deleted_middle_row_with_repaired_chain": (close_gap, "head at 5"),
    "deleted_first_row": (lambda t: drop(t, "seq = 1"), "event 2: the chain is broken"),
    "deleted_everything": (lambda t: drop(t, "true"), "the ledger has only 0 events"),
    "reordered_rows": (lambda t: swap(t, 2, 3), "event 2"),
    "reordered_rows_behind_the_newest_head": (lambda t: swap(t, 11, 12), "event 11"),
    "deleted_tail_behind_the_newest_head": (lambda t: drop(t, "seq >= 8"), "head at 10: the ledger has only 7 events"),
    "inserted_row_without_a_chain": (
        lambda t: t.sql("INSERT INTO gatehouse_events VALUES (13, 'x', 'run', 'approval-given', ?, ?)", FORGED.decode(), leaf_hash(FORGED).hex()),
        "event 13: the chain is broken",
    ),
    "renamed_in_the_index": (lambda t: t.sql("UPDATE gatehouse_events SET event_id = 'run:forged' WHERE seq = 2"), "event 2: its index columns"),
    "moved_to_another_run": (lambda t: t.sql("UPDATE gatehouse_events SET run_id = 'other' WHERE seq = 2"), "event 2: its index columns"),
    "another_kind": (lambda t: t.sql("UPDATE gatehouse_events SET kind = 'approval-given' WHERE seq = 2"), "event 2: its index columns"),
    "forged_head_signature": (lambda t: replace_head(t, 10, forged(10, t.frontier(10).root())), "head at 10: a head is not signed"),
    "head_with_the_signature_of_another": (transplanted, "head at 10: a head is not signed"),
    "older_head_in_place_of_the_newest": (
        lambda t: t.sql("UPDATE gatehouse_heads SET note = (SELECT note FROM gatehouse_heads WHERE size = 5) WHERE size = 10"),
        "head at 10: the signed size is another",
    ),
    "history_rewritten_and_sealed_by_another_key": (rewritten_and_resealed, "head at 5: a head is not signed"),
    "all_heads_deleted": (lambda t: t.sql("DELETE FROM gatehouse_heads"), "no signed head"),
    "closed_run_opened": (lambda t: t.sql("UPDATE gatehouse_runs SET ending = NULL"), "run run: its ending"),
    "closed_run_deleted": (lambda t: t.sql("DELETE FROM gatehouse_runs"), "run run: it is missing"),
    "run_closed_without_an_event": (
        lambda t: t.sql("INSERT INTO gatehouse_runs SELECT 'x', 1, '', 'completed', '', '', '', '', '', '', 0, 0, NULL, ''"),
        "run x",
    ),
    "requester_forged": (lambda t: t.sql("UPDATE gatehouse_runs SET requester = 'ceo@example.org'"), "run run: its requester"),
    "handle_forged": (lambda t: t.sql("UPDATE gatehouse_submissions SET handle = 'aer-1' WHERE job = 0"), "submission run:0:0:0: its handle"),
    "price_forged": (lambda t: t.sql("UPDATE gatehouse_submissions SET reserved = 9 WHERE job = 0"), "submission run:0:0:0: its reserved"),
    "artifact_added": (
        lambda t: t.sql("INSERT INTO gatehouse_artifacts VALUES ('artifact:run/x', 'run', 'somebody', 0, NULL)"),
        "artifact artifact:run/x: no event",
    ),
    "newest_head_deleted_and_the_tail_edited": (newest_head_deleted, "head at 10: it was signed"),
    "submission_deleted": (lambda t: t.sql("DELETE FROM gatehouse_submissions WHERE job = 1"), "submission run:0:1:0: it is missing"),
    "submission_swapped": (
        lambda t: t.sql("UPDATE gatehouse_submissions SET payload_sha256 = 'x' WHERE job = 1"),
        "submission run:0:1:0: its payload",
    ),
    "submission_added": (
        lambda t: t.sql(
            "INSERT INTO gatehouse_submissions SELECT 'run:9:9:9', run_id, round, job, fallback, backend, state, circuits, payload, payload_sha256, "
            "circuits_digest, handle, result, reserved, settled, intended FROM gatehouse_submissions WHERE job = 0"
        ),
        "submission run:9:9:9",
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_tampering_is_seen(copy: Copy, attack: str) -> None:
    """Each attack makes the verification fail and names the place."""
    act, expected = ATTACKS[attack]
    act(copy.thief)
    found = copy.verify()
    assert not found.ok
    assert any(expected in problem for problem in found.problems), found.problems


# Bytes that are not what a program expects there: the answer is a problem, never somebody else's exception.
GARBAGE = {
    "body_is_a_list": ("UPDATE gatehouse_events SET body = '[]', leaf = ? WHERE seq = 12", leaf_hash(b"[]").hex()),
    "body_is_a_number": ("UPDATE gatehouse_events SET body = '7', leaf = ? WHERE seq = 12", leaf_hash(b"7").hex()),
    "body_is_nothing": ("UPDATE gatehouse_events SET body = '', leaf = ? WHERE seq = 12", leaf_hash(b"").hex()),
    "body_is_deep": ("UPDATE gatehouse_events SET body = ?, leaf = '' WHERE seq = 12", "[" * 100_000),
    "deep_body_with_its_leaf": (
        "UPDATE gatehouse_events SET leaf = ?, body = printf('%.*c', 100000, '[') WHERE seq = 12",
        leaf_hash(b"[" * 100_000).hex(),
    ),
    "body_is_a_blob": ("UPDATE gatehouse_events SET body = ? WHERE seq = 12", b"\xff\xfe"),
    "body_is_no_utf8": ("UPDATE gatehouse_events SET body = CAST(? AS TEXT) WHERE seq = 12", b"\xff\xfe"),
    "leaf_is_no_hex": ("UPDATE gatehouse_events SET leaf = ? WHERE seq = 12", "z" * 64),
    "leaf_is_a_blob": ("UPDATE gatehouse_events SET leaf = ? WHERE seq = 12", b"z" * 64),
    "leaf_is_short": ("UPDATE gatehouse_events SET leaf = ? WHERE seq = 12", "ab"),
    "intent_without_data": ("UPDATE gatehouse_events SET body = ?, kind = 'submission-intended' WHERE seq = 12", '{"seq":12}'),
    "intent_is_no_json": ("UPDATE gatehouse_events SET body = ?, kind = 'submission-intended' WHERE seq = 12", "{"),
    "intent_with_a_list_for_a_key": (
        "UPDATE gatehouse_events SET body = ?, kind = 'submission-intended' WHERE seq = 12",
        '{"data":{"key":[1],"payload_sha256":{}}}',
    ),
    "end_without_a_run": ("UPDATE gatehouse_events SET body = ?, kind = 'run-ended' WHERE seq = 12", '{"data":[]}'),
    "end_is_a_list": ("UPDATE gatehouse_events SET body = ?, kind = 'run-ended' WHERE seq = 12", "[]"),
    "note_is_a_blob": ("UPDATE gatehouse_heads SET note = ? WHERE size = 10", b"\xff"),
    "note_is_empty": ("UPDATE gatehouse_heads SET note = ? WHERE size = 10", ""),
}


def verified(copy: Copy) -> bool:
    """Whether the ledger verifies; bytes that SQLite itself does not read as text are a StorageError."""
    try:
        return copy.verify().ok
    except StorageError:
        return False


@pytest.mark.parametrize("attack", GARBAGE)
def test_garbage_is_a_problem_and_no_traceback(copy: Copy, attack: str) -> None:
    """Verification answers no, in its own words, to bytes of any kind in any column."""
    copy.thief.sql(*GARBAGE[attack])
    assert not verified(copy)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    column=st.sampled_from(["events.body", "events.leaf", "events.event_id", "events.run_id", "events.kind", "heads.note"]),
    place=st.integers(0, 11),
    value=st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=70), st.binary(max_size=70), st.integers(-5, 5)),
)
def test_any_value_in_any_sealed_cell_is_seen(copy: Copy, column: str, place: int, value: object) -> None:
    """No value but the right one passes in any cell that a head covers, and none raises anything but our own error."""
    table, name = column.split(".")
    key, number = ("seq", place % 10 + 1) if table == "events" else ("size", (5, 10)[place % 2])
    (before,) = copy.thief.sql(f"SELECT {name} FROM gatehouse_{table} WHERE {key} = ?", number)[0]
    update = f"UPDATE gatehouse_{table} SET {name} = ? WHERE {key} = ?"
    copy.thief.sql(update, value, number)
    try:
        assert not verified(copy)
    finally:
        copy.thief.sql(update, before, number)
    assert copy.verify().ok


def test_swapped_key(copy: Copy) -> None:
    """A verifier who trusts another key than the one that signed accepts nothing, whatever lies beside the ledger."""
    other = VerifierKey(ORIGIN, Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    found = verify(copy.ledger, other)
    assert not found.ok
    assert found.heads == 0
    assert roots(copy.ledger, other) == set()
    (copy.path.parent / "ledger.key").unlink()
    (copy.path.parent / "ledger.vkey").unlink()
    swapped, stated = ledger_key(copy.path.parent, ORIGIN)
    with pytest.raises(Tampered, match="trusted key"):
        seal(copy.ledger, swapped)
    assert not verify(copy.ledger, stated).ok
    replace_head(copy.thief, 10, sign_head(Head(ORIGIN, 10, copy.thief.frontier(10).root()), swapped))
    assert verify(copy.ledger, copy.trusted).problems == ["head at 10: a head is not signed by the trusted key"]


def test_rolled_back_with_its_newest_head(copy: Copy) -> None:
    """A tail deleted together with the newest head verifies where nothing else is known; the head that was kept elsewhere gives it away."""
    kept = copy.verify().root
    seen = Head(ORIGIN, 10, copy.thief.frontier(10).root())
    drop(copy.thief, "seq > 5")
    copy.thief.sql("DELETE FROM gatehouse_heads WHERE size = 10")
    at = datetime.fromisoformat(json.loads(str(copy.thief.sql("SELECT body FROM gatehouse_events WHERE seq = 5")[0][0]))["at"]).timestamp()
    copy.thief.sql("UPDATE gatehouse_runs SET ending = NULL, status = 'running', updated = ?", at)
    copy.thief.sql("DELETE FROM gatehouse_submissions")
    assert verify(copy.ledger, copy.trusted).ok
    assert verify(copy.ledger, copy.trusted, seen).problems == ["head at 10: it was signed, and the ledger has it no more"]
    assert kept not in roots(copy.ledger, copy.trusted)


@pytest.mark.parametrize("frontier", ["[]", "no json", "{}", "7", '["zz"]', '["ab"]', "null", '["' + "0" * 64 + '","' + "0" * 64 + '"]'])
def test_tampered_frontier_is_not_sealed_on(copy: Copy, frontier: str) -> None:
    """The frontier beside the newest head must have that head's root, or nothing more is signed."""
    copy.thief.sql("UPDATE gatehouse_heads SET frontier = ? WHERE size = 10", frontier)
    with pytest.raises(Tampered):
        seal(copy.ledger, copy.key)
    assert copy.verify().heads == 2


def test_a_head_of_another_key_is_not_sealed_on(copy: Copy) -> None:
    """A forged head with a frontier that fits it does not become the ground of the next one."""
    frontier = copy.thief.frontier(12)
    copy.thief.sql("INSERT INTO gatehouse_heads VALUES (12, ?, ?)", forged(12, frontier.root()), json.dumps([item.hex() for item in frontier.hashes]))
    with copy.ledger.transaction() as tx:
        tx.append("new", "run", told("k"))
    with pytest.raises(Tampered):
        seal(copy.ledger, copy.key)


def test_sealing_a_ledger_that_lost_its_tail(copy: Copy) -> None:
    """With fewer events than the newest head states nothing is signed over the gap."""
    drop(copy.thief, "seq > 8")
    with pytest.raises(Tampered):
        seal(copy.ledger, copy.key)


def test_amounts_of_the_journal_are_exact(copy: Copy) -> None:
    """The reservation of a submission comes back as the decimal that was written."""
    with copy.ledger.transaction() as tx:
        tx.connection.execute(submissions.update().values(reserved=Decimal("0.3003"), settled=Decimal("12345678.0001")))
    with copy.ledger.reading() as connection:
        for row in connection.execute(submissions.select()):
            assert (row.reserved, row.settled) == (Decimal("0.3003"), Decimal("12345678.0001"))
