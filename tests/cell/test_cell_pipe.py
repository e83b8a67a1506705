"""What comes out of a cell is a stranger's: malformed frames, circuits, tables and faults end the workload, and none of their text is told."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.support.cells import CELLS, LIMITS, runner

from prefect_gatehouse.errors import GatehouseError, UnusableAnswer, WorkloadFailed
from prefect_gatehouse.vocabulary import CellName
from prefect_gatehouse.workload.runner import faults, table_form
from prefect_gatehouse.workload.runner.cell import _batch
from prefect_gatehouse.workload.runner.interface import Limits, Runner
from prefect_gatehouse.workload.runner.wire import HEAD, Kind, NotInForm, read_head
from prefect_gatehouse.workload.runner.wire import LIMITS as FRAMES
from prefect_gatehouse.workload.sources import FoundWorkload, Sources

ONE = b'1\ngatehouse-circuits/2\n[[1,1,[["ry",[0],[]],["measure",[0],[0]]]]]\n[[0,1]]\n' + struct.pack("<d", 0.5)


def through(rounds: Runner, steps: int) -> None:
    """So many steps."""
    for step in range(steps):
        rounds.advance([{"0": 1}] if step else None)


# In a process: a workload that writes into the pipe itself


HOSTILE = """
import json

order = json.loads(sys.argv[1])


def solve(features, parameters):
    os.write(order["pipe"][1], bytes.fromhex(parameters["sends"]))
    {then}
    yield
"""
SENT = {
    "nothing": b"",
    "no-type": HEAD.pack(99, 0),
    "a-type-of-the-other-way": HEAD.pack(Kind.LOAD, 0),
    "ready-again": HEAD.pack(Kind.READY, 0),
    "drawings-that-nobody-asked-for": HEAD.pack(Kind.DRAWN, 6) + b"CANARY",
    "endless": HEAD.pack(Kind.CIRCUITS, 1 << 60),
    "half": HEAD.pack(Kind.CIRCUITS, 100) + b"CANARY",
    "half-a-head": b"\x11",
    "garbage": b"CANARY" * 100,
    "two-at-once": (HEAD.pack(Kind.CIRCUITS, len(ONE)) + ONE) * 2,
    "pickle": HEAD.pack(Kind.FRAME, 20) + pickle.dumps("CANARY").ljust(20, b"\0"),
}


@pytest.mark.parametrize("name", SENT)
def test_frames_that_are_none(tmp_path: Path, name: str) -> None:
    """Each ends the workload with our words."""
    body = HOSTILE.replace("{then}", "os._exit(0)")
    words = r"is no answer|ended its process"
    with runner(CELLS[0], tmp_path / "w", body, sends=SENT[name].hex()) as rounds, pytest.raises(WorkloadFailed, match=words) as caught:
        rounds.advance(None)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("cell", CELLS)
def test_a_frame_that_never_ends(cell: CellName, tmp_path: Path) -> None:
    """By the clock: whoever promises more than comes is not waited for."""
    body = HOSTILE.replace("{then}", "__import__('time').sleep(600)")
    limits = Limits(LIMITS.cpu_seconds, 4, LIMITS.memory, LIMITS.file)
    words, sends = "more than 4 s without a round", SENT["half"].hex()
    with runner(cell, tmp_path / "w", body, limits=limits, sends=sends) as rounds, pytest.raises(WorkloadFailed, match=words):
        rounds.advance(None)


@pytest.mark.parametrize("cell", CELLS)
def test_a_flood(cell: CellName, tmp_path: Path) -> None:
    """It stops at the first frame that nobody asked for."""
    body = HOSTILE.replace("{then}", "while True: os.write(order['pipe'][1], b'x' * 65536)")
    sends = (HEAD.pack(Kind.CIRCUITS, len(ONE)) + ONE).hex()
    with runner(cell, tmp_path / "w", body, sends=sends) as rounds, pytest.raises(WorkloadFailed, match="is no answer"):
        through(rounds, 2)


# Out of one


@pytest.mark.parametrize("kind", [*range(16), 21, 255])
def test_types_that_do_not_come_out(kind: int) -> None:
    """Only five do."""
    with pytest.raises(NotInForm):
        read_head(HEAD.pack(kind, 0))


@pytest.mark.parametrize("kind", FRAMES)
def test_a_length_beyond_the_limit(kind: Kind) -> None:
    """Each type has one, and it is looked at before anything is read."""
    assert read_head(HEAD.pack(kind, FRAMES[kind])) == (kind, FRAMES[kind])
    with pytest.raises(NotInForm):
        read_head(HEAD.pack(kind, FRAMES[kind] + 1))


CIRCUITS = {
    "empty": b"",
    "no-lines": b"1",
    "three-lines": b"1\n2\n3\n",
    "shots": ONE.replace(b"1\n", b"2\n", 1),
    "version": ONE.replace(b"/2", b"/1"),
    "name": ONE.replace(b'"ry"', b'"CANARY"'),
    "place": ONE.replace(b"[0],[]", b"[7],[]"),
    "too-many-angles": ONE + b"CANARY",
    "infinite": ONE[:-8] + struct.pack("<d", float("inf")),
    "minus-zero": ONE[:-8] + struct.pack("<d", -0.0),
    "blanks": ONE.replace(b"[[0,1]]", b"[[0, 1]]"),
    "nested": b"1\ngatehouse-circuits/2\n" + b"[" * 100_000 + b"\n[[0,1]]\n",
    "endless": b"1\ngatehouse-circuits/2\n[[1,1,[]]]\n[[0,10000001]]\n",
    "huge-number": b"1\ngatehouse-circuits/2\n[[1" + b"0" * 5000 + b",1,[]]]\n[[0,1]]\n",
}


@pytest.mark.parametrize("name", CIRCUITS)
def test_circuits_that_are_none(name: str) -> None:
    """The plain form is read strictly, for the reader never trusted its writer."""
    assert len(_batch(ONE)) == 1
    with pytest.raises(NotInForm):
        _batch(CIRCUITS[name])


def test_more_gates_than_can_be_read() -> None:
    """Text takes thirty times its length in memory: there is a limit, and it is told as the workload's."""
    with pytest.raises(UnusableAnswer, match="more than a round can hold"):
        _batch(b"1\ngatehouse-circuits/2\n" + b"[" * (1 << 25) + b"\n[[0,1]]\n")


