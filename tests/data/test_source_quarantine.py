"""Malformed rows of a CSV: each is set aside with its bytes and counted, every sound row comes through, nothing is lost in silence."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_gatehouse.data.sources import FilesPlace, RejectedRow, open_source
from prefect_gatehouse.data.sources.csv_input import marked, unmarked
from prefect_gatehouse.data.sources.csv_quarantine import ENCODING, FIELDS, QUOTE
from prefect_gatehouse.errors import DataRefused, InputError

BLOCK = 1 << 20


def read(path: Path, columns: list[str], limit: int = 100) -> tuple[list[tuple[object, ...]], list[RejectedRow], dict[str, int]]:
    """Rows that came through, rows that did not, and their counts."""
    with open_source(FilesPlace(path.parent, (path.name,)), quarantine=limit) as source:
        rows: list[tuple[object, ...]] = []
        for batch in source.batches(columns):
            assert batch.num_rows <= 65_536
            rows += zip(*(column.to_pylist() for column in batch.columns), strict=True)
        assert source.progress()[0] == source.progress()[1] == path.stat().st_size
        return rows, list(source.rejects.rows), dict(source.rejects.counted)


CASES: dict[str, tuple[bytes, list[tuple[object, ...]], list[tuple[str, int, bytes]]]] = {
    "sound": (b"a,b\n1,2\n", [("1", "2")], []),
    "extra-field": (b"a,b\n1,2\nx,y,z\n3,4\n", [("1", "2"), ("3", "4")], [(FIELDS, 3, b"x,y,z")]),
    "missing-field": (b"a,b\nx\n3,4\n", [("3", "4")], [(FIELDS, 2, b"x")]),
    "not-utf-8": (b"a,b\n1,2\nx\xff,y\n3,4\n", [("1", "2"), ("3", "4")], [(ENCODING, 3, b"x\xff,y")]),
    "not-utf-8-and-extra-field": (b"a,b\nx\xff,y,z\n3,4\n", [("3", "4")], [(FIELDS, 2, b"x\xff,y,z")]),
    "latin-1-between": (
        b"a,b\nM\xfcller,1\nbad\n\xe9,\xe8\n5,6\n",
        [("5", "6")],
        [(FIELDS, 3, b"bad"), (ENCODING, 2, b"M\xfcller,1"), (ENCODING, 4, b"\xe9,\xe8")],
    ),
    "surrogate-and-overlong": (
        b"a,b\n\xed\xb3\xbf,1\n\xc0\xaf,2\n3,4\n",
        [("3", "4")],
        [(ENCODING, 2, b"\xed\xb3\xbf,1"), (ENCODING, 3, b"\xc0\xaf,2")],
    ),
    "quote-open-in-the-last-field": (b'a,b\n1,2\n3,"x\n5,6\n', [("1", "2")], [(QUOTE, 3, b'3,"x\n5,6')]),
    "quote-open-in-the-first-field": (b'a,b\n1,2\n"x,3\n5,6\n', [("1", "2")], [(QUOTE, 3, b'"x,3\n5,6')]),
    "quote-closed-late": (b'a,b\n1,"x\n3","y",4\n5,6\n', [("5", "6")], [(FIELDS, 2, b'1,"x\n3","y",4')]),
    "nul-is-a-character": (b"a,b\n1,\x002\n", [("1", "\x002")], []),
    "noncharacters-are-characters": ("a,b\n\ufdd0\ufde0,2\n".encode(), [("\ufdd0\ufde0", "2")], []),
    "nothing-but-malformed": (b"a,b\nx\ny\n", [], [(FIELDS, 2, b"x"), (FIELDS, 3, b"y")]),
    "cr-only": (b"a,b\r1,2\rx\r3,4\r", [("1", "2"), ("3", "4")], [(FIELDS, 3, b"x")]),
    "bom": (b"\xef\xbb\xbfa,b\n1,2\nx\n", [("1", "2")], [(FIELDS, 3, b"x")]),
}


@pytest.mark.parametrize("case", CASES)
def test_each_defect_is_set_aside_with_its_bytes(tmp_path: Path, case: str) -> None:
    """Sound rows come in order; a bad one is kept by reason, number and bytes, and counted by its lines."""
    data, sound, bad = CASES[case]
    path = tmp_path / "p.csv"
    path.write_bytes(data)
    rows, rejected, counted = read(path, ["a", "b"])
    assert rows == sound
    assert sorted((row.reason, row.where, row.raw) for row in rejected) == sorted(
        (reason, f"p.csv, row {number}", raw) for reason, number, raw in bad
    )
    expected: dict[str, int] = {}
    for reason, _, raw in bad:
        expected[reason] = expected.get(reason, 0) + raw.count(b"\n") + 1
    assert counted == expected


def test_a_row_that_is_bad_in_a_column_that_stays_behind_is_sound(tmp_path: Path) -> None:
    """Only the columns that are read must be UTF-8, as where bad rows are refused; the bytes that are kept are those of the whole row."""
    path = tmp_path / "p.csv"
    path.write_bytes(b'a,b,c\n1,\xff,x\n2,"y, z",\xfe\n3,,""\n')
    assert read(path, ["a"])[0] == [("1",), ("2",), ("3",)]
    rows, rejected, _ = read(path, ["c"])
    assert rows == [("x",), ("",)]
    assert [row.raw for row in rejected] == [b'2,"y, z",\xfe']


def test_bad_rows_far_into_the_file_keep_their_numbers(tmp_path: Path) -> None:
    """Over many blocks, with quoted line ends across their edges: each sound row once, each bad one with the number that it has."""
    lines = [b'%d,"%s\n%s"' % (row, b"x" * (row % 97), b"y" * 40) for row in range(60_000)]
    lines[0] = b"bad"
    lines[25_000] = b"25000,\xff"
    lines[25_001] = b"bad,bad,bad"
    lines[59_999] = b"59999,\xfe\xff"
    path = tmp_path / "p.csv"
    path.write_bytes(b"n,t\n" + b"\n".join(lines) + b"\n")
    assert path.stat().st_size > 4 * BLOCK
    rows, rejected, counted = read(path, ["n", "t"])
    bad = {0, 25_000, 25_001, 59_999}
    assert [row[0] for row in rows] == [str(row) for row in range(60_000) if row not in bad]
    assert counted == {FIELDS: 2, ENCODING: 2}
    assert sorted((row.where, row.raw) for row in rejected) == sorted((f"p.csv, row {row + 2}", lines[row]) for row in bad)


def test_a_character_across_two_blocks_is_whole(tmp_path: Path) -> None:
    """UTF-8 is judged over the stream, not block by block."""
    path = tmp_path / "p.csv"
    path.write_bytes(b"a,b\n" + "é,1\n".encode() * 400_000)
    assert read(path, ["a"]) == ([("é",)] * 400_000, [], {})


@pytest.mark.parametrize(
    "data", [b"a,b\n" + b"x\n" * 4, b"a,b\n" + b"\xff,1\n" * 4, b'a,b\n1,"x\n2,3\n4,5\n6,7\n'], ids=["fields", "encoding", "quote"]
)
def test_more_than_the_limit_refuses(tmp_path: Path, data: bytes) -> None:
    """One row more than may be set aside ends the reading, with the count and no value; exactly the limit does not."""
    path = tmp_path / "p.csv"
    path.write_bytes(data)
    assert sum(read(path, ["a", "b"], limit=4)[2].values()) == 4
    with pytest.raises(DataRefused, match=r"^data\.quarantine_limit: more than 3 rows can't be read: [a-zA-Z0-9 -]+ \(4\) \(") as refused:
        read(path, ["a", "b"], limit=3)
    assert refused.value.advice


@pytest.mark.parametrize("limit", [None, 10])
def test_a_line_longer_than_a_block_is_refused_in_both_ways(tmp_path: Path, limit: int | None) -> None:
    """Nobody can tell where it ends."""
    path = tmp_path / "p.csv"
    path.write_bytes(b"a,b\n1,2\n3," + b"x" * (2 * BLOCK) + b"\n5,6\n")
    with pytest.raises(InputError, match="longer than 1 MiB"), open_source(FilesPlace(tmp_path, ("p.csv",)), quarantine=limit) as source:
        list(source.batches(["a"]))


@pytest.mark.parametrize("limit", [None, 10])
def test_ten_thousand_columns_and_a_double_header(tmp_path: Path, limit: int | None) -> None:
    """Wide files are read by the columns asked for; a name that stands twice is there twice for the manifest's check."""
    names = [f"c{index}" for index in range(10_000)]
    path = tmp_path / "p.csv"
    path.write_text(",".join(names) + "\n" + ",".join(map(str, range(10_000))) + "\n")
    with open_source(FilesPlace(tmp_path, ("p.csv",)), quarantine=limit) as source:
        assert source.names == tuple(names)
        assert [batch.to_pydict() for batch in source.batches(["c9999", "c0"])] == [{"c9999": ["9999"], "c0": ["0"]}]
    path.write_text("a,b,a\n1,2,3\n")
    with open_source(FilesPlace(tmp_path, ("p.csv",)), quarantine=limit) as source:
        assert source.names == ("a", "b", "a")
        assert [batch.to_pydict() for batch in source.batches(["b"])] == [{"b": ["2"]}]


def test_a_rejected_row_shows_no_value() -> None:
    """Its bytes are for the encrypted artifact only."""
    assert "CANARY" not in repr(RejectedRow(FIELDS, "p.csv, row 3", b"CANARY"))


@given(st.binary(max_size=64))
def test_marks_turn_back_into_any_bytes(data: bytes) -> None:
    """What is not UTF-8 survives the way through the reader unchanged."""
    text = marked(data.decode("utf-8", "surrogateescape"))
    text.encode()
    assert unmarked(text) == data


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=6)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.one_of(st.tuples(CELL, CELL), st.tuples(CELL), st.tuples(CELL, CELL, CELL)), max_size=12))
def test_every_row_is_read_or_set_aside(rows: list[tuple[str, ...]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever the cells: rows of two fields come through as Python's own writer wrote them, all others are counted."""
    path = tmp_path_factory.mktemp("q") / "p.csv"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(("a", "b"))
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode())
    came, rejected, _ = read(path, ["a", "b"], limit=1000)
    assert came == [row for row in rows if len(row) == 2]
    assert len(rejected) == sum(len(row) != 2 for row in rows)
