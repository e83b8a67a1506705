"""Rows are published once, all or none, on SQLite and on a real PostgreSQL, and no error repeats a value or the password."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prefect_gatehouse.errors import DataRefused, GatehouseError, InputError, StorageError, Tampered, Unavailable
from prefect_gatehouse.write_back import sql, staging
from tests.services import free_port
from tests.services.postgres_server import PostgresServer
from tests.write_back.databases import CANARIES, OTHER_RUN, RUN, Database, frame, publish

TEXT, _, NUMBER = CANARIES


def told(error: BaseException) -> str:
    """Everything that a log or a screen could show of an error."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(error) + repr(getattr(error, "as_dict", dict)())


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_a_first_publication_makes_the_table(database: Database, mode: str) -> None:
    """Every row is there with its run and its label, the receipt says so, and staging is gone."""
    assert publish(database.url, frame(), mode=mode) == sql.Published(3, repeated=False)
    assert database.rows() == [
        ("a", 0.0, 0, "note a", RUN, "primary"),
        ("b", 0.25, 1, "note b", RUN, "primary"),
        ("c", 0.5, 2, "note c", RUN, "primary"),
    ]
    assert database.receipts() == [(RUN, "predictions", 3, "1" * 64, "primary")]
    assert not database.staging()


def test_the_receipt_has_the_class_of_the_rows(database: Database) -> None:
    """Whoever finds the table knows how to treat it; rows whose class nobody said are restricted."""
    publish(database.url, frame(), data_class="internal")
    publish(database.url, frame("xyz"), run_id=OTHER_RUN)
    assert set(database.execute("SELECT run_id, data_class FROM _gatehouse_receipts")) == {(RUN, "internal"), (OTHER_RUN, "restricted")}


def test_receipts_of_an_earlier_version_are_kept(database: Database) -> None:
    """A table of receipts without classes gets the column; its receipts stay, and their runs publish nothing a second time."""
    publish(database.url, frame(), mode="append")
    database.execute("ALTER TABLE _gatehouse_receipts DROP COLUMN data_class")
    assert publish(database.url, frame(), mode="append") == sql.Published(3, repeated=True)
    publish(database.url, frame("xyz"), mode="append", run_id=OTHER_RUN, data_class="public")
    assert set(database.execute("SELECT run_id, data_class FROM _gatehouse_receipts")) == {(RUN, None), (OTHER_RUN, "public")}


@pytest.mark.parametrize(
    ("mode", "keys"),
    [
        ("append", [("a", OTHER_RUN), ("b", OTHER_RUN), ("b", RUN), ("c", OTHER_RUN), ("c", RUN), ("d", RUN)]),
        ("replace", [("b", RUN), ("c", RUN), ("d", RUN)]),
        ("upsert", [("a", OTHER_RUN), ("b", RUN), ("c", RUN), ("d", RUN)]),
    ],
)
def test_each_mode(database: Database, mode: str, keys: list[tuple[str, str]]) -> None:
    """A second run adds its rows, replaces all, or replaces those with the same key."""
    publish(database.url, frame("abc"), mode=mode, run_id=OTHER_RUN)
    publish(database.url, frame("bcd", 10), mode=mode)
    assert [(row[0], row[4]) for row in database.rows()] == keys
    assert {row[0]: row[1] for row in database.rows() if row[4] == RUN} == {"b": 10.0, "c": 10.25, "d": 10.5}


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_a_repeat_changes_nothing(database: Database, mode: str) -> None:
    """The same run once more leaves rows and receipt as they are, even where somebody has edited the rows since."""
    publish(database.url, frame(), mode=mode)
    database.execute("UPDATE predictions SET note = 'corrected by a clinician' WHERE patient = 'a'")
    before, receipts = database.rows(), database.receipts()
    assert publish(database.url, frame(), mode=mode) == sql.Published(3, repeated=True)
    assert (database.rows(), database.receipts(), database.staging()) == (before, receipts, set())


