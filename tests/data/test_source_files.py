"""Files as a source: their forms, their defects, several of them as one, and their parts."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefect_gatehouse.canonical import sha256_bytes
from prefect_gatehouse.data.sources import FilesPlace, open_source
from prefect_gatehouse.errors import DataRefused, GatehouseError, InputError


def place(path: Path) -> FilesPlace:
    return FilesPlace(path.parent, (path.name,))


def read(path: Path, columns: list[str]) -> dict[str, list[object]]:
    with open_source(place(path)) as source:
        batches = list(source.batches(columns))
        done, total = source.progress()
        assert done >= total > 0
    return pa.Table.from_batches(batches).to_pydict()  # type: ignore[no-any-return]


def csv_file(tmp_path: Path, data: bytes | str, name: str = "source.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_csv_columns_are_text_with_their_leading_zeros(tmp_path: Path) -> None:
    """A postcode keeps its zero; NA and null are text, an empty field is missing, a quoted empty one is the empty text."""
    path = csv_file(tmp_path, 'zip,name,x\n01234,NA,1\n00501,,null\n99999,"",2\n')
    assert read(path, ["x", "zip", "name"]) == {
        "x": ["1", "null", "2"],
        "zip": ["01234", "00501", "99999"],
        "name": ["NA", None, ""],
    }


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ("a,b\n1,2", [["1"], ["2"]]),
        ("a,b\r\n1,2\r\n", [["1"], ["2"]]),
        ("a,b\r1,2\r", [["1"], ["2"]]),
        ("\ufeffa,b\n1,2\n", [["1"], ["2"]]),
        ('a,b\n"x\ny","p""q, r"\n', [["x\ny"], ['p"q, r']]),
        ("a,b\n\n1,2\n\n\n", [["1"], ["2"]]),
        ("a,b\n", [[], []]),
        ("a,b", [[], []]),
        ('a,b\n1,"2"', [["1"], ["2"]]),
    ],
    ids=["no-newline", "crlf", "cr", "bom", "quotes", "blank-lines", "header-only", "header-no-newline", "quote-at-end"],
)
def test_csv_forms(tmp_path: Path, data: str, rows: list[list[str]]) -> None:
    """Every usual form of CSV reads alike."""
    assert read(csv_file(tmp_path, data), ["a", "b"]) == {"a": rows[0], "b": rows[1]}


def test_csv_with_one_column(tmp_path: Path) -> None:
    """One column works as well: the sentinel row has one field."""
    assert read(csv_file(tmp_path, "a\n1\n2"), ["a"]) == {"a": ["1", "2"]}


def test_csv_of_many_blocks_comes_whole_and_in_order(tmp_path: Path) -> None:
    """Several reads of 1 MiB lose and repeat nothing; progress ends at the file's size; the hash is that of the bytes."""
    data = ("n,text\n" + "".join(f"{row},{'x' * 40}\n" for row in range(60_000))).encode()
    path = csv_file(tmp_path, data)
    with open_source(place(path)) as source:
        steps = []
        rows = []
        for batch in source.batches(["n"]):
            rows += batch.column(0).to_pylist()
            steps.append(source.progress())
        assert source.digest() == sha256_bytes(data)
        assert source.names == ("n", "text")
    assert rows == [str(row) for row in range(60_000)]
    assert len(steps) > 2
    assert steps[-1] == (len(data), len(data))


