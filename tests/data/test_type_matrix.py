"""Every Arrow type under every rule, from every kind of source, to the workload's frame and back: the right value, or a refusal that says why."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.test_minimise import KEY, ROOT, data
from tests.data.test_source_sql import Address

from prefect_gatehouse.data.counting import Counting, number
from prefect_gatehouse.data.digest import table_digest
from prefect_gatehouse.data.minimise import minimise
from prefect_gatehouse.data.rules import rule_for
from prefect_gatehouse.data.sources import FilesPlace, Place, SqlPlace
from prefect_gatehouse.errors import DataRefused, GatehouseError, InputError
from prefect_gatehouse.manifest.endpoints import endpoint_of
from prefect_gatehouse.store.artifacts import ArtifactStore
from prefect_gatehouse.tokens import ff1, permute, permute_blocks, siv
from prefect_gatehouse.workload.features import as_frame

BIG = 2**53 + 1
DAY, MOMENT, CLOCK = dt.date(2024, 2, 29), dt.datetime(2024, 2, 29, 23, 59, 58), dt.time(23, 59, 58)
EXACT = Context(prec=120)


def instants(unit: str, zone: str | None = None) -> pa.Array:
    first = dt.datetime(1, 2, 10) if unit != "ns" else dt.datetime(1677, 10, 30)  # nanoseconds of 64 bits begin in September
    values = [MOMENT, first, None, dt.datetime(1969, 7, 20, 20, 17, 40)]
    return pa.array([value and value.replace(tzinfo=dt.UTC if zone else None) for value in values], pa.timestamp(unit, zone))


def decimals(kind: pa.DataType) -> pa.Array:
    point = Decimal(1).scaleb(-kind.scale, EXACT)
    nines = Decimal("9" * kind.precision).scaleb(-kind.scale, EXACT)
    return pa.array([point, None, nines, nines.copy_negate(), Decimal(25 if kind.precision - kind.scale > 1 else 0)], kind)


# By what a rule makes of them: the Arrow types, each with missing values and the ends of its range.
TYPES: dict[str, dict[str, pa.Array]] = {
    "text": {
        str(kind): pa.array(["Übung", None, "", "abc", "NaN"], pa.string()).cast(kind) for kind in (pa.string(), pa.large_string(), pa.string_view())
    }
    | {"dictionary": pa.array(["Übung", None, "abc", "abc"]).dictionary_encode()},
    "bool": {"bool": pa.array([True, None, False]), "bool without gaps": pa.array([True, False])},
    "int": {
        str(kind): pa.array([0, 25, None, 127, 15, -128 if "u" not in str(kind) else 1], kind)
        for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
    }
    | {
        "int64 beyond doubles": pa.array([BIG, None, -BIG, 25, 2**62 + 1]),
        "int64 beyond doubles without gaps": pa.array([BIG, -BIG, BIG + 2, 25, 2**62 + 1]),
        "uint64 beyond doubles": pa.array([BIG, None, 25, 2**62 + 1], pa.uint64()),
        "dictionary of int64": pa.array([BIG, None, 25, 25]).dictionary_encode(),
    },
    "float": {str(kind): pa.array([0.5, None, 2.25, -1.0], kind) for kind in (pa.float16(), pa.float32(), pa.float64())}
    | {"double extremes": pa.array([1.5e18, 5e-324, -0.0, None])},
    "whole decimal": {str(kind): decimals(kind) for kind in (pa.decimal32(7, 0), pa.decimal64(16, 0), pa.decimal128(18, 0), pa.decimal256(18, 0))},
    "decimal": {
        str(kind): decimals(kind)
        for kind in (pa.decimal32(9, 2), pa.decimal64(18, 4), pa.decimal128(20, 2), pa.decimal128(5, 5), pa.decimal256(30, 12))
    }
    | {f"{kind} without gaps": decimals(kind).drop_null() for kind in (pa.decimal128(20, 2), pa.decimal256(30, 12))},
    "long decimal": {str(kind): decimals(kind) for kind in (pa.decimal128(38, 2), pa.decimal256(76, 10))},
    "date": {str(kind): pa.array([DAY, None, dt.date.min + dt.timedelta(40), dt.date(9999, 11, 1)], kind) for kind in (pa.date32(), pa.date64())},
    "timestamp": {f"timestamp {unit}": instants(unit) for unit in ("s", "ms", "us", "ns")},
    "instant": {f"timestamp {unit} {zone}": instants(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in ("UTC", "Europe/Athens")},
    "time": {str(kind): pa.array([CLOCK, None, dt.time.min], kind) for kind in (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"))},
    "duration": {f"duration {unit}": pa.array([dt.timedelta(days=9, seconds=1), None], pa.duration(unit)) for unit in ("s", "ms", "us", "ns")},
    "null": {"null": pa.nulls(3)},
    "other": {
        "binary": pa.array([b"a\xff", None]),
        "large_binary": pa.array([b"a\xff", None], pa.large_binary()),
        "binary_view": pa.array([b"a\xff", None], pa.binary_view()),
        "fixed_size_binary[2]": pa.array([b"a\xff", None], pa.binary(2)),
        "list": pa.array([[1], None]),
        "large_list": pa.array([[1], None], pa.large_list(pa.int64())),
        "fixed_size_list": pa.array([[1], None], pa.list_(pa.int64(), 1)),
        "struct": pa.array([{"a": 1}, None]),
        "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
        "uuid": pa.array([uuid.UUID(int=7).bytes, None], pa.uuid()),
        "json": pa.array(['{"a": 1}', None], pa.json_()),
        "bool8": pa.array([1, None], pa.bool8()),
        "month_day_nano_interval": pa.array([(1, 2, 3), None], pa.month_day_nano_interval()),
        "run_end_encoded": pa.RunEndEncodedArray.from_arrays([1, 2], pa.array([7, None], pa.int64())),
    },
}
NOT_IN_PARQUET = {"month_day_nano_interval", "run_end_encoded"}

NUMBERS = {"bool", "int", "float", "whole decimal", "decimal", "long decimal", "null"}
SPELT = {"text", "bool", "int", "whole decimal", "date", "instant", "null"}
DATES = {"date", "timestamp", "instant", "null"}
ALL = set(TYPES)
LOW, HIGH = -(10.0**3), 10.0**3
EDGES = [-1.7e308, 0.0, 15.0, 25.01, 1.7e308]

RULES: dict[str, tuple[dict[str, object], set[str]]] = {
    "keep": ({"rule": "keep"}, ALL - {"other"}),
    "scale": ({"rule": "keep", "scale": [LOW, HIGH]}, NUMBERS),
    "cmac": ({"rule": "tokenise", "scheme": "cmac"}, SPELT),
    "siv": ({"rule": "tokenise", "scheme": "siv", "join_domain": "x"}, SPELT),
    "codes": ({"rule": "tokenise", "scheme": "codes"}, SPELT),
    "permute": ({"rule": "tokenise", "scheme": "permute"}, {"int", "whole decimal", "null"}),
    "permute text": ({"rule": "tokenise", "scheme": "permute", "form": "text"}, {"int", "whole decimal", "null"}),
    "year": ({"rule": "generalise", "to": "year"}, DATES),
    "quarter": ({"rule": "generalise", "to": "quarter"}, DATES),
    "month": ({"rule": "generalise", "to": "month"}, DATES),
    "week": ({"rule": "generalise", "to": "week"}, DATES),
    "day": ({"rule": "generalise", "to": "day"}, DATES),
    "prefix": ({"rule": "generalise", "prefix": 1}, SPELT),
    "round": ({"rule": "generalise", "round_to": 10}, NUMBERS - {"long decimal"}),
    "round to a fraction": ({"rule": "generalise", "round_to": 0.5}, NUMBERS),
    "bins": ({"rule": "generalise", "bins": EDGES}, NUMBERS),
    "shift_dates": ({"rule": "shift_dates", "subject": "id", "days": 20}, DATES),
    "constant": ({"rule": "constant", "value": 7}, ALL),
}
BY_VALUE = {("float", "permute"), ("long decimal", "round")}
CELLS = [(rule, group, name) for rule in RULES for group, arrays in TYPES.items() for name in arrays]


def treated(array: pa.Array, rule: dict[str, object], folder: Path) -> pa.Table:
    """Through gate 2 from a Parquet file, in the order of the source."""
    pq.write_table(pa.table({"id": pa.array(range(len(array)), pa.int32()), "x": array}), folder / "x.parquet")
    return minimised(FilesPlace(folder, ("x.parquet",)), rule, folder)


def minimised(place: Place, rule: dict[str, object], folder: Path, access: Any = None) -> pa.Table:
    declared = data({"id": {"rule": "keep"}, "x": rule})
    store = ArtifactStore(folder / "artifacts")
    result = minimise(declared, place, ROOT, tenant="acme", run_id="run-1", store=store, key=KEY, access=access)
    table = store.read(result.artifact, KEY)
    assert table_digest(table) == result.data_digest, "what is read is what was digested"
    return table.sort_by("id")


def and_back(table: pa.Table) -> pd.Series[Any]:
    """The workload's column; what it gives back, as the outcome is stored, is what it was given."""
    frame = as_frame(table)
    back = pa.Table.from_pandas(frame, preserve_index=False)
    assert back.column("x").to_pylist() == table.column("x").to_pylist()
    if back.schema.field("x").type == table.schema.field("x").type:  # pandas knows no time32, and a decimal has as many digits as it needs
        assert table_digest(back.select(["x"])) == table_digest(table.select(["x"]))
    assert frame["x"].isna().tolist() == [value is None for value in table.column("x").to_pylist()]
    return frame["x"]