def test_other_rows_under_the_same_run_are_tampering(database: Database) -> None:
    """A run that comes back with other rows than its receipt names is stopped, and the table stays."""
    publish(database.url, frame())
    before = database.rows()
    with pytest.raises(Tampered):
        publish(database.url, frame(start=5), rows_digest="2" * 64)
    assert database.rows() == before
    assert not database.staging()


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE {} SET risk = 0.99 WHERE patient = 'a'",
        "UPDATE {} SET patient = 'z' WHERE patient = 'a'",
        "UPDATE {} SET note = NULL WHERE patient = 'b'",
        'UPDATE {} SET "class" = 2 - "class"',
        "DELETE FROM {} WHERE patient = 'c'",
        "INSERT INTO {} SELECT 'z', risk, \"class\", note FROM {} WHERE patient = 'a'",
        "INSERT INTO {} SELECT * FROM {} WHERE patient = 'a'",
    ],
)
def test_tampering_with_staging_is_found(database: Database, monkeypatch: pytest.MonkeyPatch, tampering: str) -> None:
    """Whoever changes, adds or takes a staged row before it is published stops the publication; nothing reaches the table."""
    stage = staging.fill

    def staged_and_changed(*args: Any) -> Any:
        done = stage(*args)
        (name,) = database.staging()
        database.execute(tampering.replace("{}", name))
        return done

    publish(database.url, frame("xy"), run_id=OTHER_RUN)
    before = database.rows()
    monkeypatch.setattr(staging, "fill", staged_and_changed)
    with pytest.raises(DataRefused, match="staging has not the rows"):
        publish(database.url, frame())
    assert database.rows() == before
    assert [row[0] for row in database.receipts()] == [OTHER_RUN]
    assert not database.staging()


def test_staging_that_a_dead_process_left_is_discarded(database: Database) -> None:
    """The sweeper drops it once, and a second time finds nothing."""
    name = staging.staging_name(RUN)
    database.execute(f"CREATE TABLE {name} (patient text)")
    assert sql.discard(database.url, run_id=RUN) == 1
    assert sql.discard(database.url, run_id=RUN) == 0
    assert not database.staging()


def test_every_type_comes_back_as_it_went(database: Database) -> None:
    """Truth values, whole numbers, long fractions, times, nulls and text of any script survive staging and publication."""
    rows = pd.DataFrame(
        {
            "patient": ["1", "2"],
            "flag": [True, False],
            "whole": np.array([2**62, -(2**62)], dtype="int64"),
            "part": [0.1 + 0.2, float("nan")],
            "when": pd.to_datetime(["2026-11-24T03:56:19.123456", None]),
            "text": ["Åsa 🧪 'quoted' \"twice\" % :x \\ ;--", None],
        }
    )
    publish(database.url, rows)
    database_rows = database.execute('SELECT flag, whole, part, "when", text FROM predictions ORDER BY patient')
    first, second = database_rows
    assert (bool(first[0]), first[1], first[2], first[4]) == (True, 2**62, 0.1 + 0.2, rows["text"][0])
    assert str(first[3])[:26] == "2026-11-24 03:56:19.123456"
    assert (bool(second[0]), second[1:]) == (False, (-(2**62), None, None, None))


def test_a_time_with_a_zone_keeps_its_instant(database: Database) -> None:
    """A time in another zone is the same moment in the table, whatever zone the database's session is in."""
    if database.postgresql:
        database.execute(f"ALTER DATABASE {database.url.rpartition('/')[2]} SET timezone TO 'Asia/Tokyo'")
    moment = pd.Timestamp("2026-11-24T12:00:00+02:00")
    publish(database.url, pd.DataFrame({"patient": ["1"], "when": pd.Series([moment])}))
    ((stored,),) = database.execute('SELECT "when" FROM predictions')
    found = stored if isinstance(stored, datetime) else datetime.fromisoformat(stored)
    assert (found if found.tzinfo else found.replace(tzinfo=UTC)) == moment


def test_column_names_of_any_shape(database: Database) -> None:
    """Names that look like parameters, quotes or functions are names."""
    rows = pd.DataFrame([["1", 1.0, 2.0, 3.0, 4.0, 5.0]], columns=["patient", "a%b", "a:b", 'a"b', "a(b)", "größe ²"])
    publish(database.url, rows)
    assert database.rows() == [("1", 1.0, 2.0, 3.0, 4.0, 5.0, RUN, "primary")]


