"""The engines: whatever reads, cuts, spills and orders the rows, what leaves is the same."""

from __future__ import annotations

import base64
import errno
import json
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.data.engine.bench import COLUMNS, ROOT, ROOT_FOLDER, RUN, Home, csv, declared, parquet, rows

from prefect_gatehouse.data import spill
from prefect_gatehouse.data.digest import table_digest
from prefect_gatehouse.data.engine import remote
from prefect_gatehouse.data.engine import two_pass as passes
from prefect_gatehouse.data.engine.processes import Processes
from prefect_gatehouse.data.minimise import Minimised
from prefect_gatehouse.errors import DataRefused, GatehouseError, InputError, Interrupted, StorageError, Unavailable
from prefect_gatehouse.tokens.keys import RootKey

A = TypeVar("A")
R = TypeVar("R")


class Here:
    """A pool whose workers are this process; what is sent and what comes back goes through pickle and is kept."""

    def __init__(self, workers: int = 2) -> None:
        self.workers = workers
        self.sent: list[bytes] = []

    def map(self, function: Callable[[A], R], arguments: Iterable[A], ahead: int) -> Iterator[R]:
        remote.forget()
        for argument in arguments:
            call = pickle.dumps((function, argument))
            there, value = pickle.loads(call)
            result = pickle.dumps(there(value))
            self.sent += [call, result]
            yield pickle.loads(result)