@pytest.mark.parametrize(("rule", "group", "name"), CELLS, ids=[f"{rule}-{name}".replace(" ", "_") for rule, _, name in CELLS])
def test_each_type_under_each_rule(rule: str, group: str, name: str, tmp_path: Path) -> None:
    """Treated as it should be, or refused as a type, by name; from a Parquet file where Parquet has the type."""
    declared, admitted = RULES[rule]
    array = TYPES[group][name]
    if name in NOT_IN_PARQUET:
        made = rule_for("x", data({"x": declared}).columns["x"], typed=True, root_key=ROOT, tenant="acme", codes_key=b"c" * 32)
        if group not in admitted:
            arrays = (array, pa.array(range(len(array)))) if len(made.reads) > 1 else (array,)
            with pytest.raises(DataRefused) as refused:
                made.apply(*arrays)
            named(refused.value, array.type)
        return
    if group not in admitted:
        with pytest.raises(DataRefused) as refused:
            treated(array, declared, tmp_path)
        if (group, rule.split()[0]) in BY_VALUE or group == "text":  # a type that may hold what the rule takes: its values are counted
            assert refused.value.where == "column 'x'"
        else:
            named(refused.value, stored_type(array.type))
        return
    table = treated(array, declared, tmp_path)
    series = and_back(table)
    found = [kept(value) for value in table.column("x").to_pylist()]
    values = [kept(value) for value in array.to_pylist()]
    if rule == "shift_dates":
        shifted(values, found)
    elif rule in OPENED:
        opened = OPENED[rule](table.column("x"))
        assert opened == [None if value is None else text(value) for value in values]
    elif rule in ("cmac", "codes"):
        assert [value is None for value in found] == [value is None for value in values]
        assert len(set(found)) == len({None if value is None else text(value) for value in values})
    else:
        expected = [None if value is None and rule != "constant" else EXPECTED[rule](value) for value in values]
        if rule == "scale":
            assert [value is None for value in found] == [value is None for value in expected]
            assert [value for value in found if value is not None] == pytest.approx([value for value in expected if value is not None], rel=1e-15)
        else:
            assert found == expected
        assert [type(value) for value in found] == [type(value) for value in expected]
    whole = pa.types.is_integer(table.schema.field("x").type)
    assert not whole or series.dtype.kind in "iu", "whole numbers stay whole, with gaps or without"


