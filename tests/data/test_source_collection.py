"""Several files as one source: which ones a pattern takes, what they must have in common, and their parts."""

from __future__ import annotations

import os
import pickle
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefect_gatehouse.canonical import canonical, sha256_bytes, sha256_file
from prefect_gatehouse.data.sources import FilesPlace, open_source
from prefect_gatehouse.data.sources.files import files_place
from prefect_gatehouse.data.sources.patterns import matcher
from prefect_gatehouse.errors import DataRefused, GatehouseError, InputError


def rows_of(place: FilesPlace, columns: list[str]) -> list[dict[str, object]]:
    with open_source(place) as source:
        return pa.Table.from_batches(source.batches(columns)).to_pylist()  # type: ignore[no-any-return]


def tree(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"a,name\n1,{name}\n")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.csv", ["b.csv", "c.csv"]),
        ("?.csv", ["b.csv", "c.csv"]),
        ("year=*/m?/*.csv", ["year=1/m1/x.csv", "year=1/m2/x.csv", "year=2/m1/x.csv"]),
        ("year=1/**/*.csv", ["year=1/deep/er/x.csv", "year=1/m1/x.csv", "year=1/m2/x.csv", "year=1/x.csv"]),
        ("**/x.csv", ["year=1/deep/er/x.csv", "year=1/m1/x.csv", "year=1/m2/x.csv", "year=1/x.csv", "year=2/m1/x.csv"]),
    ],
)
def test_a_pattern_takes_these_files_in_this_order(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    """Wildcards stay within a step, ** does not, hidden files and folders are left alone, and the order is that of the names."""
    tree(tmp_path, "c.csv", "b.csv", ".hidden.csv", "b.csv.partial", "year=1/x.csv", "year=1/m2/x.csv", "year=1/m1/x.csv", "year=2/m1/x.csv")
    tree(tmp_path, "year=1/deep/er/x.csv", ".trash/x.csv")
    place = files_place(tmp_path, pattern)
    assert list(place.names) == expected
    assert [row["name"] for row in rows_of(place, ["name"])] == expected


def test_wildcards_match_no_slash_and_no_leading_dot() -> None:
    """The expression by itself, on the names where it would matter."""
    assert matcher("a/*.csv").fullmatch("a/b.csv")
    for name in ("a/b/c.csv", "a/.csv", "a/.b.csv", "ab.csv", "a/b.csv\n"):
        assert not matcher("a/*.csv").fullmatch(name), name
    assert not matcher("a[bc].*").fullmatch("ab.csv")


def test_a_pattern_stays_in_the_manifests_folder(tmp_path: Path) -> None:
    """Neither dots, nor an absolute path, nor a linked file or folder lead out; each is one error and nothing is read."""
    zone, outside = tmp_path / "zone", tmp_path / "outside"
    tree(zone, "in/a.csv")
    tree(outside, "secret.csv", "deep/secret.csv")
    for pattern in ("../outside/*.csv", f"{outside}/*.csv", "in/../../outside/*.csv", "*/../../outside/*.csv"):
        with pytest.raises(InputError, match="leads out"):
            files_place(zone, pattern)
    (zone / "in" / "b.csv").symlink_to(outside / "secret.csv")
    with pytest.raises(InputError, match="leads out"), open_source(files_place(zone, "in/*.csv")):
        pass
    (zone / "in" / "b.csv").unlink()
    (zone / "in" / "b.csv").symlink_to(zone / "in" / "a.csv")
    assert len(rows_of(files_place(zone, "in/*.csv"), ["a"])) == 2, "a link inside the folder is a file"
    (zone / "linked").symlink_to(outside / "deep", target_is_directory=True)
    with pytest.raises(InputError, match="linked folder"):
        files_place(zone, "**/*.csv")
    with pytest.raises(InputError, match="linked folder"):
        files_place(zone, "*/*.csv")
    with pytest.raises(InputError, match="leads out"):
        files_place(zone, "linked/*.csv")


FAILURES: dict[str, tuple[str, type[GatehouseError], str]] = {
    "none": ("*.parquet", InputError, "data.source: nothing matches"),
    "no-folder": ("nowhere/*.csv", InputError, "nowhere: the folder can't be read"),
    "other-columns": ("1/*.csv", InputError, "1/b.csv: its 2 columns are not the 2 of 1/a.csv"),
    "double-column": ("2/*.csv", InputError, "2/b.csv: a column name occurs twice"),
    "one-empty": ("3/*.csv", DataRefused, "3/b.csv: the source is empty"),
    "two-kinds": ("4/*", InputError, "data.source: CSV and Parquet files are read together"),
    "another-kind": ("5/*", InputError, "5/b.json: the source is neither"),
    "other-type": ("6/*", InputError, "6/b.parquet: column 'a' has type string, other files have int64"),
    "other-zone": ("7/*", InputError, "7/b.parquet: column 'a' has type timestamp"),
    "no-parquet": ("8/*", InputError, "8/b.parquet: the file is not valid Parquet"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_files_that_do_not_go_together_name_the_one(tmp_path: Path, case: str) -> None:
    """One error that names the file, before the first row comes out."""
    tree(tmp_path, "1/a.csv", "2/a.csv", "3/a.csv", "4/a.csv", "5/a.csv")
    (tmp_path / "1/b.csv").write_text("a,CANARY\n1,2\n")
    (tmp_path / "2/b.csv").write_text("a,a\n1,2\n")
    (tmp_path / "3/b.csv").write_text("")
    (tmp_path / "5/b.json").write_text("x")
    for name, value in {
        "4/b.parquet": pa.array([1]),
        "6/a.parquet": pa.array([1]),
        "6/b.parquet": pa.array(["x"]),
        "7/a.parquet": pa.array([datetime(2026, 1, 1)]),
        "7/b.parquet": pa.array([datetime(2026, 1, 1)], pa.timestamp("us", tz="UTC")),
        "8/a.parquet": pa.array([1]),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"a": value}), tmp_path / name)
    (tmp_path / "8/b.parquet").write_bytes(b"CANARY" * 10)
    pattern, kind, message = FAILURES[case]
    with pytest.raises(kind) as refused, open_source(files_place(tmp_path, pattern)) as source:
        next(source.batches(["a"]))
    assert str(refused.value).startswith(message)
    assert "CANARY" not in str(refused.value)


def test_parquet_files_meet_in_the_narrowest_common_types(tmp_path: Path) -> None:
    """Widths, units, dictionaries, scales and columns without a value; every batch has one schema, no value changes, names decide, not places."""
    first = pa.table(
        {
            "i": pa.array([1], pa.int8()),
            "f": pa.array([0.5], pa.float32()),
            "t": pa.array(["x"]).dictionary_encode(),
            "at": pa.array([1], pa.timestamp("s")),
            "d": pa.array([Decimal("1.5")], pa.decimal128(3, 1)),
            "n": pa.nulls(1),
        }
    )
    second = pa.table(
        {
            "n": pa.array([7]),
            "d": pa.array([Decimal("20.25")], pa.decimal128(4, 2)),
            "at": pa.array([1_000_001], pa.timestamp("us")),
            "t": pa.array(["y"], pa.large_string()),
            "f": pa.array([0.1], pa.float64()),
            "i": pa.array([2**40]),
        }
    )
    pq.write_table(first, tmp_path / "1.parquet", store_schema=True)
    pq.write_table(second, tmp_path / "2.parquet")
    columns = ["i", "f", "t", "at", "d", "n"]
    with open_source(files_place(tmp_path, "*.parquet")) as source:
        assert source.names == tuple(columns)
        found = list(source.batches(columns))
        parts = source.parts()
    assert found[0].schema.equals(found[1].schema)
    assert pa.Table.from_batches(found).to_pydict() == {
        "i": [1, 2**40],
        "f": [0.5, 0.1],
        "t": ["x", "y"],
        "at": [datetime(1970, 1, 1, 0, 0, 1), datetime(1970, 1, 1, 0, 0, 1, 1)],
        "d": [Decimal("1.50"), Decimal("20.25")],
        "n": [None, 7],
    }
    with open_source(FilesPlace(tmp_path, ("1.parquet", "2.parquet"))) as other:
        assert [batch.schema for part in pickle.loads(pickle.dumps(parts)) for batch in other.batches(columns, part)] == [found[0].schema] * 2


def test_digest_of_one_file_and_of_several(tmp_path: Path) -> None:
    """One: of its bytes, also where a pattern found it. Several: over the names and hashes in order, so another name is another source."""
    tree(tmp_path, "a.csv", "b.csv")
    pairs = [[name, sha256_file(tmp_path / name)] for name in ("a.csv", "b.csv")]
    with open_source(files_place(tmp_path, "a*.csv")) as source:
        assert source.digest() == pairs[0][1]
    with open_source(files_place(tmp_path, "*.csv")) as source:
        assert source.digest() == sha256_bytes(canonical(pairs)) == source.digest()
    (tmp_path / "b.csv").rename(tmp_path / "c.csv")
    with open_source(files_place(tmp_path, "*.csv")) as source:
        assert source.digest() != sha256_bytes(canonical(pairs))


def test_parts_are_the_whole_in_order_and_of_like_size(tmp_path: Path) -> None:
    """Row groups are joined up to a thirty-second of the rows; together the parts give every row once, in other processes too."""
    for number, rows in enumerate((400_000, 0, 100_000)):
        table = pa.table({"n": pa.array(range(number * 1_000_000, number * 1_000_000 + rows), pa.int64())})
        pq.write_table(table, tmp_path / f"{number}.parquet", row_group_size=10_000)
    place = files_place(tmp_path, "*.parquet")
    with open_source(place) as source:
        parts = source.parts()
        whole = list(source.batches(["n"]))
        assert source.progress() == (500_000, 500_000)
    assert max(part.size for part in parts) <= 75_536
    assert sum(part.size for part in parts) == 500_000
    apart = []
    for part in parts:
        with open_source(pickle.loads(pickle.dumps(place))) as source:
            apart += list(source.batches(["n"], pickle.loads(pickle.dumps(part))))
            assert source.progress() == (part.size, part.size)
    assert pa.Table.from_batches(apart).equals(pa.Table.from_batches(whole))
    assert pa.Table.from_batches(whole).num_rows == 500_000


def test_parts_of_csv_are_its_files(tmp_path: Path) -> None:
    """A CSV can't be entered in the middle; each file is one part with its bytes as size."""
    tree(tmp_path, "a.csv", "b.csv")
    with open_source(files_place(tmp_path, "*.csv")) as source:
        parts = source.parts()
        assert [(part.name, part.size) for part in parts] == [(name, (tmp_path / name).stat().st_size) for name in ("a.csv", "b.csv")]
        assert [batch.column("name").to_pylist() for batch in source.batches(["name"], parts[1])] == [["b.csv"]]
        assert source.progress() == (parts[1].size, parts[1].size)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_that_changed_since_it_was_looked_at_is_refused(tmp_path: Path, kind: str) -> None:
    """What another process reads, and what the digest is of, is the file that was found when the source was opened."""
    for name in ("a", "b"):
        pq.write_table(pa.table({"a": [1]}), tmp_path / f"{name}.parquet")
        (tmp_path / f"{name}.csv").write_text("a\n1\n")
    place = files_place(tmp_path, f"*.{kind}")
    with open_source(place) as source:
        parts = source.parts()
        path = tmp_path / f"b.{kind}"
        facts = path.stat()
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
        with pytest.raises(InputError, match=rf"b\.{kind}: the source changed"):
            list(source.batches(["a"]))
        with pytest.raises(InputError, match="changed"):
            source.digest()
    with open_source(place) as source:
        assert list(source.batches(["a"], parts[0]))
        with pytest.raises(InputError, match="changed"):
            list(source.batches(["a"], parts[1]))
