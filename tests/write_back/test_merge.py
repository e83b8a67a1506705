"""Rows that are merged by key change what the manifest names and nothing else, whatever the table looks like."""

from __future__ import annotations

import threading
from typing import Any

import pandas as pd
import pytest

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.write_back import merge
from prefect_gatehouse.write_back.rows import LABEL, RUN
from tests.write_back.databases import OTHER_RUN, Database, frame, publish
from tests.write_back.databases import RUN as THIS_RUN

OURS = f"{RUN} text, {LABEL} text"
# The key as a table may know it: primary, unique, unique only in part, only in the end, or known to nobody.
KEYS = {
    "primary": "patient text PRIMARY KEY",
    "unique": "patient text UNIQUE",
    "none": "patient text",
    "partly": "patient text",
    "deferred": "patient text UNIQUE DEFERRABLE INITIALLY DEFERRED",
}


def scores(keys: str, start: float) -> pd.DataFrame:
    return frame(keys, start)[["patient", "risk"]]


def make(database: Database, key: str, more: str = "") -> None:
    if key == "deferred" and not database.postgresql:
        key = "unique"
    database.execute(f"CREATE TABLE predictions ({KEYS[key]}, risk double precision, ward text DEFAULT 'none', {more} {OURS})")
    if key == "partly":
        database.execute("CREATE UNIQUE INDEX in_part ON predictions (patient) WHERE risk > 100")


@pytest.mark.parametrize("key", list(KEYS))
def test_columns_that_the_manifest_does_not_name_stay(database: Database, key: str) -> None:
    """Rows that are there keep what other people wrote into them, new ones get the table's defaults, and nobody else's row is touched."""
    make(database, key)
    database.execute("INSERT INTO predictions (patient, risk, ward) VALUES ('a', 9, 'north'), ('b', 9, 'south')")
    publish(database.url, scores("bc", 0.5))
    assert database.execute(f"SELECT patient, risk, ward, {RUN} FROM predictions ORDER BY patient") == [
        ("a", 9.0, "north", None),
        ("b", 0.5, "south", THIS_RUN),
        ("c", 0.75, "none", THIS_RUN),
    ]


def test_rows_that_hang_on_a_row_stay(database: Database) -> None:
    """Neither a foreign key that cascades nor a trigger on deletion sees a row go."""
    make(database, "primary")
    database.execute("CREATE TABLE visits (patient text REFERENCES predictions (patient) ON DELETE CASCADE, day text)")
    if not database.postgresql:  # SQLite heeds foreign keys only in connections that ask for it
        database.execute("CREATE TRIGGER gone AFTER DELETE ON predictions BEGIN DELETE FROM visits WHERE patient = OLD.patient; END")
    database.execute("INSERT INTO predictions (patient) VALUES ('a')")
    database.execute("INSERT INTO visits VALUES ('a', 'monday'), ('a', 'friday')")
    publish(database.url, scores("ab", 0.5))
    assert database.execute("SELECT count(*) FROM visits") == [(2,)]
    assert database.execute("SELECT patient, risk FROM predictions ORDER BY patient") == [("a", 0.5), ("b", 0.75)]


def test_generated_columns_follow_and_numbers_stay(database: Database) -> None:
    """A generated column is computed anew, a row's own number is kept, and no number is used up for a row that is there."""
    number = "number integer GENERATED ALWAYS AS IDENTITY," if database.postgresql else "number integer PRIMARY KEY,"
    database.execute(
        f"CREATE TABLE predictions ({number} patient text UNIQUE, risk double precision, "
        f"share double precision GENERATED ALWAYS AS (risk * 100) STORED, {OURS})"
    )
    database.execute("INSERT INTO predictions (patient, risk) VALUES ('a', 0.1), ('b', 0.2)")
    publish(database.url, scores("bc", 0.5))
    assert database.execute("SELECT number, patient, share FROM predictions ORDER BY number") == [(1, "a", 10.0), (2, "b", 50.0), (3, "c", 75.0)]


def test_only_the_triggers_of_what_happens_fire(database: Database) -> None:
    """A row that is there is updated, as a trigger that counts sees it, and never inserted."""
    make(database, "primary")
    database.execute("CREATE TABLE seen (what text)")
    for what in ("INSERT", "UPDATE", "DELETE"):
        say = f"INSERT INTO seen VALUES ('{what}')"
        if database.postgresql:
            database.execute(f"CREATE FUNCTION say_{what}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {say}; RETURN coalesce(NEW, OLD); END$$")
            database.execute(f"CREATE TRIGGER t_{what} BEFORE {what} ON predictions FOR EACH ROW EXECUTE FUNCTION say_{what}()")
        else:
            database.execute(f"CREATE TRIGGER t_{what} BEFORE {what} ON predictions BEGIN {say}; END")
    database.execute("INSERT INTO predictions (patient) VALUES ('a')")
    publish(database.url, scores("ab", 0.5))
    assert sorted(database.execute("SELECT what FROM seen")) == [("INSERT",), ("INSERT",), ("UPDATE",)]