def named(error: GatehouseError, kind: pa.DataType) -> None:
    """A refusal names the column and its type, and nothing of pyarrow."""
    told = f"{error.message} {error.where}"
    assert "column 'x'" in told
    assert str(kind) in told
    assert "Arrow" not in told
    assert "can't be treated" not in told


def stored_type(kind: pa.DataType) -> pa.DataType:
    """As a rule gets it from Parquet: without its dictionary, with text that every function takes, in Parquet's names and units."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_nested(kind):
        return _nested(kind)
    if pa.types.is_date64(kind):
        return pa.date32()
    if kind == pa.time32("s"):
        return pa.time32("ms")
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("ms", kind.tz)
    return kind


def _nested(kind: pa.DataType) -> pa.DataType:
    import io

    file = io.BytesIO()
    pq.write_table(pa.table({"x": pa.nulls(1, kind)}), file)
    return pq.read_table(file).schema.field("x").type


def kept(value: object) -> Any:
    """A value as gate 2 keeps it."""
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value.to_pytimedelta() if isinstance(value, pd.Timedelta) else value


def text(value: Any) -> str:
    """The one spelling of a value (docs/data.md)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").zfill(27)
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(int(value)) if isinstance(value, Decimal) else str(value)


def rounded(value: Any, step: Decimal) -> Decimal:
    return EXACT.multiply(EXACT.divide(Decimal(value), step).quantize(Decimal(1), ROUND_HALF_EVEN, EXACT), step)