MALFORMED = {
    "extra-field": (b"a,b\n1,2\nCANARY,3,4\n", "row 3 "),
    "missing-field": (b"a,b\n" + b"1,2\n" * 400_000 + b"CANARY\n", "row 400002 "),
    "multi-line-field-before": (b'a,b\n"1\n1",2\nCANARY,3,4\n', "row 3 "),
    "open-quote-at-end": (b'a,b\n1,2\n3,"CANARY\n', "quote"),
    "open-quote-swallows-rows": (b'a,b\n1,"CANARY\n3,4\n5,6\n', "never closed"),
    "open-quote-in-a-long-file": (b'a,b\n1,"CANARY\n' + b"1,2\n" * 600_000, "longer than 1 MiB"),
    "quote-closed-late": (b'a,b\n1,"x\n3","CANARY",4\n', "row 2 "),
    "not-utf-8": (b"a,b\n1,2\nCANARY\xff,3\n", "row 3 .* not UTF-8"),
    "latin-1-header": (b"a,b\xe9CANARY\n1,2\n", "header is not UTF-8"),
    "utf-16": ("a,b\nCANARY,2\n".encode("utf-16"), ""),
    "blank": (b"\n\n", ""),
}


@pytest.mark.parametrize("attack", MALFORMED)
def test_malformed_csv_names_file_and_row_and_no_value(tmp_path: Path, attack: str) -> None:
    """Each defect is one InputError with the file's name and, where there is one, the row; the row's text never shows."""
    data, where = MALFORMED[attack]
    path = csv_file(tmp_path, data, "patients.csv")
    with pytest.raises(InputError) as caught:
        read(path, ["a", "b"] if attack != "blank" else ["a"])
    assert str(caught.value).startswith("patients.csv: ")
    assert re.search(where, str(caught.value)), str(caught.value)
    assert "CANARY" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_csv_that_grows_while_it_is_read(tmp_path: Path) -> None:
    """The hash must be that of what was read: a file that changes in between is refused."""
    path = csv_file(tmp_path, "a\n1\n")
    with open_source(place(path)) as source, path.open("a") as stream:
        stream.write("2\n")
        stream.flush()
        with pytest.raises(InputError, match="changed"):
            list(source.batches(["a"]))


def test_parquet_keeps_types_and_reads_named_columns_only(tmp_path: Path) -> None:
    """Types stay, a dotted name is one column, and nothing else is read."""
    path = tmp_path / "source.parquet"
    table = pa.table({"a": [1, 2], "a.b": ["x", None], "zip": ["01", "02"], "nested": [{"z": 1}, {"z": 2}]})
    pq.write_table(table, path, row_group_size=1)
    assert read(path, ["zip", "a.b", "a"]) == {"zip": ["01", "02"], "a.b": ["x", None], "a": [1, 2]}
    with open_source(place(path)) as source:
        assert source.names == ("a", "a.b", "zip", "nested")
        assert source.typed


@pytest.mark.parametrize("attack", ["text", "truncated", "magic-only", "bad-utf-8"])
def test_malformed_parquet_is_one_error(tmp_path: Path, attack: str) -> None:
    """Anything that is not Parquet, or holds text that is none, is an InputError that names the file only."""
    path = tmp_path / "source.parquet"
    text = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\7\0\0\0"), pa.py_buffer(b"CANARY\xff"))
    pq.write_table(pa.table({"a": text if attack == "bad-utf-8" else ["CANARY"]}), path)
    data = path.read_bytes()
    path.write_bytes({"text": b"CANARY,1\n", "truncated": data[:-20], "magic-only": b"PAR1PAR1", "bad-utf-8": data}[attack])
    with pytest.raises(InputError) as caught:
        read(path, ["a"])
    assert str(caught.value).startswith("source.parquet: ")
    assert "CANARY" not in str(caught.value)


def test_what_is_no_source(tmp_path: Path) -> None:
    """Missing, empty, a folder, a pipe, another kind: one clear error each, at once."""
    csv_file(tmp_path, "", "empty.csv")
    csv_file(tmp_path, "x", "source.xlsx")
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    cases: dict[str, type[GatehouseError]] = {
        "none.csv": InputError,
        "empty.csv": DataRefused,
        "source.xlsx": InputError,
        "folder.csv": InputError,
        "pipe.csv": InputError,
        "empty.csv/x.csv": InputError,
    }
    for name, expected in cases.items():
        with pytest.raises(expected), open_source(FilesPlace(tmp_path, (name,))):
            pass