def test_a_trigger_that_changes_what_was_sent(database: Database) -> None:
    """What was validated is what stands in the table, or nothing does; the column is named, the value is not."""
    make(database, "primary")
    if database.postgresql:
        database.execute("CREATE FUNCTION rounded() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.risk = round(NEW.risk); RETURN NEW; END$$")
        database.execute("CREATE TRIGGER rounding BEFORE INSERT ON predictions FOR EACH ROW EXECUTE FUNCTION rounded()")
    else:
        database.execute(
            "CREATE TRIGGER rounding AFTER INSERT ON predictions BEGIN UPDATE predictions SET risk = round(risk) WHERE patient = NEW.patient; END"
        )
    with pytest.raises(DataRefused, match=r"1 of the rows otherwise than they were sent: other values in risk \((DOUBLE PRECISION|REAL)\)"):
        publish(database.url, scores("ab", 0.75).assign(risk=[0.75, 1.0]))
    assert (database.rows(), database.receipts(), database.staging()) == ([], [], set())


def test_a_key_that_is_one_of_several(database: Database) -> None:
    """One of two columns of the primary key identifies no row: updating by it would touch other people's, so it is refused."""
    database.execute(f"CREATE TABLE predictions (patient text, visit integer, risk double precision, {OURS}, PRIMARY KEY (patient, visit))")
    database.execute("INSERT INTO predictions (patient, visit, risk) VALUES ('a', 1, 9), ('a', 2, 9)")
    before = database.rows()
    with pytest.raises(DataRefused, match="one of several columns of the primary key"):
        publish(database.url, scores("a", 0.5).assign(visit=1))
    assert database.rows() == before
    database.execute("CREATE UNIQUE INDEX alone ON predictions (visit)")
    publish(database.url, pd.DataFrame({"visit": [1, 3], "risk": [0.5, 0.25], "patient": ["a", "c"]}), key="visit", columns=["risk", "patient"])
    assert database.execute("SELECT patient, visit, risk FROM predictions ORDER BY visit") == [("a", 1, 0.5), ("a", 2, 9.0), ("c", 3, 0.25)]


def test_a_column_that_must_not_be_null(database: Database) -> None:
    """A row that is new could not be inserted, so the whole is refused before a row is staged."""
    make(database, "primary", "doctor text NOT NULL,")
    with pytest.raises(DataRefused, match="columns doctor must not be null, have no default"):
        publish(database.url, scores("a", 0.5))
    assert (database.rows(), database.receipts()) == ([], [])


def test_a_generated_column_of_the_output(database: Database) -> None:
    """Nobody can write it, which is said with its name."""
    database.execute(
        f"CREATE TABLE predictions (patient text, half double precision, risk double precision GENERATED ALWAYS AS (half / 2) STORED, {OURS})"
    )
    with pytest.raises(DataRefused, match="column risk is generated by the database"):
        publish(database.url, scores("a", 0.5))


@pytest.mark.parametrize("key", ["primary", "none"])
def test_somebody_else_inserts_the_same_key(database: Database, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that another program inserts while rows are merged is updated or comes after, once; nothing fails."""
    make(database, key)
    failures: list[BaseException] = []

    def other() -> None:
        try:
            database.execute(
                "INSERT INTO predictions (patient, ward) SELECT 'b', 'west' WHERE NOT EXISTS (SELECT 1 FROM predictions WHERE patient = 'b')"
            )
        except BaseException as error:  # noqa: BLE001 - told by the assertion below
            failures.append(error)

    thread = threading.Thread(target=other)
    move = merge.move

    def meanwhile(*args: Any) -> None:
        if database.postgresql and key == "primary":
            other()  # committed before our statements: the row is updated
        else:
            thread.start()  # waits for our transaction or comes before it
        move(*args)

    monkeypatch.setattr(merge, "move", meanwhile)
    publish(database.url, scores("ab", 0.5))
    if thread.ident is not None:
        thread.join()
    rows = database.execute("SELECT patient, risk FROM predictions ORDER BY patient")
    assert {("a", 0.5), ("b", 0.75)} <= set(rows)
    if key == "primary":
        assert len(rows) == 2
        assert not failures or not database.postgresql


def test_a_second_run_merges_into_what_the_first_made(database: Database) -> None:
    """A table that Gatehouse made itself takes the next run's rows by key."""
    publish(database.url, frame("ab"), run_id=OTHER_RUN)
    publish(database.url, frame("bc", 10))
    assert [(row[0], row[1], row[4]) for row in database.rows()] == [("a", 0.0, OTHER_RUN), ("b", 10.0, THIS_RUN), ("c", 10.25, THIS_RUN)]
