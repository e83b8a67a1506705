"""The plain form against a second reader: both read the same circuits, or both refuse, and what is read has one spelling."""

from __future__ import annotations

import json
import math
import struct
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.workload import plain_form_reader
from tests.workload.plain_form_reader import Circuit, Refused

from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.run.boundary import fault_in, kinds_in
from prefect_gatehouse.workload import plain_form
from prefect_gatehouse.workload.batch import CircuitBatch, Template, joined
from prefect_gatehouse.workload.gates import gate_shapes

SHAPES = gate_shapes()
ANGLES = st.floats(-100, 100) | st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1.7976931348623157e308, math.pi])
DOUBLES = [
    math.nan,
    math.inf,
    -math.inf,
    -0.0,
    0.0,
    5e-324,
    *(struct.unpack("<d", each)[0] for each in (b"\1\0\0\0\0\0\xf0\x7f", b"CANARY\xf8\x7f", b"CANARY\xf8\xff")),
]


@st.composite
def templates(draw: st.DrawFn) -> Template:
    """Gates on places of a small register."""
    width, bits = draw(st.integers(4, 6)), draw(st.integers(1, 4))
    gates = []
    for name in draw(st.lists(st.sampled_from(sorted(SHAPES)) | st.sampled_from(["rx", "measure", "x"]), max_size=5)):
        qubits, clbits, _ = SHAPES[name]
        if qubits <= width:
            gates.append((name, tuple(draw(st.permutations(range(width)))[:qubits]), tuple(draw(st.permutations(range(bits)))[:clbits])))
    return Template(width, bits, tuple(gates))


@st.composite
def batches(draw: st.DrawFn) -> tuple[CircuitBatch, list[Circuit]]:
    """A batch, made as rounds are, and the circuits that it was made of."""
    known = draw(st.lists(templates(), min_size=1, max_size=3))
    pieces, circuits = [], []
    for place in draw(st.lists(st.integers(0, len(known) - 1), min_size=1, max_size=5)):
        template = known[place]
        rows = draw(st.lists(st.lists(ANGLES, min_size=template.angles, max_size=template.angles), min_size=1, max_size=3))
        pieces.append((template, np.array(rows, np.float64).reshape(len(rows), template.angles)))
        circuits += [circuit_of(template, row) for row in rows]
    return joined(pieces), circuits


def circuit_of(template: Template, angles: list[float]) -> Circuit:
    """One circuit as the second reader tells it."""
    left = [0.0 if angle == 0 else angle for angle in angles]
    operations = []
    for name, qubits, clbits in template.gates:
        operations.append((name, qubits, clbits, tuple(left[: SHAPES[name][2]])))
        del left[: SHAPES[name][2]]
    return template.qubits, template.clbits, tuple(operations)


def told(batch: CircuitBatch) -> list[Circuit]:
    return [circuit_of(template, angles.tolist()) for template, angles in batch.settings()]


def both(payload: bytes) -> bool:
    """Whether the payload is read; both readers read the same or refuse it, and what was read is written in the same bytes."""
    try:
        seen: tuple[list[Circuit], int] | None = plain_form_reader.read(payload, SHAPES)
    except Refused:
        seen = None
    try:
        batch, shots = plain_form.read(payload)
    except plain_form.Malformed:
        assert seen is None
        with pytest.raises(Tampered):
            plain_form.decode(payload)
        assert fault_in(payload)
        return False
    assert seen is not None
    assert repr(seen) == repr((told(batch), shots))  # repr tells minus zero from zero
    assert plain_form.write(batch, shots) == payload
    assert [len(table) for table in batch.angles] == np.bincount(batch.order, minlength=len(batch.templates)).tolist()
    return True


@settings(max_examples=40, deadline=None)
@given(batches(), st.integers(1, 10**7))
def test_the_second_reader_reads_what_was_written(made: tuple[CircuitBatch, list[Circuit]], shots: int) -> None:
    """Every circuit in order, operation for operation and angle for angle; and both readers agree on it."""
    batch, circuits = made
    payload = plain_form.write(batch, shots)
    assert plain_form_reader.read(payload, SHAPES) == (circuits, shots)
    assert both(payload)
    assert plain_form.summarise(batch, shots).count == len(circuits)


@settings(deadline=None)
@given(made=batches(), shots=st.integers(1, 1000))
def test_classical_bits_without_the_gates(made: tuple[CircuitBatch, list[Circuit]], shots: int) -> None:
    assert plain_form.clbits_of(plain_form.write(made[0], shots)) == list(made[0].clbits())


@pytest.mark.parametrize("shown", ["", "2 3 4", "v [[1]] [[0,1]] ", "v [[1,1,[]]] [[1,1]] ", "v {} [[0,1]] ", "v 7 8 "])
def test_no_payload_of_ours_has_no_classical_bits(shown: str) -> None:
    with pytest.raises(Tampered, match="can't be decoded"):
        plain_form.clbits_of(f"1 {shown}".replace(" ", "\n").encode())


