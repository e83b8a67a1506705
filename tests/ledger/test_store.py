"""The ledger's store: append-only, chained, fenced, and clear about a disk that fails; on both databases."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import text
from tests.support.facts import told

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.errors import StorageError, Superseded
from prefect_gatehouse.ledger.events import RunEnded
from prefect_gatehouse.ledger.merkle import leaf_hash
from prefect_gatehouse.ledger.note import Head, ledger_key, sign_head
from prefect_gatehouse.ledger.seal import ORIGIN, seal
from prefect_gatehouse.ledger.store import GENESIS, Ledger


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a ledger that is not there yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    server = request.getfixturevalue("postgres")
    return str(server.url(server.new_database()))


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """An empty ledger."""
    with contextlib.closing(Ledger(url)) as opened:
        yield opened


def fill(ledger: Ledger, count: int, start: int = 0, data: dict[str, str] | None = None) -> None:
    """Appends events, one a transaction."""
    for number in range(start, start + count):
        with ledger.transaction() as tx:
            assert tx.append(f"e{number}", "run", told("something", {"n": number, **(data or {})}))


def rows(ledger: Ledger) -> list[tuple[int, str, str]]:
    """Sequence number, body and leaf of every event."""
    with ledger.reading() as connection:
        found = connection.execute(text("SELECT seq, body, leaf FROM gatehouse_events ORDER BY seq"))
        return [(row.seq, row.body, row.leaf) for row in found]


def test_chain_from_the_first_event_on(ledger: Ledger) -> None:
    """Numbers have no gap, each body is canonical, names the leaf before it, and has the leaf hash that is stored."""
    fill(ledger, 5)
    previous = GENESIS
    for expected, (seq, body, leaf) in enumerate(rows(ledger), 1):
        entry = json.loads(body)
        assert (seq, entry["seq"], entry["prev"]) == (expected, expected, previous)
        assert canonical(entry) == body.encode()
        assert leaf == leaf_hash(body.encode()).hex()
        previous = leaf
    assert ledger.size() == 5


def test_a_repeated_event_id_writes_nothing(ledger: Ledger) -> None:
    """An append whose acknowledgement was lost is found again: False, and the first event stays as it was, whatever the data."""
    fill(ledger, 2)
    before = rows(ledger)
    with ledger.transaction() as tx:
        assert tx.append("e1", "other-run", told("other-kind", {"n": 99})) is False
    assert rows(ledger) == before
    event = ledger.event("e1")
    assert event is not None
    assert (event.run_id, event.kind, event.data) == ("run", "something", {"n": 1})
    assert ledger.event("e2") is None


def test_twice_in_one_transaction(ledger: Ledger) -> None:
    """Events of one transaction follow each other in the chain, and a repetition within it is seen too."""
    with ledger.transaction() as tx:
        assert [tx.append(name, "run", told("k", {})) for name in ("a", "b", "a", "c")] == [True, True, False, True]
    assert [(event.seq, event.event_id) for event in ledger.events()] == [(1, "a"), (2, "b"), (3, "c")]


def test_a_transaction_that_fails_leaves_nothing(ledger: Ledger) -> None:
    """An error after an append takes the event back with everything else, and the next append closes the gap."""
    fill(ledger, 1)

    def fail() -> None:
        with ledger.transaction() as tx:
            tx.append("lost", "run", told("k", {}))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    fill(ledger, 1, start=1)
    assert [event.event_id for event in ledger.events()] == ["e0", "e1"]


def test_selection_by_run_and_kind(ledger: Ledger) -> None:
    """Events are found by run, by kind, by both; text beyond ASCII, quotes and null come back as they were."""
    data = {"text": 'Zoë\'s "naïve" 量子 \N{PERFORMING ARTS} \\ \n', "null": None, "list": [1, 2.5, True, {}]}
    with ledger.transaction() as tx:
        tx.append("a", "one", told("x", data))
        tx.append("b", "two", told("x", {}))
        tx.append("c", "one", told("y", {}), attempt=3)
    assert [event.event_id for event in ledger.events("one")] == ["a", "c"]
    assert [event.event_id for event in ledger.events(kind="x")] == ["a", "b"]
    assert [(event.event_id, event.attempt) for event in ledger.events("one", "y")] == [("c", 3)]
    assert ledger.events("three") == []
    assert dict(ledger.events("one", "x")[0].data) == data


# Each tries to change what was written, through the very connection that Gatehouse writes with.
REWRITES = {
    "update_body": "UPDATE gatehouse_events SET body = 'x' WHERE seq = 1",
    "update_nothing_in_particular": "UPDATE gatehouse_events SET kind = kind WHERE seq = 1",
    "delete_row": "DELETE FROM gatehouse_events WHERE seq = 1",
    "delete_all": "DELETE FROM gatehouse_events",
    "update_head": "UPDATE gatehouse_heads SET note = 'x' WHERE size = 2",
    "delete_head": "DELETE FROM gatehouse_heads WHERE size = 2",
}
SQLITE_REWRITES = {
    "replace_event": "INSERT OR REPLACE INTO gatehouse_events SELECT seq, event_id, run_id, kind, 'x', leaf FROM gatehouse_events WHERE seq = 1",
    "replace_by_event_id": "REPLACE INTO gatehouse_events SELECT 99, event_id, run_id, kind, 'x', leaf FROM gatehouse_events WHERE seq = 1",
    "replace_head": "INSERT OR REPLACE INTO gatehouse_heads SELECT size, 'x', frontier FROM gatehouse_heads",
    "upsert_event": "INSERT INTO gatehouse_events SELECT seq, event_id, run_id, kind, 'x', leaf FROM gatehouse_events WHERE seq = 1 "
    "ON CONFLICT (seq) DO UPDATE SET body = excluded.body",
}
POSTGRESQL_REWRITES = {
    "truncate_events": "TRUNCATE gatehouse_events",
    "truncate_heads": "TRUNCATE gatehouse_heads",
    "upsert_event": "INSERT INTO gatehouse_events SELECT seq, event_id, run_id, kind, 'x', leaf FROM gatehouse_events WHERE seq = 1 "
    "ON CONFLICT (seq) DO UPDATE SET body = excluded.body",
}


def test_rewriting_is_refused_by_the_database(ledger: Ledger, tmp_path: Path) -> None:
    """UPDATE, DELETE, TRUNCATE and every way to replace a row on conflict are stopped by triggers; not a byte changes."""
    fill(ledger, 2)
    seal(ledger, ledger_key(tmp_path, ORIGIN)[0])
    with ledger.reading() as connection:
        dialect = connection.dialect.name
    before = rows(ledger)
    for attack in (REWRITES | (SQLITE_REWRITES if dialect == "sqlite" else POSTGRESQL_REWRITES)).values():
        with pytest.raises(StorageError, match="the ledger can't be used"), ledger.transaction() as tx:
            tx.connection.execute(text(attack))
        assert rows(ledger) == before, attack
    with ledger.reading() as connection:
        assert connection.execute(text("SELECT size, note <> 'x' AS kept FROM gatehouse_heads")).all() in ([(2, True)], [(2, 1)])


def test_an_event_before_the_last_is_refused(tmp_path: Path) -> None:
    """A row can't be slipped in at a number that is taken, nor at one below the newest."""
    insert = "INSERT INTO gatehouse_events (seq, event_id, run_id, kind, body, leaf) VALUES (:seq, 'late', 'r', 'k', '{}', '')"
    with contextlib.closing(Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")) as ledger:
        fill(ledger, 3)
        for seq in (0, 3, -1):
            with pytest.raises(StorageError), ledger.transaction() as tx:
                tx.connection.execute(text(insert), {"seq": seq})
        assert ledger.size() == 3


def test_threads_append_into_one_chain(ledger: Ledger) -> None:
    """Eight threads and one shared event id: no gap, no loss, and the shared event is written exactly once."""

    def work(worker: int) -> int:
        won = 0
        for number in range(6):
            with ledger.transaction() as tx:
                tx.append(f"{worker}-{number}", "run", told("k", {}))
                won += tx.append(f"shared-{number}", "run", told("k", {"winner": worker}))
        return won

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 6
    events = ledger.events()
    assert [event.seq for event in events] == list(range(1, 55))
    assert all(json.loads(body)["prev"] == leaf for (_, _, leaf), (_, body, _) in zip(rows(ledger), rows(ledger)[1:], strict=False))


WRITER = """
import sys
from prefect_gatehouse.ledger.events import GateEntered
from prefect_gatehouse.ledger.store import Ledger
ledger = Ledger(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(25):
    with ledger.transaction() as tx:
        tx.append(f"{sys.argv[2]}-{number}", "run", GateEntered(gate="k"))
"""


def test_processes_create_and_append_at_once(url: str) -> None:
    """Three processes open a ledger that is not there and append; all get through, and there is one chain without a gap."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, url, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for name in "abc"
    ]
    outputs = []
    for writer in writers:
        assert writer.stdout is not None
        outputs.append(writer.stdout.readline())
    for writer in writers:
        writer.communicate("go\n", timeout=60)
    assert outputs == ["ready\n"] * 3
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    with contextlib.closing(Ledger(url)) as ledger:
        found = rows(ledger)
    assert [seq for seq, _, _ in found] == list(range(1, 76))
    assert [json.loads(body)["prev"] for _, body, _ in found] == [GENESIS, *(leaf for _, _, leaf in found[:-1])]


def test_threads_open_a_new_ledger_at_once(tmp_path: Path) -> None:
    """The tables are made once and nobody sees half of them."""
    for turn in range(4):
        url = f"sqlite:///{tmp_path / f'{turn}.sqlite'}"

        def opened(_: int, url: str = url) -> int:
            with contextlib.closing(Ledger(url)) as ledger:
                return ledger.size()

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(opened, range(8))) == [0] * 8


def test_attempts_fence_each_other(ledger: Ledger) -> None:
    """Taking the next number supersedes the one before; a run that has ended takes no further attempt."""
    assert ledger.begin_attempt("r") == 1
    assert ledger.begin_attempt("r") == 2
    with pytest.raises(Superseded, match="newer attempt"), ledger.transaction() as tx:
        ledger.check_fence(tx, "r", 1)
    with ledger.transaction() as tx:
        ledger.check_fence(tx, "r", 2)
        tx.append("r:ended", "r", RunEnded(ending="denied"), attempt=2)
    with pytest.raises(Superseded, match="closed"), ledger.transaction() as tx:
        ledger.check_fence(tx, "r", 2)
    with pytest.raises(Superseded, match=r"closed \(denied\)"):
        ledger.begin_attempt("r")
    with pytest.raises(Superseded), ledger.transaction() as tx:
        ledger.check_fence(tx, "unknown", 1)
    assert [event.kind for event in ledger.events("r")] == ["attempt-started"] * 2 + ["run-ended"]


def test_two_attempts_at_once_get_two_numbers(ledger: Ledger) -> None:
    """However many processes start at once, no two drive a run under one number."""
    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(lambda _: ledger.begin_attempt("r"), range(6))) == [1, 2, 3, 4, 5, 6]


class Fence(RuleBasedStateMachine):
    """Attempts of two runs in any order: exactly the newest of an open run writes."""

    def __init__(self) -> None:
        super().__init__()
        self.newest = {"a": 0, "b": 0}
        self.closed: set[str] = set()
        self.written = 0

    @initialize()
    def begin(self) -> None:
        self.ledger = Ledger(self.make_url())

    make_url: Callable[[], str]

    @rule(run=st.sampled_from("ab"))
    def start(self, run: str) -> None:
        try:
            number = self.ledger.begin_attempt(run)
        except Superseded:
            assert run in self.closed
        else:
            self.newest[run] += 1
            self.written += 1
            assert number == self.newest[run] and run not in self.closed

    @rule(run=st.sampled_from("ab"), back=st.integers(0, 2))
    def write(self, run: str, back: int) -> None:
        number = self.newest[run] - back
        allowed = back == 0 and number > 0 and run not in self.closed
        try:
            with self.ledger.transaction() as tx:
                self.ledger.check_fence(tx, run, number)
                tx.append(f"{run}:{self.written}", run, told("effect", {}), attempt=number)
        except Superseded:
            assert not allowed
        else:
            self.written += 1
            assert allowed

    @precondition(lambda self: any(self.newest.values()))
    @rule(run=st.sampled_from("ab"))
    def close(self, run: str) -> None:
        if self.newest[run]:
            with self.ledger.transaction() as tx:
                self.written += tx.append(f"{run}:ended", run, RunEnded(ending="completed"))
            self.closed.add(run)

    @invariant()
    def nothing_lost(self) -> None:
        if hasattr(self, "ledger"):
            assert self.ledger.size() == self.written

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()


def test_fence_as_a_state_machine(tmp_path: Path) -> None:
    """No order of starting, writing and closing lets a superseded attempt write or a closed run open again."""
    from hypothesis.stateful import run_state_machine_as_test

    numbers = iter(range(10_000))

    class Here(Fence):
        make_url = staticmethod(lambda: f"sqlite:///{tmp_path / str(next(numbers))}.sqlite")  # type: ignore[assignment]

    run_state_machine_as_test(Here, settings=settings(max_examples=15, stateful_step_count=12, deadline=None, database=None))


def test_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    """A write that hits the limit is one clear error without SQL or data in it; what was committed stays, and later writes work."""
    with contextlib.closing(Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")) as ledger:
        fill(ledger, 3)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            with pytest.raises(StorageError) as caught:
                fill(ledger, 2000, start=3, data={"CANARY": "x" * 1000})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert "the ledger can't be used" in str(caught.value)
        assert "CANARY" not in str(caught.value) and "INSERT" not in str(caught.value)
        assert caught.value.__cause__ is None and caught.value.__suppress_context__
        size = ledger.size()
        assert 3 <= size < 200
        fill(ledger, 1, start=size)
        assert ledger.size() == size + 1


def test_read_only_ledger(tmp_path: Path) -> None:
    """A ledger that may only be read answers questions and says clearly that it can't be written."""
    path = tmp_path / "ledger.sqlite"
    with contextlib.closing(Ledger(f"sqlite:///{path}")) as ledger:
        fill(ledger, 2)
    with contextlib.closing(Ledger(f"sqlite:///file:{path}?mode=ro&uri=true")) as ledger:
        assert ledger.size() == 2
        with pytest.raises(StorageError, match="can't be used"), ledger.transaction() as tx:
            tx.append("x", "run", told("k", {}))
        with pytest.raises(StorageError):
            ledger.begin_attempt("r")


def test_a_home_that_can_not_hold_a_ledger(tmp_path: Path) -> None:
    """No folder, a file in the folder's place, a folder in the file's place, a read-only empty file, and foreign bytes: one error."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "foreign").write_bytes(b"this is no database at all, and longer than a header has to be" * 40)
    for place in ("none/ledger.sqlite", "file/ledger.sqlite", "folder", "foreign"):
        with pytest.raises(StorageError) as caught:
            Ledger(f"sqlite:///{tmp_path / place}")
        assert caught.value.advice
    with pytest.raises(StorageError):
        Ledger(f"sqlite:///file:{tmp_path / 'file'}?mode=ro&uri=true")


@pytest.mark.parametrize(
    "wrong", ["", "nonsense", "mysql://u:secret@h/d", "sqlite+nothing:///x", "://", "oracle://h", "postgresql+psycopg://h:port/d"]
)
def test_urls_that_are_none(wrong: str) -> None:
    """A URL of another or no database is our error, and a password in it is not repeated."""
    with pytest.raises(StorageError) as caught:
        Ledger(wrong)
    assert "secret" not in str(caught.value)


def test_no_server_is_a_storage_error(postgres: object) -> None:
    """A PostgreSQL that refuses the password, or has no such database, is one clear error without the password."""
    server = postgres
    for url in (server.url(password="WRONG-PASSWORD"), server.url("no_such_database")):  # type: ignore[attr-defined]
        with pytest.raises(StorageError) as caught:
            Ledger(url)
        assert "PASSWORD" not in str(caught.value)


def test_a_locked_ledger_waits(tmp_path: Path) -> None:
    """While another connection holds the write lock, an append waits for it instead of failing."""
    path = tmp_path / "ledger.sqlite"
    with contextlib.closing(Ledger(f"sqlite:///{path}")) as ledger, ThreadPoolExecutor(1) as pool:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = pool.submit(fill, ledger, 1)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        other.execute("COMMIT")
        other.close()
        waiting.result(timeout=20)
        assert ledger.size() == 1


def test_settings_survive_a_power_cut(tmp_path: Path) -> None:
    """SQLite runs with WAL and synchronous FULL on every connection: what was acknowledged is on the disk."""
    with contextlib.closing(Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")) as ledger, ledger.transaction() as tx:
        read = {name: tx.connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")}
    assert read == {"journal_mode": "wal", "synchronous": 2}


def test_killed_writer_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    """Killed inside a transaction: what was acknowledged is there, what was not is gone, and the chain goes on."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    script = (
        "import os, signal, sys\n"
        "from prefect_gatehouse.ledger.events import GateEntered\nfrom prefect_gatehouse.ledger.store import Ledger\n"
        "ledger = Ledger(sys.argv[1])\n"
        "with ledger.transaction() as tx:\n    tx.append('kept', 'run', GateEntered(gate='k'))\n"
        "with ledger.transaction() as tx:\n    tx.append('lost', 'run', GateEntered(gate='k'))\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, url], check=False, env=dict(os.environ)).returncode == -9
    with contextlib.closing(Ledger(url)) as ledger:
        fill(ledger, 1)
        assert [(event.seq, event.event_id) for event in ledger.events()] == [(1, "kept"), (2, "e0")]


def test_a_head_is_stored_once(ledger: Ledger, tmp_path: Path) -> None:
    """A second head of the same size is refused, so that two histories can't stand side by side."""
    key = ledger_key(tmp_path, ORIGIN)[0]
    fill(ledger, 2)
    assert seal(ledger, key) is not None
    note = sign_head(Head(ORIGIN, 2, b"r" * 32), key)
    with pytest.raises(StorageError), ledger.transaction() as tx:
        tx.connection.execute(text("INSERT INTO gatehouse_heads (size, note, frontier) VALUES (2, :note, '[]')"), {"note": note})