def stream(table: pa.Table, rows: int | None = None, **options: Any) -> bytes:
    """An Arrow stream as anybody could write it, with so many rows a batch."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, rows)
    return sink.getvalue().to_pybytes()


def of_rows(table: pa.Table, rows: int) -> bytes:
    """A stream whose batch says that it has so many rows."""
    return stream(table).replace(struct.pack("<q", len(table)), struct.pack("<q", rows))


PLAIN = pa.table({"subject": ["a", "b"], "score": [0.5, None]})
TABLES = {
    "empty": b"",
    "garbage": b"CANARY" * 100,
    "pickle": pickle.dumps({"CANARY": 1}),
    "no-rows": stream(PLAIN.slice(0, 0)),
    "compressed": stream(pa.table({"x": [0] * 100_000}), compression="zstd"),
    "compressed-otherwise": stream(pa.table({"x": [0] * 100_000}), compression="lz4"),
    "dictionary": stream(pa.table({"x": pa.array(["a", "b"]).dictionary_encode()})),
    "nested": stream(pa.table({"x": [[1], [2]]})),
    "struct": stream(pa.table({"x": [{"a": 1}]})),
    "binary": stream(pa.table({"x": [b"CANARY"]})),
    "a-zone-of-its-own": stream(pa.table({"x": pa.array([1], pa.timestamp("us", "CANARY"))})),
    "an-offset-of-its-own": stream(pa.table({"x": pa.array([1], pa.timestamp("us", "+01:00CANARY"))})),
    "twice": stream(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])),
    "file": pa.ipc.new_file,
    "cut": stream(PLAIN)[:-60],
    "a-bomb-of-rows-without-a-value": of_rows(pa.table({"x": pa.nulls(54_321)}), 1 << 40),
    "a-bomb-of-rows-without-a-byte": of_rows(pa.table({"x": pa.array([b""] * 54_321, pa.binary(0))}), 1 << 40),
    "fewer-rows-than-none": of_rows(pa.table({"x": pa.nulls(54_321)}), -1),
    "a-bomb-of-cells-without-a-value": stream(pa.table({"x": [True] * (1 << 20)} | {f"n{each}": pa.nulls(1 << 20) for each in range(65)})),
    "a-bomb-of-batches": stream(pa.table({"x": [1] * 1001}), 1),
    "too-wide": stream(pa.table({f"x{each}": [1] for each in range(10_001)})),
    "not-utf-8": stream(PLAIN).replace(b"ab", b"\xff\xfe"),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_that_are_none(name: str) -> None:
    """Only plain columns in uncompressed batches; a compressed buffer could say that it is larger than any memory."""
    data = TABLES[name]
    if callable(data):
        sink = pa.BufferOutputStream()
        with data(sink, PLAIN.schema) as writer:
            writer.write_table(PLAIN)
        data = sink.getvalue().to_pybytes()
    with pytest.raises(NotInForm):
        table_form.unpack(data)


def test_a_table_goes_through_as_it_is() -> None:
    """Its columns, types and values, in one chunk; its metadata stay behind."""
    several = pa.concat_tables([PLAIN, PLAIN]).replace_schema_metadata({"CANARY": "CANARY"})
    found = table_form.unpack(table_form.pack(several))
    assert found.equals(several.replace_schema_metadata(None)) and not found.schema.metadata
    assert table_form.unpack(stream(several)).schema.metadata is None


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "+05:30"])
def test_zones_that_everybody_has(zone: str | None) -> None:
    """Names of the time zone database, and offsets."""
    table = pa.table({"x": pa.array([1], pa.timestamp("us", zone))})
    assert table_form.unpack(table_form.pack(table)).equals(table)


def test_a_table_with_any_byte_changed() -> None:
    """Read, and then whole, or refused: nothing in between, and no other exception."""
    data = table_form.pack(PLAIN)
    for place in range(len(data)):
        for value in (0, 1, 0x7F, 0xFF):
            changed = data[:place] + bytes([value]) + data[place + 1 :]
            try:
                table_form.unpack(changed).validate(full=True)
            except NotInForm:
                continue


FOUND = FoundWorkload("workload.py:solve", Path("/w/workload.py"), Sources(Path("/w"), {Path("/w/workload.py"): b"import numpy\n\n"}))
NO_FAULTS = [
    b"", b"CANARY", b"[]", b"1", b"null", b"{}", b'"fault"', b"[" * 16_000, b'{"fault": "CANARY"}', b'{"fault": 1}',
    b'{"fault": ["raised"]}', b"\xff",
]  # fmt: skip


@pytest.mark.parametrize("content", NO_FAULTS)
def test_faults_that_are_none(content: bytes) -> None:
    """A record of a known kind, or nothing."""
    with pytest.raises(NotInForm):
        faults.error_from(content, FOUND, ())


FAULTS: list[dict[str, Any]] = [
    {"fault": "raised"},
    {"fault": "raised", "kind": "CANARY", "where": "workload.py:1"},
    {"fault": "raised", "kind": "ValueError", "where": "CANARY:1"},
    {"fault": "raised", "kind": "ValueError", "where": "workload.py:4711"},
    {"fault": "raised", "kind": ["CANARY"], "where": {"CANARY": 1}},
    {"fault": "raised", "kind": "ValueError", "where": "../workload.py:1"},
    {"fault": "raised", "kind": "ValueError", "where": "workload.py:" + "1" * 5000},
    {"fault": "missing", "name": "CANARY"},
    {"fault": "missing", "name": {"CANARY": 1}},
    {"fault": "syntax", "where": "CANARY", "message": "CANARY"},
    {"fault": "syntax", "where": "workload.py:1"},
    {"fault": "refusal"},
    {"fault": "refusal", "sentence": "CANARY", "slots": {}},
    {"fault": "refusal", "sentence": ["CANARY"], "slots": {}},
    {"fault": "refusal", "sentence": "type", "slots": {"column": 1, "type": "CANARY"}},
    {"fault": "refusal", "sentence": "type", "slots": {"column": 1, "type": "int", "name": "CANARY"}},
    {"fault": "refusal", "sentence": "type", "slots": {"column": "CANARY", "type": "int"}},
    {"fault": "refusal", "sentence": "type", "slots": {"column": 1 << 70, "type": "int"}},
    {"fault": "refusal", "sentence": "type", "slots": {"column": True, "type": "int"}},
    {"fault": "refusal", "sentence": "type", "slots": {"column": 1}},
    {"fault": "refusal", "sentence": "type", "slots": {"CANARY": 1, "column": 1, "type": "int"}},
    {"fault": "refusal", "sentence": "several-types", "slots": {"column": 1, "types": ["int", "CANARY"]}},
    {"fault": "refusal", "sentence": "several-types", "slots": {"column": 1, "types": "int"}},
    {"fault": "refusal", "sentence": "no-gates", "slots": {"kind": "CANARY"}},
    {"fault": "refusal", "sentence": "no-gates", "slots": {"kind": "CANARYGate"}},
    {"fault": "refusal", "sentence": "no-gates", "slots": {"kind": "An (object|CANARY)"}},
    {"fault": "refusal", "sentence": "own-gate", "slots": {"gate": "CANARY"}},
    {"fault": "refusal", "sentence": "is-index", "slots": {"declared": "CANARY"}},
    {"fault": "refusal", "sentence": "no-circuits", "slots": "CANARY"},
]


@pytest.mark.parametrize("record", FAULTS, ids=lambda record: "-".join(map(str, record.values()))[:60])
def test_faults_of_a_workload_s_own(record: dict[str, Any]) -> None:
    """A text that stands for a name is told only if the name is known here."""
    error = faults.error_from(json.dumps(record).encode(), FOUND, ("score",))
    assert isinstance(error, GatehouseError)
    assert "CANARY" not in str(error) and "4711" not in str(error) and "1" * 20 not in str(error)
    assert error.where.startswith("workload.py")


def test_faults_that_are_told() -> None:
    """What is known is told in the words of a workload that runs without a cell."""
    said = [
        ({"fault": "raised", "kind": "KeyError", "where": "workload.py:2"}, "workload.py:2: the workload raised KeyError; its text is withheld"),
        ({"fault": "missing", "name": "numpy", "where": "workload.py:1"}, "workload.py:1: ModuleNotFoundError: no module is named 'numpy'"),
        (
            {"fault": "refusal", "sentence": "type", "slots": {"column": 2, "type": "complex", "name": "score"}},
            "workload.py: column 2 of the workload's frame ('score') holds values of type complex",
        ),
        (
            {"fault": "refusal", "sentence": "control-flow", "slots": {"kind": "IfElseOp", "operation": 3}},
            "workload.py: operation 3 of a circuit: IfElseOp is control flow, and only gates are sent",
        ),
    ]
    for record, words in said:
        assert str(faults.error_from(json.dumps(record).encode(), FOUND, ("score",))).startswith(words)


def test_a_source_that_is_too_long_to_be_asked_about() -> None:
    """Ten megabytes of numbers take the parser four gigabytes, which no cell would limit: the run asks it about short files alone."""
    for length, words in ((10, "SyntaxError: "), (1 << 20, "the workload raised SyntaxError")):
        source = b"import nothing\nx = [" + b"1," * length
        found = FoundWorkload("workload.py:solve", Path("/w/workload.py"), Sources(Path("/w"), {Path("/w/workload.py"): source}))
        told = faults.error_from(b'{"fault": "syntax", "where": "workload.py:2"}', found, ())
        assert words in str(told)
    told = faults.error_from(b'{"fault": "missing", "where": "workload.py:1", "name": "nothing"}', found, ())
    assert "the workload raised ModuleNotFoundError" in str(told)