def labelled(value: Any) -> str:
    place = sum(Decimal(value) >= Decimal(repr(edge)) for edge in EDGES) - 1
    return f"[{number(EDGES[place])},{number(EDGES[place + 1])})"


def scaled(value: Any) -> float:
    return min(1.0, max(0.0, (float(value) - LOW) / (HIGH - LOW)))


EXPECTED: dict[str, Callable[[Any], object]] = {
    "keep": lambda value: value,
    "scale": scaled,
    "year": lambda value: value.year,
    "quarter": lambda value: f"{value.year:04}-Q{(value.month + 2) // 3}",
    "month": lambda value: f"{value.year:04}-{value.month:02}",
    "week": lambda value: "{:04}-W{:02}".format(*value.isocalendar()[:2]),
    "day": lambda value: (value.date() if isinstance(value, dt.datetime) else value).isoformat(),
    "prefix": lambda value: text(value)[:1],
    "round": lambda value: int(rounded(value, Decimal(10))),
    "round to a fraction": lambda value: float(rounded(value, Decimal("0.5"))) + 0.0,
    "bins": labelled,
    "constant": lambda value: 7,
}
SCOPE = {"tenant": "acme", "join_domain": "x"}
OPENED: dict[str, Callable[[pa.ChunkedArray], list[str | None]]] = {
    "siv": lambda column: siv.detokenise(column, ROOT, **SCOPE).to_pylist() if not pa.types.is_null(column.type) else column.to_pylist(),
    "permute text": lambda column: permute_blocks.detokenise(column, ROOT, **SCOPE).cast(pa.string()).to_pylist(),
    "permute": lambda column: permute.detokenise(column, ROOT, **SCOPE, version=1).cast(pa.string()).to_pylist(),
}


def shifted(values: list[Any], found: list[Any]) -> None:
    """By whole days, never by none, and by no more than the rule says; the time of day stays."""
    for value, moved in zip(values, found, strict=True):
        assert (value is None) == (moved is None)
        if value is not None:
            distance = moved - value
            assert 1 <= abs(distance.days) <= 20
            assert distance == dt.timedelta(days=distance.days)


LIMITS: list[tuple[str, pa.Array, str]] = [
    ("keep", pa.array([1.0, math.nan]), "1 value is not finite"),
    ("keep", pa.array([1.0, math.inf, -math.inf], pa.float32()), "2 values are not finite"),
    ("keep", pa.array([1.0, math.inf], pa.float16()), "1 value is not finite"),
    ("round", pa.array([math.nan, 2.0]), "1 value is not finite"),
    ("bins", pa.array([math.nan, 2.0]), "1 value is not finite"),
    ("scale", pa.array([math.inf, 2.0]), "1 value is not finite"),
    ("round", pa.array([2**63 - 1, -(2**63), 0]), "2 values are too large to round"),
    ("round", pa.array([2**64 - 1, 0], pa.uint64()), "1 value is too large to round"),
    ("round", pa.array([Decimal(10**30), Decimal(1)], pa.decimal128(38, 0)), "1 value is too large to round"),
    ("permute", pa.array([2**64 - 1, 0], pa.uint64()), "do not fit 64 bits with sign"),
    ("permute", pa.array([Decimal(10**30)], pa.decimal128(38, 0)), "whole numbers"),
    ("permute", pa.array([0.5]), "not whole numbers"),
    ("cmac", pa.array([0.5]), "values of type double have no single text form"),
    ("cmac", pa.array([math.nan]), "values of type double have no single text form"),
    ("keep", pa.array([-(2**31), 0], pa.int32()).view(pa.date32()), "1 value is before the year 1 or after 9999"),
    ("keep", pa.array([-(2**63), 2**63 - 1, 0]).view(pa.timestamp("us")), "2 values are before the year 1 or after 9999"),
    ("keep", pa.array([-(2**63), 2**63 - 1, 0]).view(pa.timestamp("ns")), "1 value is before the year 1 or after 9999"),
    ("month", pa.array([-(2**63) + 1, 2**63 - 1, 0]).view(pa.timestamp("ms", "UTC")), "2 values are before the year 1 or after 9999"),
    ("shift_dates", pa.array([-(2**63) + 1, 2**63 - 1, 0]).view(pa.timestamp("us")), "2 values can't move within their type"),
    ("shift_dates", pa.array([-(2**63), 2**63 - 1, 0]).view(pa.timestamp("ns")), "values can't move within their type|before the year 1"),
    ("shift_dates", pa.array([dt.datetime(9999, 12, 31), dt.datetime(1, 1, 1)], pa.timestamp("s")), "values are before the year 1 or after 9999"),
    ("shift_dates", pa.array([dt.date(9999, 12, 31), dt.date(1, 1, 1), DAY]), "values are before the year 1 or after 9999"),
    ("keep", pa.array([-(2**63), 0]).view(pa.duration("us")), "1 value is out of range"),
    ("keep", pa.array([1_001, 1_000]).view(pa.time64("ns")), "1 value is finer than a microsecond"),
    ("cmac", pa.array([1_001]).view(pa.timestamp("ns", "UTC")), "beyond microseconds"),
]