def facts(result: Minimised) -> tuple[object, ...]:
    return (result.data_digest, result.source_rows, result.quarantined_rows, result.treatments, result.k, result.l, result.artifact.rows)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(20, 400),
    group=st.sampled_from([7, 64, 1000]),
    memory=st.sampled_from([1, 1 << 12, 1 << 22]),
    workers=st.integers(1, 3),
    kind=st.sampled_from([csv, parquet]),
    away=st.booleans(),
)
def test_result_does_not_depend_on_how_it_was_made(
    tmp_path_factory: pytest.TempPathFactory, count: int, group: int, memory: int, workers: int, kind: Callable[..., Path], away: bool
) -> None:
    """Rows, order, digest, k, l and counts are those of one process without temporary files, for any cut, bound, format, order and pool."""
    folder = tmp_path_factory.mktemp("engine")
    table = rows(count)
    expected, there = Home(folder / "one").minimise(parquet(folder, table))
    shuffled = table.take([*range(count // 2, table.num_rows), *range(count // 2)])
    source = parquet(folder, shuffled, group) if kind is parquet else csv(folder, shuffled)
    home = Home(folder / "two")
    result, found = home.minimise(source, pool=Here(workers) if away else None, memory=memory)
    assert found.equals(there)
    assert facts(result) == facts(expected)
    assert result.data_digest == table_digest(found)
    assert home.store.uris(RUN) == [result.artifact.uri]


def test_many_buckets_and_stretches(tmp_path: Path) -> None:
    """200,000 rows fill several buckets; whatever was in memory, the artifact is the same and the streamed digest is the whole table's."""
    source = parquet(tmp_path, wards(200_000), 50_000)
    one, first = Home(tmp_path / "one").minimise(source, WARDS, memory=1 << 30)
    two, second = Home(tmp_path / "two").minimise(source, WARDS, memory=1 << 20, pool=Here())
    assert first.equals(second)
    assert one.data_digest == two.data_digest == table_digest(first)


WARDS = declared(columns={name: COLUMNS[name] for name in ("mrn", "ward")}, quasi_identifiers=[], k=None, sensitive=[], l=None)


def wards(count: int) -> pa.Table:
    return pa.table({"mrn": [f"{row:06d}" for row in range(count)], "ward": ["north", "south"] * (count // 2)})


@pytest.mark.parametrize("away", [False, True])
def test_many_rows_become_several_files_of_one_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: bool) -> None:
    """Each is written by whoever orders its rows; together they are the artifact that one file would have been."""
    source = parquet(tmp_path, wards(200_000), 50_000)
    one, whole = Home(tmp_path / "one").minimise(source, WARDS)
    monkeypatch.setattr(passes, "_FILE_ROWS", 60_000)
    home = Home(tmp_path / "two")
    result, found = home.minimise(source, WARDS, memory=1 << 20, pool=Here() if away else None)
    assert len(list((home.folder / "artifacts" / RUN / "minimised.parquet").iterdir())) == 4
    assert found.equals(whole)
    assert facts(result) == facts(one)
    assert home.store.uris(RUN) == [result.artifact.uri]
    monkeypatch.undo()
    again, _ = home.minimise(source, WARDS)  # one file in the place of the folder
    assert facts(again) == facts(one)
    assert (home.folder / "artifacts" / RUN / "minimised.parquet").is_file()


class Again(Here):
    """A pool whose workers are taken for dead: whatever they did is done once more, and only that is told."""

    def map(self, function: Callable[[A], R], arguments: Iterable[A], ahead: int) -> Iterator[R]:
        for argument in arguments:
            function(argument)
            yield from super().map(function, [argument], ahead)


def test_work_that_is_done_twice_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both passes on a cluster that repeats every task: the same artifact, and nothing of the first attempts is left."""
    monkeypatch.setattr(passes, "_FILE_ROWS", 60_000)
    source = parquet(tmp_path, wards(200_000), 50_000)
    one, whole = Home(tmp_path / "one").minimise(source, WARDS)
    home = Home(tmp_path / "two")
    result, found = home.minimise(source, WARDS, memory=1 << 20, pool=Again())
    assert found.equals(whole)
    assert facts(result) == facts(one)
    left = [path.name for path in (home.folder / "artifacts").rglob("*") if path.is_file()]
    assert sorted(left) == [f"000{number}.parquet" for number in range(4)]


@pytest.mark.parametrize("away", [False, True])
def test_a_second_pass_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: bool) -> None:
    """The disk is full when the third file is written: one error, and neither the two that were there nor temporary files are left."""
    monkeypatch.setattr(passes, "_FILE_ROWS", 60_000)
    home, synced = Home(tmp_path / "home"), os.fsync

    def fsync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == "0002.parquet":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        synced(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError, match=os.strerror(errno.ENOSPC)):
        home.minimise(parquet(tmp_path, wards(200_000), 50_000), WARDS, memory=1 << 20, pool=Here() if away else None)
    assert home.store.uris(RUN) == []


def test_one_row_many_times_takes_no_room(tmp_path: Path) -> None:
    """Equal rows are dealt once with their number, and leave as often as they came, also across blocks."""
    count = 150_000
    data = declared(columns={"ward": {"rule": "keep"}}, quasi_identifiers=[], k=None, sensitive=[], l=None)
    result, found = Home(tmp_path / "home").minimise(parquet(tmp_path, pa.table({"ward": ["north"] * count}), 50_000), data, memory=1)
    assert found["ward"].to_pylist() == ["north"] * count
    assert result.data_digest == table_digest(found)


@pytest.mark.timeout(120)
def test_real_processes_give_the_same_and_count_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two spawned workers: same rows, digest and measures; the result says how many processes read the keys."""
    monkeypatch.syspath_prepend(str(ROOT_FOLDER))  # a worker imports the tests' key reader
    table = rows(3000)
    expected, there = Home(tmp_path / "one").minimise(parquet(tmp_path, table, 300))
    with Processes(2) as pool:
        result, found = Home(tmp_path / "two").minimise(parquet(tmp_path, table, 300), pool=pool)
    assert found.equals(there)
    assert facts(result) == facts(expected)
    assert 1 <= result.workers <= 2


@pytest.mark.timeout(120)
def test_a_killed_worker_is_one_clear_resumable_error() -> None:
    """A worker that ends in the middle of a call: the pool says that a process died."""
    with Processes(1) as pool, pytest.raises(Unavailable, match="a process that minimises the data died"):
        list(pool.map(os._exit, [1], 1))


def test_nothing_sent_holds_a_key_or_a_value(tmp_path: Path) -> None:
    """What goes to workers and comes back holds neither key in any spelling, nor a value, nor a token; nor do the temporary files."""
    home, pool = Home(tmp_path / "home"), Here()
    kept: list[bytes] = []
    removed = spill.SpillFolder.remove

    def remove(self: spill.SpillFolder, *names: str) -> None:
        kept.extend((home.folder / "artifacts" / RUN / name).read_bytes() for name in names)
        removed(self, *names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spill.SpillFolder, "remove", remove)
        _, table = home.minimise(parquet(tmp_path, rows(500), 100), pool=pool, memory=1)
    run_key = (home.folder / "run-keys" / f"{RUN}.key").read_bytes()
    assert len(pool.sent) >= 2 * 5 and len(kept) >= 5
    tokens = [each.encode() for each in table["mrn"].to_pylist()[:20]]
    for key in (ROOT, run_key):
        for spelling in (key, key.hex().encode(), base64.b64encode(key).rstrip(b"="), base64.urlsafe_b64encode(key).rstrip(b"="), repr(key).encode()):
            assert not any(spelling in each for each in (*pool.sent, *kept))
    for value in (b"CANARY", b"north", *tokens):
        assert not any(value in each for each in (*pool.sent, *kept))


def test_a_key_rotated_meanwhile_changes_nothing(tmp_path: Path) -> None:
    """Workers that find a newer version in the store make tokens with the one that the gate saw; without that one they refuse."""
    source = parquet(tmp_path, rows(300), 100)
    expected, there = Home(tmp_path / "one").minimise(source)
    home = Home(tmp_path / "two")
    rotated = RootKey(ROOT).rotated()
    home.secret.write_text(rotated.stored())
    result, found = home.minimise(source, pool=Here())
    assert found.equals(there) and facts(result) == facts(expected)
    _, newer = Home(tmp_path / "three").minimise(source, root=rotated)
    assert not set(newer["mrn"].to_pylist()) & set(found["mrn"].to_pylist())
    home.secret.write_text(json.dumps({"current": 2, "keys": {"2": json.loads(rotated.stored())["keys"]["2"]}}))
    with pytest.raises(InputError, match="the root key has no version 1"):
        home.minimise(source, pool=Here())
    assert home.store.uris(RUN) == [result.artifact.uri]


def test_csv_numbers_are_dealt_anew_and_land_where_parquet_puts_them(tmp_path: Path) -> None:
    """Text that turns out to be numbers has another hash as numbers: the rows are dealt a second time, in any engine."""
    table = rows(300)
    expected, there = Home(tmp_path / "one").minimise(parquet(tmp_path, table))
    for name, pool in (("two", None), ("three", Here())):
        result, found = Home(tmp_path / name).minimise(csv(tmp_path, table), pool=pool, memory=1 << 12)
        assert found.schema.field("visits").type == pa.int64()
        assert found.equals(there)
        assert facts(result) == facts(expected)


def broken(count: int = 60) -> pa.Table:
    table = rows(count)
    born = table["born"].to_pylist()
    born[3] = born[17] = "CANARYdate"
    return table.set_column(2, "born", pa.array(born))


@pytest.mark.parametrize("pool", [None, Here()])
def test_rows_that_cannot_be_treated_are_set_aside_whole(tmp_path: Path, pool: Here | None) -> None:
    """Two bad dates: their rows leave nowhere, are counted, and lie encrypted with their cells in an artifact of their own."""
    home = Home(tmp_path / "home")
    table = broken()
    result, found = home.minimise(parquet(tmp_path, table, 10), declared(malformed="quarantine"), pool=pool)
    assert (result.source_rows, result.quarantined_rows, found.num_rows) == (table.num_rows, 2, table.num_rows - 2)
    assert result.quarantine is not None
    aside = home.store.read(result.quarantine, home.keys.load(RUN))
    assert sorted(aside["cell mrn"].to_pylist()) == sorted(table["mrn"].take([3, 17]).to_pylist())
    assert aside["cell born"].to_pylist() == ["CANARYdate"] * 2
    clean, rest = Home(tmp_path / "clean").minimise(parquet(tmp_path, table.take([row for row in range(table.num_rows) if row not in (3, 17)])))
    assert rest.equals(found)
    assert clean.data_digest == result.data_digest
    for file in (home.folder / "artifacts").rglob("*.parquet"):
        assert b"CANARY" not in file.read_bytes()


@pytest.mark.parametrize("pool", [None, Here()])
def test_more_bad_rows_than_may_be_set_aside_refuse_the_data(tmp_path: Path, pool: Here | None) -> None:
    """The limit holds over all parts together; without quarantine the first bad value refuses."""
    home = Home(tmp_path / "home")
    source = parquet(tmp_path, broken(), 10)
    for data, message in ((declared(malformed="quarantine", quarantine_limit=1), "1 may be set aside"), (declared(), "2 values")):
        with pytest.raises(DataRefused, match=message) as caught:
            home.minimise(source, data, pool=pool)
        assert "CANARY" not in str(caught.value)
        assert home.store.uris(RUN) == []


@pytest.mark.parametrize("away", [False, True])
def test_a_full_disk_leaves_nothing_and_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: bool) -> None:
    """No room for a temporary file: StorageError, every file removed, and the next attempt gives what it always gives."""
    home, source = Home(tmp_path / "home"), parquet(tmp_path, rows(400), 100)

    def full(self: spill.SpillWriter, frames: object) -> list[spill.Frame]:
        with spill._storage(self.name):
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(spill.SpillWriter, "append_all", full)
        with pytest.raises(StorageError, match="No space left") as caught:
            home.minimise(source, pool=Here() if away else None, memory=1)
    assert isinstance(caught.value, Interrupted)
    assert home.store.uris(RUN) == []
    result, found = home.minimise(source, memory=1)
    assert result.data_digest == table_digest(found)


def test_what_a_dead_attempt_left_is_removed_first(tmp_path: Path) -> None:
    """Temporary files of an earlier attempt are listed by the store, and gone when the next attempt ends."""
    home = Home(tmp_path / "home")
    folder = home.folder / "artifacts" / RUN
    folder.mkdir(parents=True)
    (folder / ".spill.old.dead").write_bytes(b"left")
    assert home.store.uris(RUN) == [f"artifact:{RUN}/.spill.old.dead"]
    result, _ = home.minimise(parquet(tmp_path, rows(30)), memory=1)
    assert home.store.uris(RUN) == [result.artifact.uri]


def test_a_foreign_error_in_a_worker_tells_its_class_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a worker raises comes back as one of our errors without its text."""

    def fail(*_: object, **__: object) -> None:
        raise ValueError("CANARY")

    monkeypatch.setattr(remote, "deal_parts", fail)
    with pytest.raises(GatehouseError, match="a worker failed: ValueError") as caught:
        Home(tmp_path / "home").minimise(parquet(tmp_path, rows(30)), pool=Here())
    assert "CANARY" not in repr(caught.value) + str(caught.value.__cause__) + str(caught.value.__context__)
