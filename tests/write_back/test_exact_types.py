"""A table gives back exactly what a run sent, or nothing is written: every kind of value against every type that could change it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.write_back.rows import LABEL, RUN, rows_of
from tests.write_back.databases import Database, publish

OURS = f"{RUN} text, {LABEL} text"
ZONED = pa.timestamp("us", "UTC")
NOON = dt.datetime(2026, 11, 24, 12, 0, 0, 123456)
NOON_UTC = NOON.replace(tzinfo=dt.UTC)

# Type of the column on PostgreSQL, type of the values, a value that it holds, one that it would change or refuse.
POSTGRESQL: dict[str, tuple[str, pa.DataType, Any, Any]] = {
    "integer-into-smallint": ("smallint", pa.int64(), 32767, 32768),
    "integer-into-integer": ("integer", pa.int64(), -(2**31), 2**31),
    "integer-into-real": ("real", pa.int64(), 16777216, 9007199254740993),
    "integer-into-double": ("double precision", pa.int64(), 2**53, 9007199254740993),
    "integer-into-numeric": ("numeric(3, 0)", pa.int64(), 999, 1000),
    "integer-into-numeric-with-a-scale": ("numeric(3, 1)", pa.int64(), 99, 100),
    "float-into-real": ("real", pa.float64(), 0.25, 0.1),
    "float-into-numeric": ("numeric(3, 1)", pa.float64(), 0.1, 0.0449),
    "float-into-any-numeric": ("numeric", pa.float64(), 0.1 + 0.2, None),
    "single-into-real": ("real", pa.float32(), 0.1, None),
    "decimal-into-numeric": ("numeric(5, 2)", pa.decimal128(10, 4), Decimal("1.2300"), Decimal("1.2345")),
    "decimal-into-any-numeric": ("numeric", pa.decimal128(38, 9), Decimal("12345678901234567890.123456789"), None),
    "decimal-into-double": ("double precision", pa.decimal128(38, 9), Decimal("0.1"), Decimal("12345678901234567890.123456789")),
    "text-into-varchar": ("varchar(3)", pa.string(), "abc", "abcd"),
    "text-into-varchar-with-blanks": ("varchar(3)", pa.string(), "abc", "abc "),
    "text-into-char": ("char(3)", pa.string(), "xyz", "xy"),
    "text-into-an-enumeration": ("mood", pa.string(), "calm", "lively"),
    "text-into-a-domain": ("short", pa.string(), "abc", "abcd"),
    "text-with-a-nul": ("text", pa.string(), "a", "a\x00b"),
    "time-into-whole-seconds": ("timestamp(0)", pa.timestamp("us"), NOON.replace(microsecond=0), NOON),
    "time-into-a-zone": ("timestamp with time zone", ZONED, NOON_UTC, None),
    "time-into-milliseconds": ("timestamp(3) with time zone", ZONED, NOON_UTC.replace(microsecond=1000), NOON_UTC),
    "truth-into-integer": ("integer", pa.bool_(), True, None),
    "truth-into-boolean": ("boolean", pa.bool_(), False, None),
    "date-into-date": ("date", pa.date32(), dt.date(2026, 11, 24), None),
}
SQLITE: dict[str, tuple[str, pa.DataType, Any, Any]] = {
    "integer-into-real": ("REAL", pa.int64(), 2**53, 9007199254740993),
    "integer-into-numeric": ("NUMERIC(3, 1)", pa.int64(), 9007199254740993, None),
    "float-into-numeric": ("NUMERIC(3, 1)", pa.float64(), 0.0449, None),
    "float-into-decimal": ("DECIMAL(10, 2)", pa.float64(), 2.0, None),
    "decimal-into-real": ("REAL", pa.decimal128(38, 9), Decimal("0.1"), Decimal("12345678901234567890.123456789")),
    "text-into-varchar": ("VARCHAR(3)", pa.string(), "abcd", None),
    "text-that-looks-like-a-number": ("TEXT", pa.string(), "1e5", None),
    "text-with-a-nul": ("TEXT", pa.string(), "a\x00b", None),
    "truth-into-integer": ("INTEGER", pa.bool_(), True, None),
    "truth-into-boolean": ("BOOLEAN", pa.bool_(), False, None),
    "time-into-datetime": ("DATETIME", pa.timestamp("us"), NOON, None),
    "date-into-date": ("DATE", pa.date32(), dt.date(2026, 11, 24), None),
}
# Type of the column, type of the values: refused whatever they are. A type that only one database has is tried there.
NEVER: dict[str, tuple[str, pa.DataType, Any]] = {
    "float-into-integer": ("integer", pa.float64(), 2.0),
    "text-into-numeric": ("numeric", pa.string(), "1e5"),
    "text-into-integer": ("integer", pa.string(), "1"),
    "integer-into-text": ("text", pa.int64(), 1),
    "integer-into-boolean": ("boolean", pa.int64(), 1),
    "truth-into-text": ("text", pa.bool_(), True),
    "time-into-date": ("date", pa.timestamp("us"), NOON),
    "time-into-text": ("text", pa.timestamp("us"), NOON),
    "date-into-time": ("timestamp", pa.date32(), dt.date(2026, 11, 24)),
}
POSTGRESQL_NEVER: dict[str, tuple[str, pa.DataType, Any]] = {
    "zone-into-no-zone": ("timestamp", ZONED, NOON_UTC),
    "no-zone-into-zone": ("timestamp with time zone", pa.timestamp("us"), NOON),
    "text-into-json": ("jsonb", pa.string(), "{}"),
    "text-into-uuid": ("uuid", pa.string(), "3f0d5a3e-0000-4000-8000-000000000001"),
    "text-into-a-point": ("point", pa.string(), "(1,2)"),
    "text-into-bytes": ("bytea", pa.string(), "a"),
    "integer-into-an-array": ("integer[]", pa.int64(), 1),
    "integer-into-money": ("money", pa.int64(), 1),
}


def make(database: Database, kind: str) -> None:
    if database.postgresql:
        database.execute("CREATE TYPE mood AS ENUM ('calm', 'busy')")
        database.execute("CREATE DOMAIN short AS varchar(3)")
    database.execute(f"CREATE TABLE predictions (patient text PRIMARY KEY, odd {kind}, {OURS})")


def send(database: Database, values: list[Any], kind: pa.DataType, **more: Any) -> None:
    keys = [f"p{number}" for number in range(len(values))]
    publish(database.url, pa.table({"patient": pa.array(keys), "odd": pa.array(values, kind)}), columns=["odd"], **more)


def same(found: Any, value: Any, kind: pa.DataType) -> bool:
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return str(found).replace("+00:00", "") == str(value).replace("+00:00", "")
    if isinstance(value, Decimal):
        return Decimal(str(found)) == value
    return bool(float(found) == value if isinstance(value, float) else found == value)


def check(database: Database, case: tuple[str, pa.DataType, Any, Any], mode: str) -> None:
    declared, kind, good, bad = case
    make(database, declared)
    if bad is not None:
        for values in ([bad], [good, bad]):
            with pytest.raises(DataRefused, match=r"odd \(") as refused:
                send(database, values, kind, mode=mode)
            assert str(bad) not in str(refused.value)
            assert (database.rows(), database.receipts(), database.staging()) == ([], [], set())
    send(database, [good, None], kind, mode=mode)
    rows = database.execute("SELECT odd FROM predictions ORDER BY patient")
    assert rows[1] == (None,)
    assert same(rows[0][0], good, kind) or kind == pa.float32(), rows


@pytest.mark.parametrize("mode", ["append", "upsert"])
@pytest.mark.parametrize("name", list(POSTGRESQL))
def test_postgresql(database: Database, name: str, mode: str) -> None:
    """What the column holds exactly goes in, what it would round, cut or pad is refused with column and type and without the value."""
    if database.postgresql:
        check(database, POSTGRESQL[name], mode)


@pytest.mark.parametrize("name", list(SQLITE))
def test_sqlite(database: Database, name: str) -> None:
    """SQLite's columns have an affinity that converts what it can; what would come back as something else is refused."""
    if not database.postgresql:
        check(database, SQLITE[name], "upsert")