@settings(max_examples=25, deadline=None)
@given(batches(), st.integers(1, 4))
def test_parts_are_the_circuits_in_order(made: tuple[CircuitBatch, list[Circuit]], size: int) -> None:
    """Cut into jobs, each is a form of its own, and together they are the whole."""
    batch, circuits = made
    parts = list(batch.parts(size))
    assert all(both(plain_form.write(part, 1)) and len(part) <= size for part in parts)
    assert [circuit for part in parts for circuit in told(part)] == told(batch) == circuits


# --- what somebody else wrote


def bytes_changed(payload: bytes, draw: Any) -> bytes:
    place = draw(st.integers(0, len(payload) - 1))
    return payload[:place] + draw(st.binary(max_size=3)) + payload[place + draw(st.integers(0, 9)) :]


def lines_swapped(payload: bytes, draw: Any) -> bytes:
    lines = payload.split(b"\n", 4)
    return b"\n".join(draw(st.permutations(lines)))


def line_lost_or_doubled(payload: bytes, draw: Any) -> bytes:
    lines = payload.split(b"\n", 4)
    place = draw(st.integers(0, 4))
    return b"\n".join(lines[:place] + lines[place : place + 1] * draw(st.sampled_from([0, 2])) + lines[place + 1 :])


def with_json(line: int, change: Callable[[list[Any], Any], object], payload: bytes, draw: Any) -> bytes:
    lines = payload.split(b"\n", 4)
    value = json.loads(lines[line])
    changed = change(value, draw)
    lines[line] = json.dumps(value if changed is None else changed, separators=(",", ":")).encode()
    return b"\n".join(lines)


def run_split(runs: list[Any], draw: Any) -> None:
    place = draw(st.integers(0, len(runs) - 1))
    which, count = runs[place]
    first = draw(st.integers(0, count))
    runs[place : place + 1] = [[which, first], [which, count - first]]


def runs_merged(runs: list[Any], draw: Any) -> None:
    place = draw(st.integers(0, len(runs) - 1))
    runs[place : place + 2] = [[runs[place][0], sum(count for _, count in runs[place : place + 2])]]


def runs_shuffled(runs: list[Any], draw: Any) -> list[Any]:
    return list(draw(st.permutations(runs)))


def count_changed(runs: list[Any], draw: Any) -> None:
    place, part = draw(st.integers(0, len(runs) - 1)), draw(st.integers(0, 1))
    runs[place][part] = draw(st.sampled_from([runs[place][part] + 1, runs[place][part] - 1, -1, 0, 1.0, True, "0", None, [0], 2**31, 2**63, 10**30]))


def template_repeated(found: list[Any], draw: Any) -> None:
    found.insert(draw(st.integers(0, len(found))), draw(st.sampled_from(found)))


def templates_reordered(found: list[Any], draw: Any) -> list[Any]:
    return list(draw(st.permutations(found)))


def template_unused(found: list[Any], draw: Any) -> None:
    found.insert(draw(st.integers(0, len(found))), draw(st.sampled_from([[1, 1, []], [2, 0, [["x", [0], []]]]])))


def value_changed(found: list[Any], draw: Any) -> None:
    """Something anywhere in the tree becomes something else."""
    inner: Any = found
    while True:
        place = draw(st.integers(0, len(inner) - 1))
        if not isinstance(inner[place], list) or not inner[place] or draw(st.booleans()):
            break
        inner = inner[place]
    numbers = [0, 1, -1, 7, 100_000, 100_001, 0.0, 1e400]
    other = draw(st.sampled_from([*numbers, True, None, "x", "rx", "delay", "barrier", "CANARY", [], [0], {}, {"x": 1}]))
    inner[place] = [inner[place]] if other == {} else other


MUTATIONS: dict[str, Callable[[bytes, Any], bytes]] = {
    "bytes": bytes_changed,
    "lines": lines_swapped,
    "line": line_lost_or_doubled,
    "run-split": lambda payload, draw: with_json(3, run_split, payload, draw),
    "runs-merged": lambda payload, draw: with_json(3, runs_merged, payload, draw),
    "runs-shuffled": lambda payload, draw: with_json(3, runs_shuffled, payload, draw),
    "count": lambda payload, draw: with_json(3, count_changed, payload, draw),
    "template-repeated": lambda payload, draw: with_json(2, template_repeated, payload, draw),
    "templates-reordered": lambda payload, draw: with_json(2, templates_reordered, payload, draw),
    "template-unused": lambda payload, draw: with_json(2, template_unused, payload, draw),
    "value": lambda payload, draw: with_json(2, value_changed, payload, draw),
    "double": lambda payload, draw: _double(payload, draw),
    "big-endian": lambda payload, draw: _table(payload, lambda table: b"".join(table[at : at + 8][::-1] for at in range(0, len(table), 8))),
    "cut": lambda payload, draw: payload[: draw(st.integers(0, len(payload)))],
    "behind": lambda payload, draw: payload + draw(st.binary(min_size=1, max_size=17)),
}


def _table(payload: bytes, change: Callable[[bytes], bytes]) -> bytes:
    *lines, table = payload.split(b"\n", 4)
    return b"\n".join([*lines, change(table)])


