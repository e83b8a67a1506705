"""What a file is, judged by its content: compressed in four ways, of another format whatever its name says, damaged, or a bomb."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import sqlite3
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import orc

from prefect_gatehouse.canonical import sha256_bytes
from prefect_gatehouse.data.sources import FilesPlace, open_source
from prefect_gatehouse.data.sources.files import files_place
from prefect_gatehouse.data.sources.kinds import check_text, compression_of, format_of, wide_encoding
from prefect_gatehouse.errors import InputError

TEXT = b"a,b\n1,x\n2,y\n"
MORE = b"3,z\n"
TABLE = pa.table({"a": ["1", "2"], "b": ["x", "y"]})


def zstd(data: bytes) -> bytes:
    """A frame that says its length, as the zstd program writes it."""
    return bytes(pa.Codec("zstd").compress(data).to_pybytes())


PACKED = {
    "gz": lambda data: gzip.compress(data, 1),
    "bz2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zst": zstd,
}


def read(path: Path, quarantine: int | None = None) -> dict[str, list[object]]:
    with open_source(FilesPlace(path.parent, (path.name,)), quarantine=quarantine) as source:
        table = pa.Table.from_batches(list(source.batches(source.names)))
        done, total = source.progress()
        assert done >= total > 0
        assert source.digest() == sha256_bytes(path.read_bytes()), "of the bytes as they are stored"
        return dict(table.to_pydict())


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("name", ["p.csv.{}", "p.csv", "P.DATA.{}"])
def test_compressed_csv_reads_as_what_it_holds(tmp_path: Path, kind: str, name: str) -> None:
    """By content, whatever the name: one member, several behind each other, and what stands in none."""
    path = tmp_path / name.format(kind)
    path.write_bytes(PACKED[kind](TEXT))
    assert read(path) == {"a": ["1", "2"], "b": ["x", "y"]}
    path.write_bytes(PACKED[kind](TEXT) + PACKED[kind](MORE))
    assert read(path, quarantine=5) == {"a": ["1", "2", "3"], "b": ["x", "y", "z"]}


@pytest.mark.parametrize("kind", PACKED)
def test_many_blocks_of_compressed_csv(tmp_path: Path, kind: str) -> None:
    """Text of several MiB, in members that are cut in the middle of rows."""
    data = b"n,x\n" + b"".join(b"%d,%d\n" % (row, row * 7919 % 100_003) for row in range(150_000))
    cut = len(data) // 2 + 1
    path = tmp_path / "p.csv"
    path.write_bytes(PACKED[kind](data[:cut]) + PACKED[kind](data[cut:]))
    assert read(path)["n"] == [str(row) for row in range(150_000)]


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("attack", ["cut", "cut-in-the-second", "flipped", "rubbish-behind", "twice"])
def test_damaged_and_cut_off(tmp_path: Path, kind: str, attack: str) -> None:
    """Whatever is missing or wrong is one error with the file's name, never fewer rows."""
    whole = PACKED[kind](b"CANARY,b\n" + b"".join(b"%d,%d\n" % (row, row * 7919 % 10_007) for row in range(20_000)))
    flipped = bytearray(whole)
    # Arrow writes Zstandard without a checksum, which only shows what is wrong with the headers of its blocks.
    place = 12 if kind == "zst" else len(whole) // 2
    flipped[place : place + 8] = b"\xff" * 8
    data = {
        "cut": whole[:-6],
        "cut-in-the-second": whole + whole[: len(whole) // 2],
        "flipped": bytes(flipped),
        "rubbish-behind": whole + b"rubbish",
        "twice": PACKED[kind](whole),
    }[attack]
    path = tmp_path / f"p.csv.{kind}"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read(path, quarantine=1000)
    assert str(caught.value).startswith(f"p.csv.{kind}: ")
    assert "CANARY" not in str(caught.value)


def test_gzip_padded_with_zeros(tmp_path: Path) -> None:
    """As tapes leave it, and as gzip itself reads it."""
    path = tmp_path / "p.gz"
    path.write_bytes(gzip.compress(TEXT) + bytes(600_000))
    assert read(path)["a"] == ["1", "2"]


def test_bombs_end_early(tmp_path: Path) -> None:
    """Zeros are told as no text; rows without end, as out of all proportion: long before they fill a disk."""
    for name, data in (("zeros", bytes(1 << 24)), ("rows", b"a,b\n" + b"1,2\n" * (20 << 20))):
        (tmp_path / name).write_bytes(gzip.compress(data, 1 if name == "zeros" else 6))
    with pytest.raises(InputError, match="zeros: the source is neither CSV nor Parquet, it is binary data"):
        read(tmp_path / "zeros")
    seen: list[int] = []
    with open_source(FilesPlace(tmp_path, ("rows",))) as source, pytest.raises(InputError, match="unpacks to more than 300 times its bytes"):
        seen.extend(batch.num_rows for batch in source.batches(["a"]))
    assert sum(seen) < 20 << 20


def office(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, "CANARY" * 50)
    return data.getvalue()


def written(write: object, *arguments: object) -> bytes:
    data = io.BytesIO()
    write(*(data if argument is ... else argument for argument in arguments))  # type: ignore[operator]
    return data.getvalue()


def database(tmp_path: Path) -> bytes:
    with sqlite3.connect(tmp_path / "d") as connection:
        connection.execute("create table t(a)")
    return (tmp_path / "d").read_bytes()


OTHERS = {
    "a zip archive": lambda _: office("p.csv"),
    "an Excel workbook": lambda _: office("[Content_Types].xml", "xl/workbook.xml"),
    "an Office document": lambda _: office("[Content_Types].xml", "word/document.xml"),
    "a NumPy archive": lambda _: written(np.savez, ..., np.arange(3)),
    "a NumPy array": lambda _: written(np.save, ..., np.arange(3)),
    "an old Excel workbook": lambda _: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
    "an ORC file": lambda _: written(lambda table, sink: orc.write_table(table, sink), TABLE, ...),
    "an Arrow IPC or Feather file": lambda _: written(feather.write_feather, TABLE, ...),
    "an SQLite database": database,
    "a Python pickle": lambda _: pickle.dumps({"CANARY": [1]}),
    "JSON": lambda _: json.dumps([{"CANARY": 1}]).encode(),
    "a PDF document": lambda _: b"%PDF-1.7\nCANARY",
    "a web page": lambda _: b"\n<!DOCTYPE html><html>CANARY",
    "an XML document": lambda _: b'<?xml version="1.0"?><CANARY/>',
    "an ARFF file": lambda _: b"% CANARY\n@RELATION iris\n",
    "a tar archive": lambda _: b"CANARY.csv".ljust(257, b"\0") + b"ustar\x0000" + bytes(300),
    "a pointer of Git LFS": lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:CANARY\n",
    "binary data": lambda _: os.urandom(64).replace(b"\n", b"\0").replace(b"\r", b"\0")[:32] + bytes(range(9)) * 9,
    "an HDF5 file": lambda _: b"\x89HDF\r\n\x1a\n" + bytes(64),
}


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_another_kind_is_named_for_what_it_is(tmp_path: Path, what: str, packed: bool) -> None:
    """Called .csv, as it is or compressed once more: the error names file and kind, says what to do, and shows nothing of it."""
    data = OTHERS[what](tmp_path)
    path = tmp_path / "p.csv"
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(InputError, match=rf"^p\.csv: the source is neither CSV nor Parquet, it is {what}") as caught:
        read(path)
    assert caught.value.advice
    assert "CANARY" not in str(caught.value)


def test_parquet_is_parquet_whatever_its_name(tmp_path: Path) -> None:
    """Read as what it is; compressed as a whole it is told; a CSV called .parquet is no Parquet."""
    path = tmp_path / "p.csv"
    pq.write_table(TABLE, path)
    assert read(path) == TABLE.to_pydict()
    (tmp_path / "q.csv").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(InputError, match="compressed as a whole"):
        read(tmp_path / "q.csv")
    (tmp_path / "p.parquet").write_bytes(TEXT)
    with pytest.raises(InputError, match="not valid Parquet"):
        read(tmp_path / "p.parquet")


@pytest.mark.parametrize(
    "name", ["PAR1", "PARENT", "ORCID", "ARROW1", "FEA1", "MZ", "BZ", "Obj", "LZIP", "RD", "RDX", "PK", "7z", "GIF", "XML", "X", "json"]
)
def test_names_of_columns_are_no_signatures(tmp_path: Path, name: str) -> None:
    """A header may begin as the magic number of something else does."""
    path = tmp_path / "p.csv"
    path.write_text(f"{name},b\n1,2\n")
    assert read(path) == {name: ["1"], "b": ["2"]}


def test_a_pattern_reads_compressed_and_plain_files_together(tmp_path: Path) -> None:
    """They are all CSV of one form; a Parquet file among them is told."""
    for index, (kind, pack) in enumerate(PACKED.items()):
        (tmp_path / f"{index}.csv.{kind}").write_bytes(pack(f"a\n{index}\n".encode()))
    (tmp_path / "9.csv").write_bytes(b"a\n9\n")
    with open_source(files_place(tmp_path, "*")) as source:
        assert [batch.column("a").to_pylist() for batch in source.batches(["a"])] == [["0"], ["1"], ["2"], ["3"], ["9"]]
    pq.write_table(pa.table({"a": ["x"]}), tmp_path / "99.csv")
    with pytest.raises(InputError, match="CSV and Parquet files are read together"), open_source(files_place(tmp_path, "*")) as source:
        list(source.batches(["a"]))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_judged(data: bytes) -> None:
    """No beginning of a file makes the judgement fail otherwise than by our own error."""
    assert compression_of(data) in (None, "gzip", "bzip2", "xz", "Zstandard")
    with suppress(InputError):
        assert format_of(data, "p.csv") in ("csv", "parquet")
        check_text(data, "p.csv")


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=2, max_size=200))
def test_zeros_tell_wide_encodings(text: str) -> None:
    """ASCII text in each of them, with and without its mark."""
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        data = text.encode(encoding)
        assert wide_encoding(data) == encoding
        assert wide_encoding("\ufeff".encode(encoding) + data) == encoding[:6]
    assert wide_encoding(text.encode()) is None