@pytest.mark.parametrize("name", [*NEVER, *POSTGRESQL_NEVER])
def test_a_kind_that_a_type_does_not_take(database: Database, name: str) -> None:
    """Refused before a row is staged, whatever the values are."""
    declared, kind, value = {**NEVER, **POSTGRESQL_NEVER}[name]
    if name in NEVER or database.postgresql:
        make(database, declared)
        with pytest.raises(DataRefused, match=r"column odd is .* and takes no"):
            send(database, [value], kind)
        assert (database.rows(), database.receipts(), database.staging()) == ([], [], set())


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (pa.array([2**64 - 1], pa.uint64()), "uint64 and holds whole numbers beyond 64 bits"),
        (pa.array([1], pa.timestamp("ns")), "finer than a microsecond"),
        (
            pa.array([1 << 62], pa.timestamp("s", "canary/Zone")),
            r"is timestamp\[s\] and holds times .* beyond the calendar",
        ),
        (pa.array([253_402_300_800_000_000]).view(pa.timestamp("us")), "beyond the calendar"),
        (pa.array([-62_135_596_800_000_001]).view(pa.timestamp("us", "UTC")), "beyond the calendar"),
        (pa.array([2_932_897], pa.int32()).view(pa.date32()), "beyond the calendar"),
        (pa.array([float("-inf")]), "not finite"),
        (pa.array([b"a"]), "binary: neither number"),
        (pa.array([{"canary-name": 1}]), "nested: neither number"),
        (pa.array([[1]]), "nested: neither number"),
        (pa.array([1], pa.duration("s")), "neither number"),
        (pa.array([1], pa.time64("us")), "neither number"),
    ],
)
def test_values_that_no_database_has(database: Database, values: pa.Array, told: str) -> None:
    """They are refused as they are, with the column's name and type; nothing is asked of the database."""
    with pytest.raises(DataRefused, match=told) as refused:
        publish(database.url, pa.table({"patient": ["1"], "odd": values}), columns=["odd"])
    assert "write_back odd" in str(refused.value)
    assert "canary" not in str(refused.value)
    assert not database.tables()


