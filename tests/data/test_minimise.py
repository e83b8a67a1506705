"""Gate 2 as a whole."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefect_gatehouse.canonical import sha256_file
from prefect_gatehouse.data.digest import table_digest
from prefect_gatehouse.data.minimise import Minimised, minimise
from prefect_gatehouse.data.sources import FilesPlace
from prefect_gatehouse.errors import DataRefused, GatehouseError, InputError
from prefect_gatehouse.manifest.data import Data
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.store.artifacts import ArtifactStore
from prefect_gatehouse.store.run_keys import RunKey
from prefect_gatehouse.tokens import siv
from prefect_gatehouse.tokens.keys import RootKey

ROOT = RootKey(bytes(range(1, 33)))
KEY = RunKey(b"k" * 32)
COLUMNS: dict[str, dict[str, object]] = {
    "mrn": {"rule": "tokenise", "scheme": "siv", "join_domain": "patient", "class": "restricted"},
    "email": {"rule": "tokenise", "class": "restricted"},
    "born": {"rule": "generalise", "to": "year", "class": "confidential"},
    "zip": {"rule": "generalise", "prefix": 2, "class": "confidential"},
    "size": {"rule": "keep", "scale": [0, 100], "class": "internal"},
    "note": {"rule": "drop", "class": "restricted"},
}
HEADER = "name,mrn,email,born,zip,size,note"


def data(columns: dict[str, dict[str, object]] | None = None, **more: object) -> Data:
    return Data.model_validate({"source": "x.csv", "suite": "s.json", "columns": columns or COLUMNS, **more})


def lines(rows: int = 40) -> list[str]:
    return [
        f"CANARYname{row},0{row:04d},CANARY{row}@example.org,19{50 + row % 2}-03-0{1 + row % 9},0123{row % 10},{row},CANARYnote"
        for row in range(rows)
    ]


def run(tmp_path: Path, source: Path, declared: Data, run_id: str = "run-1", root: RootKey | None = ROOT) -> tuple[Minimised, pa.Table]:
    store = ArtifactStore(tmp_path / "artifacts")
    result = minimise(declared, FilesPlace(source.parent, (source.name,)), root, tenant="acme", run_id=run_id, store=store, key=KEY)
    return result, store.read(result.artifact, KEY)


def written(tmp_path: Path, rows: list[str], name: str = "patients.csv", header: str = HEADER) -> Path:
    path = tmp_path / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_only_what_is_allowed_leaves(tmp_path: Path) -> None:
    """Columns in the manifest's order, values treated, everything else dropped and listed; no canary in any byte written."""
    source = written(tmp_path, lines())
    result, table = run(tmp_path, source, data(quasi_identifiers=["born", "zip"], k=5))
    assert table.column_names == ["mrn", "email", "born", "zip", "size"]
    assert (result.source_rows, result.artifact.rows, result.k) == (40, 40, 20)
    assert result.source_sha256 == sha256_file(source)
    assert result.highest_class is DataClass.RESTRICTED
    assert result.artifact.uri == "artifact:run-1/minimised.parquet"
    originals = siv.detokenise(table["mrn"], ROOT, tenant="acme", join_domain="patient").to_pylist()
    assert sorted(originals) == sorted(f"0{row:04d}" for row in range(40))
    by_mrn = dict(zip(originals, table.drop_columns(["mrn", "email"]).to_pylist(), strict=True))
    assert by_mrn["00017"] == {"born": 1951, "zip": "01", "size": 0.17}
    assert [(each.column, each.rule, each.detail, each.declared) for each in result.treatments] == [
        ("mrn", "tokenise", "siv, joins patient", True),
        ("email", "tokenise", "cmac", True),
        ("born", "generalise", "year", True),
        ("zip", "generalise", "prefix 2", True),
        ("size", "keep", "scaled from 0..100", True),
        ("note", "drop", "", True),
        ("name", "drop", "", False),
    ]
    assert result.treatments[-1].data_class is DataClass.RESTRICTED
    files = [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
    assert len(files) == 1
    assert b"CANARY" not in files[0].read_bytes()
    assert "CANARY" not in repr(result)
    assert not any("CANARY" in str(row) for row in table.to_pylist())


def test_rows_leave_in_an_order_that_the_source_does_not_decide(tmp_path: Path) -> None:
    """Another run over the same rows in another order has the same data digest and the same rows in the same places, in other bytes."""
    first, one = run(tmp_path, written(tmp_path, lines()), data(), "run-1")
    shuffled = lines()
    shuffled.reverse()
    second, other = run(tmp_path, written(tmp_path, shuffled, "other.csv"), data(), "run-2")
    assert first.data_digest == second.data_digest
    assert first.artifact.sha256 != second.artifact.sha256
    assert one.equals(other)
    places = [int(each) for each in siv.detokenise(one["mrn"], ROOT, tenant="acme", join_domain="patient").to_pylist()]
    assert places not in (sorted(places), sorted(places, reverse=True))
    assert first.data_digest == table_digest(one.take([*range(20, 40), *range(20)]))
    changed, _ = run(tmp_path, written(tmp_path, lines(41), "more.csv"), data(), "run-3")
    assert changed.data_digest != first.data_digest
    assert changed.source_sha256 != first.source_sha256


def test_parquet_and_csv_of_the_same_rows_have_the_same_digest(tmp_path: Path) -> None:
    """The kind of file does not matter for the data that an approval names."""
    rows = [line.split(",") for line in lines()]
    table = pa.table({name: [row[place] for row in rows] for place, name in enumerate(HEADER.split(","))})
    pq.write_table(table, tmp_path / "source.parquet", use_dictionary=True)
    one, _ = run(tmp_path, tmp_path / "source.parquet", data())
    other, _ = run(tmp_path, written(tmp_path, lines()), data(), "run-2")
    assert one.data_digest == other.data_digest


def test_group_below_k_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """One row that stands alone refuses the whole run, before anything reaches the disk."""
    source = written(tmp_path, [*lines(), "n,1,e,1999-01-01,99999,1,x"])
    with pytest.raises(DataRefused, match=r"smallest group has 1 row, 2 are required; 1 of 3 groups"):
        run(tmp_path, source, data(quasi_identifiers=["born", "zip"], k=2))
    assert not (tmp_path / "artifacts").exists()


FAILURES: dict[str, tuple[type[GatehouseError], str]] = {
    "header-only": (DataRefused, "no rows"),
    "missing-column": (InputError, "'zip', 'size' |'zip'"),
    "no-header": (InputError, "6 declared columns"),
    "semicolons": (InputError, "the first row has semicolons and no commas"),
    "double-column": (InputError, "twice in the source: 'mrn'"),
    "bad-number": (DataRefused, "1 value is not numbers"),
    "no-root-key": (InputError, "root key"),
    "all-dropped": (InputError, "every column is dropped"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failures_name_the_place_and_no_value(tmp_path: Path, case: str) -> None:
    """Each is one error of ours that repeats neither a value nor, for a file without a header, its first row."""
    header = {"missing-column": "name,mrn,email,born,note", "no-header": lines()[0], "semicolons": HEADER.replace(",", ";")}.get(case, HEADER)
    rows = {
        "header-only": [],
        "missing-column": ["a,b,c,1999-01-01,d"],
        "semicolons": ["CANARY;b;c;d;e;f;g"],
        "bad-number": ["a,b,c,1999-01-01,12345,CANARY,e"],
    }.get(case, lines())
    if case == "double-column":
        header, rows = HEADER + ",mrn", [line + ",CANARY" for line in lines()]
    declared = data({"note": {"rule": "drop"}}) if case == "all-dropped" else data()
    expected, message = FAILURES[case]
    with pytest.raises(expected, match=message) as caught:
        run(tmp_path, written(tmp_path, rows, header=header), declared, root=None if case == "no-root-key" else ROOT)
    assert "CANARY" not in str(caught.value)
    assert not (tmp_path / "artifacts").exists()


def test_odd_names_of_dropped_columns_are_shown_by_place(tmp_path: Path) -> None:
    """A header that could break a table of the approval form, or is empty or endless, is listed by its place."""
    header = f"mrn,,<img src=x>,a|b,{'x' * 300},fine"
    result, _ = run(tmp_path, written(tmp_path, ["1,2,3,4,5,6"], header=header), data({"mrn": {"rule": "keep"}}))
    assert [each.column for each in result.treatments[1:]] == ["(column 2)", "(column 3)", "(column 4)", "(column 5)", "fine"]


def test_class_of_what_leaves_ignores_what_is_dropped(tmp_path: Path) -> None:
    """A restricted column that is dropped does not raise the class of the data."""
    columns = {name: COLUMNS[name] for name in ("size", "note")}
    result, table = run(tmp_path, written(tmp_path, lines()), data(columns), root=None)
    assert result.highest_class is DataClass.INTERNAL
    assert result.k is None
    assert table.column_names == ["size"]


def test_hundred_thousand_rows_in_seconds(tmp_path: Path) -> None:
    """100,000 rows of 6 columns, two of them tokenised, k measured: within seconds, with progress that ends at the end."""
    source = written(tmp_path, lines(100_000))
    steps: list[tuple[int, int]] = []
    began = time.process_time()
    minimise(
        data(quasi_identifiers=["born", "zip"], k=5),
        FilesPlace(source.parent, (source.name,)),
        ROOT,
        tenant="acme",
        run_id="run-1",
        store=ArtifactStore(tmp_path / "artifacts"),
        key=KEY,
        progress=lambda done, total: steps.append((done, total)),
    )
    # Measured at 1.3 s; the bound leaves room for a busy machine.
    assert time.process_time() - began < 15
    assert len(steps) > 1
    assert steps[-1] == (source.stat().st_size, source.stat().st_size)