def test_more_rows_than_one_statement_takes(database: Database) -> None:
    """12,001 rows go in three statements and one publication."""
    rows = pd.DataFrame({"patient": [f"p{index:06}" for index in range(12_001)], "risk": np.arange(12_001) / 7})
    assert publish(database.url, rows).rows == 12_001
    assert database.execute("SELECT count(*), count(DISTINCT patient) FROM predictions") == [(12_001, 12_001)]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: rows.drop(columns="risk"),
        lambda rows: rows.assign(extra=1),
        lambda rows: rows.iloc[:0],
        lambda rows: rows.assign(patient=["a", "a", "b"]),
        lambda rows: rows.assign(patient=["a", None, "b"]),
        lambda rows: rows.assign(risk=[1.0, float("inf"), 2.0]),
        lambda rows: rows.assign(note=[{"a": TEXT}, "b", "c"]),
        lambda rows: rows.rename(columns={"note": sql.LABEL}),
    ],
    ids=["missing", "extra", "empty", "repeated-key", "null-key", "infinite", "object", "our-column"],
)
def test_a_frame_that_does_not_fit_is_refused(database: Database, spoil: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """It is refused before anything is written."""
    rows = spoil(frame())
    columns = [sql.LABEL if name == "note" and sql.LABEL in rows.columns else name for name in ("risk", "class", "note")]
    with pytest.raises(DataRefused) as refused:
        publish(database.url, rows, columns=columns)
    assert TEXT not in told(refused.value)
    assert "predictions" not in database.tables()
    assert not database.staging()


@pytest.mark.parametrize(
    ("definition", "rows"),
    [
        (f"patient text, risk double precision CHECK (risk < 1), note text, {sql.RUN} text, {sql.LABEL} text", {"risk": [float(NUMBER)]}),
        (f"patient text, risk double precision, note text UNIQUE, {sql.RUN} text, {sql.LABEL} text", {"patient": ["1", "2"]}),
        (f"patient text, risk double precision, note text, must text NOT NULL, {sql.RUN} text, {sql.LABEL} text", {}),
        (f"patient text, risk text, note text, {sql.RUN} text, {sql.LABEL} text", {}),
        (f"patient text, note text, {sql.RUN} text, {sql.LABEL} text", {}),
        ("patient text, risk double precision, note text", {}),
    ],
    ids=["check", "unique", "not-null", "type", "column", "not-ours"],
)
def test_a_table_that_does_not_fit_is_refused_without_a_value(database: Database, definition: str, rows: dict[str, list[Any]]) -> None:
    """The database's own words quote rows; ours do not. Nothing is published, staging is empty, and no receipt is left."""
    database.execute(f"CREATE TABLE predictions ({definition})")
    count = max([1, *(len(values) for values in rows.values())])
    data = {"patient": [TEXT] * count, "risk": [float(NUMBER)] * count, "note": [TEXT] * count, **rows}
    with pytest.raises(DataRefused) as refused:
        publish(database.url, pd.DataFrame(data), mode="append")
    assert not any(canary in told(refused.value) for canary in (*CANARIES, database.password))
    assert (database.rows(), database.receipts(), database.staging()) == ([], [], set())


@pytest.mark.parametrize(
    "series",
    [pd.Series([2**64 - 1], dtype="uint64"), pd.Series([f"{TEXT}\x00after"]), pd.Series([f"{TEXT}\udc80"], dtype=object)],
    ids=["too-large", "nul", "surrogate"],
)
def test_values_that_no_column_takes_raise_our_own_error(database: Database, series: pd.Series[Any]) -> None:
    """Either the database takes the value whole or it is our own error; a driver's exception never gets out."""
    rows = pd.DataFrame({"patient": ["1"], "odd": series})
    if taken := not database.postgresql and "\x00" in str(series[0]):
        publish(database.url, rows)
    else:
        with pytest.raises(DataRefused) as refused:
            publish(database.url, rows)
        assert TEXT not in told(refused.value)
    assert ("predictions" in database.tables()) is taken
    assert not taken or database.execute("SELECT odd FROM predictions") == [(series[0],)]
    assert not database.staging()


def test_two_runs_at_once_both_publish(database: Database) -> None:
    """Runs that publish the same keys into one new table at the same moment follow one another; each key is there once."""
    failures: list[BaseException] = []
    start = threading.Barrier(4)

    def one(number: int) -> None:
        try:
            start.wait()
            publish(database.url, frame("abcdef", number), run_id=f"{number}" * 32)
        except BaseException as error:  # noqa: BLE001 - told by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [row[0] for row in database.rows()] == list("abcdef")
    assert len({row[4] for row in database.rows()}) == 1
    assert len(database.receipts()) == 4
    assert not database.staging()


def test_the_same_run_on_two_hosts_publishes_once(database: Database) -> None:
    """A superseded process and its successor at the same moment leave one set of rows and one receipt."""
    failures: list[BaseException] = []
    results: list[sql.Published] = []
    start = threading.Barrier(2)

    def one() -> None:
        try:
            start.wait()
            results.append(publish(database.url, frame("abcdef"), mode="append"))
        except GatehouseError as error:
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [result.repeated for result in results].count(False) == 1
    assert [row[0] for row in database.rows()] == list("abcdef")
    assert len(database.receipts()) == 1
    assert not database.staging()


def test_a_wrong_password_is_not_repeated(postgres: PostgresServer) -> None:
    """The server's refusal comes as one clear error without user or password."""
    with pytest.raises(Unavailable) as refused:
        publish(postgres.url(postgres.new_database(), password=CANARIES[1]), frame())
    assert not any(word in told(refused.value) for word in (*CANARIES, postgres.password))
    assert refused.value.advice


def test_a_server_that_is_not_there(postgres: PostgresServer) -> None:
    """Nobody listens: the run can be resumed later, and the address is not repeated."""
    port = free_port()
    url = f"postgresql+psycopg://writer:{CANARIES[1]}@127.0.0.1:{port}/clinic"
    with pytest.raises(Unavailable) as gone:
        publish(url, frame())
    assert not any(word in told(gone.value) for word in (*CANARIES, str(port), "writer"))


@pytest.mark.parametrize("url", [f"oracle9://u:{CANARIES[1]}@h/d", f"mssql+pymssql://u:{CANARIES[1]}@h/d"])
def test_a_driver_that_is_not_there(url: str) -> None:
    """A database nobody has installed a driver for is named as such."""
    with pytest.raises(Unavailable, match="driver is not installed") as gone:
        publish(url, frame())
    assert CANARIES[1] not in told(gone.value)


def test_a_plain_postgresql_address_works(postgres: PostgresServer) -> None:
    """An address without a driver's name is served by the driver that the extra installs."""
    name = postgres.new_database()
    publish(postgres.url(name).replace("+psycopg", ""), frame())
    assert len(Database(postgres.url(name), postgres.password).rows()) == 3


def test_an_address_that_leads_elsewhere_is_not_connected_to(postgres: PostgresServer) -> None:
    """A declared host in front of another one in the options: nothing is opened."""
    name = postgres.new_database()
    url = f"postgresql+psycopg://gatehouse_owner:{postgres.password}@declared.example.org/{name}?host=127.0.0.1&port={postgres.port}"
    with pytest.raises(InputError):
        publish(url, frame())
    assert not Database(postgres.url(name), postgres.password).tables()


def test_a_read_only_database_can_be_resumed(postgres: PostgresServer) -> None:
    """No right to write is operational, not a verdict on the data."""
    name = postgres.new_database()
    there = Database(postgres.url(name), postgres.password)
    publish(there.url, frame("xy"), run_id=OTHER_RUN)
    there.execute(f"ALTER DATABASE {name} SET default_transaction_read_only TO on")
    with pytest.raises(StorageError) as refused:
        publish(there.url, frame())
    assert len(there.rows()) == 2
    assert "resume" in refused.value.advice


def test_a_folder_that_is_not_there_can_be_resumed(tmp_path: Path) -> None:
    """A SQLite file that can't be opened is operational, and its path is not repeated."""
    with pytest.raises(Unavailable) as gone:
        publish(f"sqlite:///{tmp_path / 'missing' / 'clinic.sqlite'}", frame())
    assert str(tmp_path) not in str(gone.value)
