"""CSV that is not UTF-8 with commas and a header row: read as the manifest says, and otherwise told what it is and what to set."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from prefect_gatehouse.data.sources import FilesPlace, open_source
from prefect_gatehouse.data.sources.csv_input import CsvInput
from prefect_gatehouse.errors import DataRefused, GatehouseError, InputError
from prefect_gatehouse.manifest.csv_form import CsvForm

ADULT = b'39, State-gov, 77516, ?, <=50K\n50, ?, 83311, Bachelors, >50K\n38, Private,  , "HS", <=50K\n\n'


def read(path: Path, data: bytes, form: CsvForm, quarantine: int | None = None) -> dict[str, list[object]]:
    path.write_bytes(data)
    with open_source(FilesPlace(path.parent, (path.name,), form), quarantine=quarantine) as source:
        return dict(pa.Table.from_batches(list(source.batches(source.names))).to_pydict())


def refused(path: Path, data: bytes, form: CsvForm) -> str:
    with pytest.raises(InputError) as caught:
        read(path, data, form)
    assert caught.value.advice
    assert "CANARY" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_wide_encodings_are_named_and_read_when_they_are_set(tmp_path: Path, encoding: str) -> None:
    """Undeclared: the error says which, and the setting that it names is the one that reads the file."""
    data = "a,CANARY\né,1\n".encode(encoding)
    told = refused(tmp_path / "p.csv", data, CsvForm())
    assert f"the text is {encoding.upper()}, not UTF-8" in told
    setting = re.search(r"set data\.csv\.encoding: ([\w-]+)", told)
    assert setting is not None
    form = CsvForm.model_validate({"encoding": setting[1]})
    assert read(tmp_path / "p.csv", data, form) == {"a": ["é"], "CANARY": ["1"]}


def test_a_mark_of_utf_8_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    """With a header and without one."""
    assert read(tmp_path / "p.csv", b"\xef\xbb\xbfa,b\n1,2\n", CsvForm()) == {"a": ["1"], "b": ["2"]}
    assert read(tmp_path / "p.csv", b"\xef\xbb\xbf1,2\n", CsvForm(header="none")) == {"column_1": ["1"], "column_2": ["2"]}
    assert read(tmp_path / "p.csv", b"\xef\xbb\xbfx\n1,2\n", CsvForm(header="none", skip_rows=1)) == {"column_1": ["1"], "column_2": ["2"]}


def test_bytes_of_an_old_encoding(tmp_path: Path) -> None:
    """Nobody can tell which it is, so the row is named and the setting; set, it is read; a byte that it does not have is told with its row."""
    data = "a,b\n1,2\nCANARYé,3\n".encode("cp1252")
    told = refused(tmp_path / "p.csv", data, CsvForm())
    assert told.startswith("p.csv: row 3 (the header is row 1) is not UTF-8") and "data.csv.encoding" in told
    assert read(tmp_path / "p.csv", data, CsvForm(encoding="cp1252")) == {"a": ["1", "CANARYé"], "b": ["2", "3"]}
    assert "row 3 (the header is row 1) is not CP1252" in refused(tmp_path / "p.csv", b"a,b\n1,2\nCANARY\x81,3\n", CsvForm(encoding="cp1252"))
    assert "not UTF-16" in refused(tmp_path / "p.csv", data, CsvForm(encoding="utf-16"))
    assert "needs" in refused(tmp_path / "p.csv", "a,b\nCANARY,2\n".encode("utf-16-le"), CsvForm(encoding="utf-16"))
    lone = "a,b\n1,2\n".encode("utf-16") + b"\x00\xd8" + "CANARY,3\n4,5\n".encode("utf-16-le")
    assert "row 3 (the header is row 1) is not UTF-16" in refused(tmp_path / "p.csv", lone, CsvForm(encoding="utf-16"))
    assert read(tmp_path / "p.csv", lone, CsvForm(encoding="utf-16"), quarantine=1) == {"a": ["1", "4"], "b": ["2", "5"]}


@pytest.mark.parametrize(
    ("name", "delimiter", "other"),
    [("p.csv", ";", "semicolons"), ("p.csv", "tab", "tabs"), ("p.csv", "|", "vertical bars"), ("p.tsv", ",", "commas"), ("p.tab", ";", "semicolons")],
)
def test_another_delimiter_is_told_and_read_when_it_is_set(tmp_path: Path, name: str, delimiter: str, other: str) -> None:
    """Never guessed, and never taken for one column, unless the manifest says that it is."""
    sign = "\t" if delimiter == "tab" else delimiter
    data = f"a{sign}CANARY\n1,5{sign}2\n".encode() if sign != "," else b"a,CANARY\n1.5,2\n"
    told = refused(tmp_path / name, data, CsvForm())
    assert f"the first row has {other}" in told and "set data.csv.delimiter: " in told
    form = CsvForm.model_validate({"delimiter": delimiter})
    assert list(read(tmp_path / name, data, form)) == ["a", "CANARY"]


def test_tabs_are_what_a_tsv_has(tmp_path: Path) -> None:
    """By its name, compressed or not; a file of one column needs none; a quoted delimiter is text."""
    assert read(tmp_path / "p.tsv", b'a\tb\n"1\t2",3\t4\n', CsvForm()) == {"a": ["1\t2,3"], "b": ["4"]}
    assert read(tmp_path / "p.TSV", b"a\n1\n", CsvForm()) == {"a": ["1"]}
    assert read(tmp_path / "p.csv", b"a;b\n1;2\n", CsvForm(delimiter=",")) == {"a;b": ["1;2"]}


def test_uci_adult_as_it_is_published(tmp_path: Path) -> None:
    """No header, a blank after each comma, question marks for nothing, an empty line at the end."""
    form = CsvForm(header="none", trim=True, missing=("?",))
    plain = ADULT.replace(b'"', b"")
    assert read(tmp_path / "adult.data", plain, form) == {
        "column_1": ["39", "50", "38"],
        "column_2": ["State-gov", None, "Private"],
        "column_3": ["77516", "83311", None],
        "column_4": [None, "Bachelors", "HS"],
        "column_5": ["<=50K", ">50K", "<=50K"],
    }
    named = read(tmp_path / "adult.data", plain, CsvForm(header="none", names=("age", "work", "weight", "education", "income")))
    assert (list(named), named["work"]) == (["age", "work", "weight", "education", "income"], [" State-gov", " ?", " Private"])
    assert "first row has 5 fields, data.csv.names has 1" in refused(tmp_path / "adult.data", plain, CsvForm(header="none", names=("age",)))
    assert "column 'column_4' has blanks before a double quote" in refused(tmp_path / "adult.data", ADULT, form)


def test_names_of_ones_own_and_lines_above(tmp_path: Path) -> None:
    """scikit-learn's iris.csv: counts and class names where the header would be; UCI's adult.test: a remark above the rows."""
    assert read(tmp_path / "p.csv", b"150,4,setosa\n5.1,3.5,0\n", CsvForm(names=("a", "b", "c"))) == {"a": ["5.1"], "b": ["3.5"], "c": ["0"]}
    form = CsvForm(header="none", skip_rows=1)
    assert read(tmp_path / "p.csv", b"|1x3 CANARY\n1,2\n", form) == {"column_1": ["1"], "column_2": ["2"]}
    assert "row 4 has another number of fields than the first row" in refused(tmp_path / "p.csv", b"|1x3\n1,2\n3,4\nCANARY\n", form)
    assert read(tmp_path / "p.csv", b"title\r\n\r\na,b\r\n1,2\r\n", CsvForm(skip_rows=1)) == {"a": ["1"], "b": ["2"]}
    assert "no 9 lines to skip" in refused(tmp_path / "p.csv", b"CANARY,b\n1,2\n", CsvForm(skip_rows=9))


def test_rows_set_aside_have_their_numbers_in_every_form(tmp_path: Path) -> None:
    """Lines above, a header or none: the number is the one that an editor shows, and the sound rows come through."""
    path = tmp_path / "p.csv"
    for form, above in (
        (CsvForm(header="none", delimiter=";"), b""),
        (CsvForm(delimiter=";"), b"a;b\n"),
        (CsvForm(delimiter=";", skip_rows=2), b"x\ny\na;b\n"),
    ):
        path.write_bytes(above + b"1;2\n3;4;5\n\xff;6\n7;8\n9\n")
        with open_source(FilesPlace(tmp_path, ("p.csv",), form), quarantine=9) as source:
            assert [row["".join(source.names[:1])] for batch in source.batches(source.names) for row in batch.to_pylist()] == ["1", "7"]
            first = above.count(b"\n")
            assert {row.raw for row in source.rejects.rows} == {b"3;4;5", b"\xff;6", b"9"}
            assert sorted(row.where for row in source.rejects.rows) == [f"p.csv, row {first + place}" for place in (2, 3, 5)]


def test_what_is_missing_and_what_is_empty(tmp_path: Path) -> None:
    """A field of blanks only is missing, an empty text in quotes is one, a text of missing is missing in quotes too."""
    data = b'a,b\n  ,""\n NA ,"NA"\nNAN, -\n'
    assert read(tmp_path / "p.csv", data, CsvForm(trim=True, missing=("NA", "-"))) == {"a": [None, None, "NAN"], "b": ["", None, None]}
    assert read(tmp_path / "p.csv", data, CsvForm(missing=("NA",))) == {"a": ["  ", " NA ", "NAN"], "b": ["", None, " -"]}


def test_decimal_commas(tmp_path: Path) -> None:
    """Only in the columns that are named, only in numbers; a point in one of them could mean thousands and is refused."""
    data = b"a;b\n1,5;1,5\n-0,25;x\n3;\n1,5e-3;2,5,6\n"
    form = CsvForm(delimiter=";", decimal_comma=("a",))
    assert read(tmp_path / "p.csv", data, form) == {"a": ["1.5", "-0.25", "3", "1.5e-3"], "b": ["1,5", "x", None, "2,5,6"]}
    assert "column 'a' has points beside its decimal commas" in refused(tmp_path / "p.csv", b"a;b\n1.234,5;CANARY\n", form)
    assert "there is no column 'c'" in refused(tmp_path / "p.csv", data, CsvForm(delimiter=";", decimal_comma=("c",)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"delimiter": ",,"},
        {"encoding": "rot13"},
        {"header": "yes"},
        {"names": ["a", "a"]},
        {"names": ["a\n"]},
        {"skip_rows": -1},
        {"missing": [""]},
        {"missing": [" ?"], "trim": True},
        {"names": ["a"], "decimal_comma": ["b"]},
        {"compression": "gzip"},
    ],
)
def test_forms_that_no_file_has(wrong: dict[str, object]) -> None:
    """Refused where the manifest is read."""
    with pytest.raises(ValidationError):
        CsvForm.model_validate(wrong)


CELL = st.text(st.characters(codec="cp1252", exclude_categories=["Cc", "Cs"]), max_size=8)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=12),
    sign=st.sampled_from([",", ";", "|", ":", "\t", " "]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"]),
    header=st.booleans(),
    above=st.integers(0, 2),
    lenient=st.booleans(),
)
def test_what_python_writes_is_read_back(
    tmp_path: Path, rows: list[tuple[str, ...]], sign: str, encoding: str, header: bool, above: int, lenient: bool
) -> None:
    """Whatever the cells, the delimiter, the encoding and what stands above: every field comes back as it was written."""
    text = io.StringIO()
    text.write("# remark\n" * above)
    writer = csv.writer(text, delimiter=sign, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerows([*([("a", "b", "c")] if header else []), *rows])
    form = CsvForm.model_validate(
        {
            "delimiter": {"\t": "tab", " ": "space"}.get(sign, sign),
            "encoding": encoding.removesuffix("-sig"),
            "header": "row" if header else "none",
            "skip_rows": above,
        }
    )
    found = read(tmp_path / "p.csv", text.getvalue().encode(encoding), form, 9 if lenient else None)
    assert list(zip(*found.values(), strict=True)) == rows
    assert list(found) == (["a", "b", "c"] if header else ["column_1", "column_2", "column_3"])


def refusable(attack: str) -> bytes:
    """A file with a defect near its beginning, and far more behind it than a reader is ahead."""
    rows = {
        "a key of several MiB": b"1,2\n" + b"y" * (3 << 20) + b",3\n",
        "fields": b"1,2\n" * 600_000 + b"3\n",
        "encoding": b"1,2\n" * 600_000 + b"\xff,3\n",
        "fields in the first block": b"3\n",
    }[attack]
    return b"id,x\n" + rows + b"4,5\n" * 12_000_000


REFUSED = ("a key of several MiB", "fields", "encoding", "fields in the first block")


@pytest.mark.parametrize("attack", REFUSED)
def test_no_thread_reads_on_behind_a_refused_source(tmp_path: Path, attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that calls into Python when the interpreter ends aborts the process. When the error is there, nobody reads any more."""
    inputs: list[CsvInput] = []
    late = threading.Event()
    plain, begin = CsvInput.read, CsvInput.__init__

    def reading(self: CsvInput, size: int) -> bytes:
        data = plain(self, size)
        if self.closed and self in ended:
            late.set()
        return data

    def beginning(self: CsvInput, *arguments: object, **settings: object) -> None:
        begin(self, *arguments, **settings)  # type: ignore[arg-type]
        inputs.append(self)

    ended: list[CsvInput] = []
    monkeypatch.setattr(CsvInput, "read", reading)
    monkeypatch.setattr(CsvInput, "__init__", beginning)
    with pytest.raises(InputError):
        read(tmp_path / "p.csv", refusable(attack), CsvForm())
    ended += inputs
    assert inputs
    assert not late.wait(0.3)