def _double(payload: bytes, draw: Any) -> bytes:
    def change(table: bytes) -> bytes:
        at = 8 * draw(st.integers(0, max(0, len(table) // 8 - 1)))
        return table[:at] + struct.pack("<d", draw(st.sampled_from(DOUBLES))) + table[at + 8 :]

    return _table(payload, change)


@pytest.mark.parametrize("how", MUTATIONS)
@settings(max_examples=25, deadline=None)
@given(st.data(), batches())
def test_both_readers_refuse_or_read_the_same(how: str, data: st.DataObject, made: tuple[CircuitBatch, list[Circuit]]) -> None:
    """Whatever somebody did to a payload: no third reading, no second spelling, and no other error than the form's own."""
    payload = plain_form.write(made[0], data.draw(st.integers(1, 10**7)))
    both(MUTATIONS[how](payload, data.draw))


SPELLINGS = ["00", "+0", "-0", "0.0", "0e0", "0 ", " 0", "0\t", "false", "null", '"0"', "0x0", "\\u0030", "\u0660", "NaN", "1e9", "9" * 5000]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_number_has_one_spelling(spelling: str) -> None:
    """Shots, width, bits, places and runs: what another reader might take for the same number is refused by both."""
    good = ["8", plain_form.VERSION, '[[1,1,[["rx",[0],[]],["measure",[0],[0]]]]]', "[[0,1]]", ""]
    table = struct.pack("<d", 0.5)
    assert both("\n".join(good).encode() + table)
    for line, old, new in (
        (0, "8", spelling),
        (2, "[[1,", f"[[{spelling},"),
        (2, "1,1,", f"1,{spelling},"),
        (2, '"rx",[0]', f'"rx",[{spelling}]'),
        (2, "[0]]]]]", f"[{spelling}]]]]]"),
        (3, "[[0,", f"[[{spelling},"),
        (3, ",1]", f",{spelling}]"),
    ):
        lines = list(good)
        assert old in lines[line]
        lines[line] = lines[line].replace(old, new)
        assert not both("\n".join(lines).encode() + table), (line, spelling)


# --- what costs


HEAD = f"1\n{plain_form.VERSION}\n".encode()
EMPTY = b"[[1,1,[]]]\n"
MANY = 10_000_000
HOSTILE: dict[str, Callable[[], bytes]] = {
    "circuits-without-angles": lambda: HEAD + EMPTY + f"[[0,{MANY}]]\n".encode(),
    "circuits-without-angles-in-two": lambda: HEAD + b"[[1,1,[]],[2,1,[]]]\n" + f"[[0,{MANY - 1}],[1,1]]\n".encode(),
    "circuits-with-angles-that-are-not-there": lambda: HEAD + b'[[1,1,[["rx",[0],[]]]]]\n' + f"[[0,{MANY}]]\n".encode(),
    "too-many-in-sum": lambda: HEAD + b"[[1,1,[]],[2,1,[]]]\n[" + b",".join([b"[0,9999999],[1,9999999]"] * 1000) + b"]\n",
    "widest": lambda: HEAD + b"[[100000,100000,[]]]\n[[0,1]]\n",
    "nested": lambda: HEAD + b"[" * 10**6 + b"]" * 10**6 + b"\n[[0,1]]\n",
    "long-number": lambda: HEAD + b"[[" + b"9" * 10**6 + b",1,[]]]\n[[0,1]]\n",
    "zeros": lambda: bytes(2 * 10**6),
    "line-ends": lambda: b"\n" * 2 * 10**6,
    "digits": lambda: b"1" * 2 * 10**6,
    "garbage-for-a-table": lambda: HEAD + EMPTY + b"[[0,1]]\n" + bytes(2 * 10**6),
    "garbage-for-templates": lambda: HEAD + b"x" * 2 * 10**6 + b"\n[[0,1]]\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_payload_costs_no_more_than_its_size(name: str) -> None:
    """Read and searched in memory of twice its size and 40 MB more (ten million circuits, four bytes each), and in time that is linear in it."""
    payload = HOSTILE[name]()
    kinds_in("CANARY")  # loads the detectors
    started = time.process_time()
    fault_in(payload)
    kinds_in(plain_form.words_of(payload))
    # 0.1 s for a MB of garbage when measured; the honest pass at a tenth of that. Both cores may be busy with something else.
    assert time.process_time() - started < 1 + 0.5 * len(payload) / 1e6
    tracemalloc.start()
    try:
        fault_in(payload)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 42e6 + 2 * len(payload)


def test_what_is_held_is_not_read_twice() -> None:
    batch = CircuitBatch((Template(1, 1, (("ry", (0,), ()), ("measure", (0,), (0,)))),), np.zeros(3, np.int32), (np.array([[0.1], [0.2], [0.3]]),))
    once, shots = plain_form.read(plain_form.write(batch, 5))
    again, others = plain_form.read(plain_form.write(batch, 7))
    assert (again, shots, others) == (once, 5, 7)
    assert not once.order.flags.writeable
    assert not once.angles[0].flags.writeable
    other = CircuitBatch(batch.templates, batch.order, (batch.angles[0] + 1.0,))
    assert plain_form.read(plain_form.write(other, 5))[0] is not once