@pytest.mark.parametrize(("rule", "array", "message"), LIMITS, ids=[f"{rule}-{array.type}-{place}" for place, (rule, array, _) in enumerate(LIMITS)])
def test_values_at_the_limits_are_counted_and_not_changed(rule: str, array: pa.Array, message: str, tmp_path: Path) -> None:
    """Infinities, not-a-number, the ends of each type where a rule or pandas could not hold them: a refusal, never another value."""
    with pytest.raises(DataRefused, match=message) as refused:
        treated(array, RULES[rule][0], tmp_path)
    assert refused.value.where == "column 'x'"


@pytest.mark.parametrize("array", [pa.array([2**63 - 1, -(2**63), None]), pa.array([2**64 - 1, None, 0], pa.uint64())], ids=["int64", "uint64"])
def test_the_ends_of_the_whole_numbers_survive_a_gap(array: pa.Array, tmp_path: Path) -> None:
    """The whole range of 64 bits, beside a missing value."""
    series = and_back(treated(array, RULES["keep"][0], tmp_path))
    assert [None if value is pd.NA else value for value in series.tolist()] == array.to_pylist()


def test_without_gaps_a_workload_sees_plain_numpy(tmp_path: Path) -> None:
    """Nothing changes for a workload that computes with numpy on columns without missing values."""
    for kind, dtype in ((pa.int64(), "int64"), (pa.uint8(), "uint8"), (pa.float64(), "float64"), (pa.bool_(), "bool")):
        assert and_back(treated(pa.array([1, 0], pa.int64()).cast(kind), RULES["keep"][0], tmp_path)).dtype == dtype


CSV = {
    "whole": (["1", "", "-20"], [1, None, -20]),
    "beyond doubles": ([str(BIG), "", str(-(2**63))], [BIG, None, -(2**63)]),
    "beyond 64 bits": ([str(2**64), "1"], [str(2**64), "1"]),
    "fractions": (["0.5", "", "2"], [0.5, None, 2.0]),
    "text": (["ü", "", "x"], ["ü", None, "x"]),
    "leading zeros": (["007", "1"], ["007", "1"]),
}


@pytest.mark.parametrize("name", CSV)
def test_what_a_csv_keeps(name: str, tmp_path: Path) -> None:
    """Whole numbers are exact whole numbers, with gaps and beyond 2^53; what would not come back stays text."""
    cells, expected = CSV[name]
    (tmp_path / "x.csv").write_text("id,x\n" + "".join(f"{place},{cell}\n" for place, cell in enumerate(cells)))
    table = minimised(FilesPlace(tmp_path, ("x.csv",)), {"rule": "keep"}, tmp_path)
    assert table.column("x").to_pylist() == expected
    and_back(table)


