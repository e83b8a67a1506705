"""A query as a source, on SQLite and on a real PostgreSQL: types, streaming, nothing written, nothing told."""

from __future__ import annotations

import contextlib
import pickle
import sqlite3
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from prefect_gatehouse.data.sources import BATCH_ROWS, FramePlace, SqlPlace, open_source, sql_dialects
from prefect_gatehouse.errors import Denied, GatehouseError, InputError, Unavailable
from prefect_gatehouse.manifest.endpoints import endpoint_of

SECRETS = ("canary", "no-such-password")


class Address:
    """An access that knows an address."""

    def __init__(self, url: str) -> None:
        self._url = url

    def address(self) -> str:
        return self._url

    def bucket(self) -> Any:
        raise AssertionError("a query asks for no bucket")


@contextlib.contextmanager
def opened(url: str, query: str) -> Iterator[Any]:
    with open_source(SqlPlace(query, "clinic", endpoint_of(url)), access=Address(url)) as source:
        yield source


def read(url: str, query: str, columns: list[str]) -> pa.Table:
    with opened(url, query) as source:
        return pa.Table.from_batches(source.batches(columns))


def test_rows_types_and_digest(database: Any) -> None:
    """Text with percent signs and colons, numbers, nulls; only the columns asked for, in their order; the digest is that of the content."""
    database.execute("CREATE TABLE p (name TEXT, n BIGINT, x DOUBLE PRECISION, blank BIGINT, other TEXT)")
    database.execute(
        "INSERT INTO p VALUES ('a%\\:b', 1, 0.5, NULL, 'canary'), (NULL, NULL, NULL, NULL, NULL), ('ü', -9007199254740993, 2, NULL, 'x')"
    )
    query = "SELECT * FROM p WHERE name LIKE '%' OR name IS NULL -- all"
    with opened(database.url, query) as source:
        assert source.names == ("name", "n", "x", "blank", "other")
        assert source.typed
        with pytest.raises(InputError, match="when its rows have been read"):
            source.digest()
        table = pa.Table.from_batches(source.batches(["n", "name", "x"]))
        assert source.progress() == (3, 3)
        assert (dict(source.rejects.counted), list(source.rejects.rows)) == ({}, [])
        digest = source.digest()
    assert sorted(map(tuple, (row.values() for row in table.to_pylist())), key=repr) == sorted(
        [(1, "a%:b", 0.5), (None, None, None), (-9007199254740993, "ü", 2.0)], key=repr
    )
    assert table.schema.types == [pa.int64(), pa.string(), pa.float64()]
    with open_source(FramePlace(table.to_pandas(types_mapper=pd_arrow()))) as frame:
        assert frame.digest() == digest, "equal content in equal types has one digest, whatever holds it"
    database.execute("UPDATE p SET x = 0.75 WHERE n = 1")
    with opened(database.url, query) as source:
        list(source.batches(["n", "name", "x"]))
        assert source.digest() != digest


def pd_arrow() -> Any:
    import pandas as pd

    return pd.ArrowDtype


def test_many_rows_in_order_and_in_flat_memory(database: Any) -> None:
    """Rows stream: batches of one size, in the query's order, with a fraction of the table in memory at a time."""
    numbers = (
        "generate_series(0, 149999) AS t(n)"
        if database.postgresql
        else "(WITH RECURSIVE t(n) AS (SELECT 0 UNION ALL SELECT n+1 FROM t LIMIT 150000) SELECT n FROM t)"
    )
    query = f"SELECT n, 'patient-' || n || '-0123456789012345678901234567890123456789' AS name FROM {numbers} ORDER BY n"
    seen: list[int] = []
    expected = 0
    database.execute("CREATE TABLE t (a INT)")
    with opened(database.url, query) as source:
        source.names  # noqa: B018
        tracemalloc.start()
        for batch in source.batches(["n", "name"]):
            seen.append(batch.num_rows)
            assert batch.column("n")[0].as_py() == expected
            assert batch.column("name")[-1].as_py().startswith(f"patient-{expected + batch.num_rows - 1}-")
            expected += batch.num_rows
            done, total = source.progress()
            assert done == expected <= total
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert seen == [BATCH_ROWS] * 4 + [150_000 - 4 * BATCH_ROWS]
    # All rows at once as Python objects are some 30 MB; 8,192 of them at a time are 2.
    assert peak < 8_000_000