@pytest.mark.parametrize("attack", [*REFUSED, "nothing"])
def test_a_process_that_read_a_source_ends_as_it_should(tmp_path: Path, attack: str) -> None:
    """The interpreter ends at once behind the last row or the error, and the reader's thread has been slow to leave: no abort."""
    (tmp_path / "p.csv").write_bytes(b"id,x\n1,2\n" if attack == "nothing" else refusable(attack))
    code = (
        "import sys, time; from pathlib import Path; from prefect_gatehouse.data.sources import FilesPlace, open_source\n"
        "from prefect_gatehouse.data.sources.csv_input import CsvInput\n"
        "from prefect_gatehouse.errors import InputError\n"
        "plain = CsvInput.read\n"
        "def slow(self, size):\n"
        "    data = plain(self, size)\n"
        "    if not data: time.sleep(0.3)\n"
        "    return data\n"
        "CsvInput.read = slow\n"
        "try:\n"
        "    with open_source(FilesPlace(Path(sys.argv[1]), ('p.csv',))) as source:\n"
        "        for batch in source.batches(['id', 'x']): pass\n"
        "except InputError: sys.exit(3)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (0 if attack == "nothing" else 3, "")


class _Counted(bytes):
    """Bytes that tell how many of them anybody holds."""

    alive = most = 0

    def __new__(cls, data: bytes) -> Self:
        cls.alive += 1
        cls.most = max(cls.most, cls.alive)
        return super().__new__(cls, data)

    def __del__(self) -> None:
        type(self).alive -= 1


def test_the_readers_threads_hold_nothing_of_pythons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that lets go of Python's bytes comes for the interpreter at a time of its own, and aborts the process that is ending."""
    (tmp_path / "p.csv").write_bytes(b"id,x\n" + b"1,2\n" * 3_000_000)
    plain = CsvInput.read
    monkeypatch.setattr(CsvInput, "read", lambda self, size: _Counted(plain(self, size)))
    with open_source(FilesPlace(tmp_path, ("p.csv",))) as source:
        assert sum(batch.num_rows for batch in source.batches(["x"])) == 3_000_000
    assert (_Counted.most, _Counted.alive) == (1, 0)


def test_a_file_that_fails_in_the_middle_keeps_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the reader it ends there; whoever takes the batches gets the error, and no row that was cut off."""
    (tmp_path / "p.csv").write_bytes(b"id,x\n" + b"12345,6\n" * 1_000_000)
    plain = CsvInput._filled

    def failing(self: CsvInput, size: int) -> bytes:
        if self.position > 4 << 20:
            message = "the disk is gone"
            raise InputError(message, where="p.csv", advice="look at it")
        return plain(self, size)

    monkeypatch.setattr(CsvInput, "_filled", failing)
    batches: list[pa.RecordBatch] = []
    with open_source(FilesPlace(tmp_path, ("p.csv",))) as source, pytest.raises(InputError, match="the disk is gone"):
        batches.extend(source.batches(["x"]))
    assert {value for batch in batches for value in batch.column("x").to_pylist()} <= {"6"}


def test_whoever_stops_in_the_middle_leaves_no_reader(tmp_path: Path) -> None:
    """The first rows of a long file: the generator is closed, and with it the reading."""
    path = tmp_path / "p.csv"
    path.write_bytes(b"id,x\n" + b"1,2\n" * 12_000_000)
    with open_source(FilesPlace(tmp_path, ("p.csv",))) as source:
        batches = source.batches(["x"])
        assert next(batches).num_rows
        taken, total = source.progress()
        assert taken < total / 2, "it reads only a little ahead"
        batches.close()  # type: ignore[attr-defined]


def test_an_error_of_the_store_comes_through_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk or the store says in the reader's thread is what the caller gets."""
    path = tmp_path / "p.csv"
    path.write_bytes(b"id,x\n" + b"1,2\n" * 1_000_000)

    class Gone(GatehouseError):
        """An error of ours."""

    def failing(self: CsvInput, size: int) -> bytes:
        if self.position > 1 << 21:
            raise Gone("gone")
        return filled(self, size)

    filled = CsvInput._filled
    monkeypatch.setattr(CsvInput, "_filled", failing)
    with open_source(FilesPlace(tmp_path, ("p.csv",))) as source, pytest.raises(Gone):
        list(source.batches(["x"]))


def test_too_many_rows_of_another_form(tmp_path: Path) -> None:
    """A limit holds in every form, and tells no value."""
    with pytest.raises(DataRefused, match="more than 1 row"):
        read(tmp_path / "p.csv", b"1;2\nCANARY\nCANARY\n3;4\n", CsvForm(header="none", delimiter=";"), quarantine=1)


SEPARATED = {
    "semicolon": (b"sep=;\na;b\n1;x\n", CsvForm()),
    "capitals-mark-crlf": (b"\xef\xbb\xbfSEP=;\r\na;b\r\n1;x\r\n", CsvForm()),
    "quoted": (b'"sep=;"\na;b\n1;x\n', CsvForm()),
    "tab": (b"sep=\t\na\tb\n1\tx\n", CsvForm()),
    "comma-in-a-wide-encoding": ("sep=,\na,b\n1,x\n".encode("utf-16"), CsvForm(encoding="utf-16")),
    "said-twice": (b"sep=;\na;b\n1;x\n", CsvForm(delimiter=";")),
    "skipped-already": (b"sep=;\na;b\n1;x\n", CsvForm(delimiter=";", skip_rows=1)),
    "a-title-below": (b"sep=;\ntitle\na;b\n1;x\n", CsvForm(skip_rows=2)),
    "names-given": (b"sep=;\n1;x\n", CsvForm(header="none", names=("a", "b"))),
}


@pytest.mark.parametrize("case", SEPARATED)
def test_the_line_for_excel_is_no_header(tmp_path: Path, case: str) -> None:
    """``sep=;`` before everything else names the delimiter and is no row; who skipped it by hand still reads the same."""
    data, form = SEPARATED[case]
    assert read(tmp_path / "s.csv", data, form) == {"a": ["1"], "b": ["x"]}
    assert read(tmp_path / "s.csv", data, form, quarantine=3) == {"a": ["1"], "b": ["x"]}


def test_a_line_for_excel_that_contradicts_or_is_none(tmp_path: Path) -> None:
    """Another delimiter than the manifest's, and one that parts nothing here, are refused; a letter is the name of a column."""
    told = refused(tmp_path / "s.csv", b"sep=;\na;b\n1;x\n", CsvForm(delimiter=","))
    assert "first line says that ';'" in told and "data.csv.delimiter says ','" in told
    assert "parts no fields here" in refused(tmp_path / "s.csv", b"sep=^\na^b\n1^x\n", CsvForm())
    assert read(tmp_path / "s.csv", b"sep=a\n1\n", CsvForm()) == {"sep=a": ["1"]}
    told = refused(tmp_path / "s.csv", b"sep=;\na;b\n1;x\nCANARY\n", CsvForm())
    assert "row 4 has another number of fields" in told and "is row 1" not in told


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quarantine", [None, 3])
def test_an_empty_line_of_a_single_column_is_a_missing_value(tmp_path: Path, ending: str, quarantine: int | None) -> None:
    """RFC 4180 has no other way to write it; of several columns it is no row, and the end of the file adds none."""

    def values(text: str, **form: object) -> list[list[object]]:
        data = text.replace("\n", ending).encode()
        return list(read(tmp_path / "one.csv", data, CsvForm.model_validate(form), quarantine).values())

    assert values("a\n1\n\n2\n") == values("a\n1\n\n2") == [["1", None, "2"]]
    assert values("a\n\n1") == [[None, "1"]]
    assert values('a\n""\n\n') == [["", None]]
    assert values("\n1\n\n2\n", header="none") == [[None, "1", None, "2"]]
    assert values("a\n" + "\n" * 3_000_000) == [[None] * 3_000_000]  # over the reader's blocks
    assert values("a,b\n1,2\n\n3,4\n\n") == [["1", "3"], ["2", "4"]]