def test_the_ends_of_the_calendar() -> None:
    """The first and the last instant that Python and databases know are times as others are."""
    times = pa.array([-62_135_596_800_000_000, 253_402_300_799_999_999]).view(pa.timestamp("us"))
    days = pa.array([-719_162, 2_932_896], pa.int32()).view(pa.date32())
    rows = rows_of(pa.table({"patient": ["1", "2"], "at": times, "on": days}), "patient", ["patient", "at", "on"], zones=False)
    assert [row.year for row in rows.table.column("at").to_pylist()] == [day.year for day in rows.table.column("on").to_pylist()] == [1, 9999]


def test_whole_numbers_with_gaps_stay_whole(database: Database) -> None:
    """A missing value makes no floats of a column: beyond 2^53 they would be other numbers."""
    publish(database.url, pa.table({"patient": ["1", "2"], "odd": pa.array([2**53 + 1, None])}), columns=["odd"])
    assert database.execute("SELECT odd FROM predictions ORDER BY patient") == [(2**53 + 1,), (None,)]


def test_what_is_no_number_is_missing(database: Database) -> None:
    """NaN is how pandas says that a number is missing."""
    publish(database.url, pa.table({"patient": ["1", "2"], "odd": [float("nan"), 0.5]}), columns=["odd"])
    assert database.execute("SELECT odd FROM predictions ORDER BY patient") == [(None,), (0.5,)]


def test_exact_decimals_in_a_new_table(database: Database) -> None:
    """PostgreSQL keeps them as they are; SQLite has none, so those that are no double's shortest form are refused."""
    exact = pa.table({"patient": ["1"], "odd": [Decimal("12345678901234567890.5")]})
    if database.postgresql:
        publish(database.url, exact, columns=["odd"])
        assert database.execute("SELECT odd FROM predictions") == [(Decimal("12345678901234567890.5"),)]
    else:
        with pytest.raises(DataRefused, match=r"odd \("):
            publish(database.url, exact, columns=["odd"])
        publish(database.url, pa.table({"patient": ["1"], "odd": [Decimal("0.10")]}), columns=["odd"])
        assert database.execute("SELECT odd FROM predictions") == [(0.1,)]


def test_a_key_that_would_be_padded(database: Database) -> None:
    """A key that comes back as another one is named like any column."""
    if database.postgresql:
        database.execute(f"CREATE TABLE predictions (patient char(10), risk double precision, {OURS})")
        with pytest.raises(DataRefused, match=r"patient \(CHAR\(10\)\)"):
            publish(database.url, pa.table({"patient": ["short"], "risk": [0.5]}))
        publish(database.url, pa.table({"patient": ["ten-digits"], "risk": [0.5]}))