CELLS_OF_A_CSV = [["1", "", "25"], ["0.5", "2"], ["ü", "x y"], ["2024-02-29", ""], [str(BIG), "25"]]
_WHOLES, _NUMBERS = [CELLS_OF_A_CSV[place] for place in (0, 4)], [CELLS_OF_A_CSV[place] for place in (0, 1, 4)]
TAKEN = {rule: [CELLS_OF_A_CSV[3]] for rule in ("year", "quarter", "month", "week", "day", "shift_dates")}
TAKEN |= dict.fromkeys(("permute", "permute text"), _WHOLES) | dict.fromkeys(("scale", "round", "round to a fraction", "bins"), _NUMBERS)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "keep"])
@pytest.mark.parametrize("cells", CELLS_OF_A_CSV, ids=lambda cells: cells[0])
def test_a_csv_under_the_other_rules(rule: str, cells: list[str], tmp_path: Path) -> None:
    """Text of numbers, of dates and of neither, under each rule: the value, or a refusal that names the column."""
    (tmp_path / "x.csv").write_text("id,x\n" + "".join(f"{place},{cell}\n" for place, cell in enumerate(cells)))
    values = [None if cell == "" else cell for cell in cells]
    if cells not in TAKEN.get(rule, CELLS_OF_A_CSV):
        with pytest.raises(DataRefused) as refused:
            minimised(FilesPlace(tmp_path, ("x.csv",)), RULES[rule][0], tmp_path)
        assert refused.value.where == "column 'x'"
        assert "Arrow" not in refused.value.message
        return
    table = minimised(FilesPlace(tmp_path, ("x.csv",)), RULES[rule][0], tmp_path)
    and_back(table)
    found = table.column("x").to_pylist()
    if rule in OPENED:
        assert OPENED[rule](table.column("x")) == values
    elif rule in ("round", "bins"):
        assert found == [None if value is None else EXPECTED[rule](value) for value in values]
    else:
        assert [value is None for value in found] == [value is None and rule != "constant" for value in values]


SQL: list[tuple[str, list[str], list[object] | str]] = [
    ("BIGINT", [str(BIG), "NULL", "-9223372036854775808"], [BIG, None, -(2**63)]),
    ("SMALLINT", ["1", "NULL"], [1, None]),
    ("DOUBLE PRECISION", ["0.5", "NULL"], [0.5, None]),
    ("TEXT", ["'ü'", "NULL"], ["ü", None]),
    ("BOOLEAN", ["TRUE", "NULL"], [True, None]),
    ("NUMERIC(20, 2)", ["12345678901234567.89", "NULL", "-0.10"], [Decimal("12345678901234567.89"), None, Decimal("-0.10")]),
    ("NUMERIC(18, 0)", [str(BIG), "NULL"], [Decimal(BIG), None]),
    ("NUMERIC", ["1.5"], "column 'x' is numeric without digits"),
    ("NUMERIC(50, 2)", ["1.5"], "column 'x' has more than 38 digits"),
    ("DATE", ["'2024-02-29'", "NULL"], [DAY, None]),
    ("TIMESTAMP", ["'2024-02-29 23:59:58'", "NULL"], [MOMENT, None]),
    ("TIMESTAMP WITH TIME ZONE", ["'2024-02-29 23:59:58+00'", "NULL"], [MOMENT.replace(tzinfo=dt.UTC), None]),
    ("UUID", ["'00000000-0000-0000-0000-000000000007'", "NULL"], ["00000000-0000-0000-0000-000000000007", None]),
    ("TIME", ["'23:59:58'"], "column 'x' holds times of day"),
    ("INTERVAL", ["'1 day'"], "column 'x' holds intervals"),
    ("BYTEA", ["'\\x00'"], "column 'x' holds bytes"),
    ("JSON", ["'{}'"], "column 'x' holds JSON"),
    ("INTEGER[]", ["'{1}'"], "column 'x' has a type that is not read"),
    ("POINT", ["'(1,2)'"], "column 'x' has a type that is not read"),
]
# SQLite keeps a class with each value, and none of these for dates or decimals.
SQLITE: list[tuple[str, list[str], list[object] | str]] = [
    ("BIGINT", [str(BIG), "NULL", "-9223372036854775808"], [BIG, None, -(2**63)]),
    ("REAL", ["0.5", "NULL", "2"], [0.5, None, 2.0]),
    ("TEXT", ["'ü'", "NULL"], ["ü", None]),
    ("BOOLEAN", ["TRUE", "NULL"], [1, None]),
    ("DATE", ["'2024-02-29'", "NULL"], ["2024-02-29", None]),
    ("NUMERIC", ["0.5", "1"], [0.5, 1.0]),
    ("NUMERIC", ["0.5", str(BIG)], "column 'x' holds values that are not double"),
    ("BLOB", ["x'00'"], "column 'x' holds bytes"),
    ("", ["1", "'a'"], "column 'x' holds values of several types"),
    ("BIGINT", ["NULL", "NULL"], [None, None]),
]