def test_postgresql_types(postgres: Any) -> None:
    """Each type by its name, not by its values: exact decimals, days, times with and without zone, UUIDs as text."""
    url = postgres.url(postgres.new_database())
    query = """SELECT true AS b, 1::smallint AS s, 2::int AS i, 3::bigint AS l, 0.1::real AS r, 0.2::float8 AS d,
        'x'::varchar(9) AS v, 'y'::char(1) AS c,
        1.50::numeric(6, 2) AS m, DATE '2026-11-24' AS day, TIMESTAMP '2026-11-24 12:00:00.000001' AS at,
        TIMESTAMPTZ '2026-11-24 12:00:00+02' AS zoned, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS u, '\\x00'::bytea AS bytes,
        '{"a": "canary"}'::jsonb AS json, 1.5::numeric AS free, now() - now() AS span, NULL::int AS none
        UNION ALL SELECT NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL::numeric(6,2),NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"""
    columns = ["b", "s", "i", "l", "r", "d", "v", "c", "m", "day", "at", "zoned", "u", "none"]
    table = read(url, query, columns)
    assert list(table.to_pylist()[0].values()) == [
        *(True, 1, 2, 3, 0.1, 0.2, "x", "y", Decimal("1.50"), date(2026, 11, 24), datetime(2026, 11, 24, 12, 0, 0, 1)),
        *(datetime(2026, 11, 24, 10, tzinfo=UTC), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", None),
    ]
    assert set(table.to_pylist()[1].values()) == {None}
    assert [str(kind) for kind in table.schema.types] == [
        *("bool", "int16", "int32", "int64", "double", "double", "string", "string", "decimal128(6, 2)", "date32[day]"),
        *("timestamp[us]", "timestamp[us, tz=UTC]", "string", "int32"),
    ]
    for column, reason in {"bytes": "bytes", "json": "JSON", "free": "numeric without digits", "span": "intervals"}.items():
        with pytest.raises(InputError, match=f"column '{column}' .*{reason}") as refused:
            read(url, query, [column])
        assert "canary" not in str(refused.value)
        assert "cast" in refused.value.advice


def test_sqlite_types_are_those_of_the_values(tmp_path: Path) -> None:
    """SQLite declares nothing that holds: the first values decide, a later one that differs refuses, whole numbers among fractions are numbers."""
    url = f"sqlite:///{tmp_path / 'clinic.sqlite'}"
    with contextlib.closing(sqlite3.connect(tmp_path / "clinic.sqlite")) as connection:
        connection.execute("CREATE TABLE t (mixed, late, number, bytes, nulls)")
        rows = [(1, None, 1, b"canary", None)] + [(2, None, 2.5, b"x", None)] * 1500 + [("canary", "text", 3, b"y", None)]
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
        connection.commit()
    table = read(url, "SELECT * FROM t", ["late", "number", "nulls"])
    assert table.schema.types == [pa.string(), pa.float64(), pa.null()]
    assert (table["late"][-1].as_py(), table["number"][0].as_py(), table["nulls"].null_count) == ("text", 1.0, 1502)
    for column, message in {"mixed": "not int64", "bytes": "holds bytes"}.items():
        with pytest.raises(InputError, match=f"column '{column}' .*{message}") as refused:
            read(url, "SELECT * FROM t", [column])
        assert "canary" not in str(refused.value)
    assert read(url, "SELECT CAST(mixed AS TEXT) AS mixed FROM t", ["mixed"]).num_rows == 1502


ATTACKS: dict[str, tuple[str | None, str | None]] = {
    # By dialect; where the check of the text does not see it, the database must.
    "attach": ("SELECT * FROM (SELECT load_extension('canary'))", None),
    "pragma-function": ("SELECT * FROM pragma_database_list", None),
    "writing-function": (None, "SELECT nextval('canary_seq')"),
    "function-that-writes": (None, "SELECT canary_writes() AS a"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_query_that_writes_past_the_text_is_stopped_by_the_database(database: Any, attack: str) -> None:
    """What looks like reading and is not ends as Denied, with nothing changed."""
    query = ATTACKS[attack][database.postgresql]
    if query is None:
        assert ATTACKS[attack][not database.postgresql] is not None
        return
    if database.postgresql:
        database.execute("CREATE TABLE canary (a INT)")
        database.execute("CREATE SEQUENCE canary_seq")
        database.execute("CREATE FUNCTION canary_writes() RETURNS INT LANGUAGE SQL AS 'INSERT INTO canary VALUES (1) RETURNING a'")
    else:
        database.execute("CREATE TABLE canary (a INT)")
    with pytest.raises(Denied, match="does more than read") as refused, opened(database.url, query) as source:
        list(source.batches(list(source.names)))
    assert "canary" not in str(refused.value)
    assert database.execute("SELECT count(*) FROM canary") == [(0,)]


def test_the_transaction_is_rolled_back(postgres: Any) -> None:
    """What PostgreSQL lets a read-only transaction do all the same (large objects, before version 16) is undone at the end."""
    url = postgres.url(name := postgres.new_database())
    with contextlib.suppress(Denied):
        read(url, "SELECT lo_create(0)::int AS a", ["a"])
    with postgres.connect(name) as connection:
        assert connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone() == (0,)


FAILURES: dict[str, tuple[str, type[GatehouseError], str]] = {
    "no-table": ("SELECT canary FROM nowhere", InputError, "can't run the query"),
    "no-column": ("SELECT canary FROM t", InputError, "can't run the query"),
    "syntax": ("SELECT FROM WHERE canary", InputError, "can't run the query"),
    "placeholder": ("SELECT a FROM t WHERE a = %(canary)s", InputError, "can't run the query"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_what_the_database_refuses_is_told_by_code_only(database: Any, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither the query nor the driver's text is in the error or on the terminal, and no driver's error is chained to it."""
    database.execute("CREATE TABLE t (a INT)")
    query, kind, message = FAILURES[case]
    with pytest.raises(kind, match=message) as refused, opened(database.url, query) as source:
        list(source.batches(list(source.names)))
    assert "canary" not in str(refused.value)
    assert refused.value.__cause__ is None and refused.value.__suppress_context__
    assert "canary" not in "".join(capfd.readouterr())


def test_a_value_that_fails_within_the_database(postgres: Any) -> None:
    """A division by zero after thousands of rows, a cast that fails on a value, a day that no calendar has: ours, without the value."""
    url = postgres.url(postgres.new_database())
    for query in (
        "SELECT 1 / (9000 - n) AS a FROM generate_series(1, 9001) AS t(n)",
        "SELECT 'canary'::text::int AS a",
        "SELECT 'infinity'::date AS a",
        "SELECT DATE '10000-01-01' AS a",
    ):
        with pytest.raises(InputError) as refused:
            read(url, query, ["a"])
        assert "canary" not in str(refused.value)


def test_a_query_that_takes_too_long_is_ended(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is told when to stop; the error can be tried again."""
    monkeypatch.setattr(sql_dialects, "STATEMENT_SECONDS", 0.2)
    database.execute("CREATE TABLE t (a INT)")
    endless = "SELECT count(*) AS n FROM (WITH RECURSIVE t(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM t) SELECT n FROM t) AS x"
    with pytest.raises(Unavailable, match="too long"):
        read(database.url, endless, ["n"])


def test_the_address_must_be_the_declared_system(database: Any) -> None:
    """Another database than the declared one is refused before it is asked anything; so is one behind an option."""
    place = SqlPlace("SELECT 1 AS a", "clinic", "postgresql://db.example.org/clinic")
    with (
        pytest.raises(Denied, match=r"systems\.clinic: the source address is not the declared system"),
        open_source(place, access=Address(database.url)),
    ):
        pass
    with (
        pytest.raises(InputError, match=r"credentials\.read_source: the source address has an option"),
        opened_as(database.url + "?options=-cx%3Dy", place),
    ):
        pass
    with pytest.raises(InputError, match="needs a credential"), open_source(place):
        pass


def opened_as(url: str, place: SqlPlace) -> Any:
    return open_source(place, access=Address(url))


def test_sign_in_and_silence(postgres: Any, tmp_path: Path) -> None:
    """A wrong password is Denied or Unavailable, nobody there is Unavailable, and neither tells the address; a missing SQLite file is not made."""
    for url in (
        postgres.url(password="no-such-password"),
        "postgresql+psycopg://user:no-such-password@127.0.0.1:1/clinic",
        f"sqlite:///{tmp_path / 'none.sqlite'}",
    ):
        with pytest.raises((Denied, Unavailable)) as refused:
            read(url, "SELECT 1 AS a", ["a"])
        assert not any(word in str(refused.value) for word in ("no-such-password", "127.0.0.1", "none.sqlite", "gatehouse_owner"))
    assert not (tmp_path / "none.sqlite").exists()


def test_the_snapshot_holds_while_others_write(database: Any) -> None:
    """What is written after the first look is not seen by the second: names, types and rows belong together."""
    database.execute("CREATE TABLE t (a BIGINT)")
    database.execute("INSERT INTO t VALUES (1)")
    with opened(database.url, "SELECT a FROM t") as source:
        assert source.names == ("a",)
        if database.postgresql:  # SQLite's writer waits for the reader, as its lock demands
            database.execute("INSERT INTO t VALUES (2)")
        assert [batch.to_pydict() for batch in source.batches(["a"])] == [{"a": [1]}]


def test_a_place_goes_to_another_process_and_shows_no_query() -> None:
    """It is picklable, holds no secret, and its repr leaves the query out."""
    place = SqlPlace("SELECT 'canary'", "clinic", "sqlite:///clinic.sqlite")
    assert pickle.loads(pickle.dumps(place)) == place
    assert "canary" not in repr(place)


def test_a_query_without_rows(database: Any) -> None:
    """No batch, and a digest of nothing but the columns."""
    database.execute("CREATE TABLE t (a INT)")
    with opened(database.url, "SELECT 1 AS a WHERE 1 = 0") as source:
        assert list(source.batches(["a"])) == []
        assert len(source.digest()) == 64