def test_what_a_query_keeps(database: Any, tmp_path: Path) -> None:
    """Each type of the two databases: its exact value, or a refusal that names the column and says what is in it."""
    for place, (kind, cells, expected) in enumerate(SQL if database.postgresql else SQLITE):
        database.execute(f"CREATE TABLE t{place} (id INTEGER, x {kind})")
        rows = ", ".join(f"({row}, {cell})" for row, cell in enumerate(cells))
        database.execute(f"INSERT INTO t{place} VALUES {rows}".replace(":", "\\:"))
        source = SqlPlace(f"SELECT id, x FROM t{place}", "clinic", endpoint_of(database.url))
        if isinstance(expected, str):
            with pytest.raises(InputError, match=expected.replace("(", r"\(")):
                minimised(source, {"rule": "keep"}, tmp_path, Address(database.url))
            continue
        table = minimised(source, {"rule": "keep"}, tmp_path, Address(database.url))
        assert table.column("x").to_pylist() == expected, kind
        and_back(table)


def test_a_column_of_a_database_under_the_other_rules(database: Any, tmp_path: Path) -> None:
    """The rules see Arrow's types whatever the source: the same values as from Parquet, or the same refusal."""
    cells = {"BIGINT": [BIG, None, 25], "TEXT": ["ü", None, "x y"], "DOUBLE PRECISION": [0.5, None, 2.25]}
    for place, (kind, values) in enumerate(cells.items()):
        database.execute(f"CREATE TABLE t{place} (id INTEGER, x {kind})")
        rows = ", ".join(f"({row}, {'NULL' if cell is None else repr(cell)})" for row, cell in enumerate(values))
        database.execute(f"INSERT INTO t{place} VALUES {rows}")
        source = SqlPlace(f"SELECT id, x FROM t{place}", "clinic", endpoint_of(database.url))
        for rule, (declared, _) in RULES.items():
            array = pa.array(values, {"BIGINT": pa.int64(), "TEXT": pa.string(), "DOUBLE PRECISION": pa.float64()}[kind])
            outcomes = []
            for read in (partial(minimised, source, declared, tmp_path, Address(database.url)), partial(treated, array, declared, tmp_path)):
                try:
                    outcomes.append(str(read().column("x").to_pylist()))
                except DataRefused as refused:
                    outcomes.append(f"{refused.message} {refused.where}")
            assert outcomes[0] == outcomes[1], (kind, rule)


def test_format_preserving_tokens_of_each_type(tmp_path: Path) -> None:
    """ff1 works on the one spelling of a value: digits come back, what has too few of them is counted."""
    for kind in (pa.int64(), pa.uint64(), pa.decimal128(18, 0), pa.string(), pa.large_string(), pa.string_view()):
        array = pa.array(["1234567", None, str(BIG)]).cast(pa.string())
        array = array.cast(kind) if not pa.types.is_decimal(kind) else array.cast(pa.decimal128(18, 0))
        table = treated(array, {"rule": "tokenise", "scheme": "ff1", "join_domain": "x"}, tmp_path)
        assert ff1.detokenise(table.column("x"), ROOT, **SCOPE, version=1).to_pylist() == ["1234567", None, str(BIG)]
    for array in (TYPES["float"]["double"], TYPES["time"]["time64[us]"], TYPES["other"]["binary"]):
        with pytest.raises(DataRefused) as refused:
            treated(array, {"rule": "tokenise", "scheme": "ff1"}, tmp_path)
        named(refused.value, array.type)


def test_every_rule_is_in_the_matrix() -> None:
    """No rule without its row."""
    assert {str(declared["rule"]) for declared, _ in RULES.values()} | {"drop"} == {
        "keep",
        "tokenise",
        "generalise",
        "shift_dates",
        "constant",
        "drop",
    }
    assert isinstance(rule_for("x", data({"x": {"rule": "keep"}}).columns["x"], typed=True, root_key=None, tenant="t"), Counting)
