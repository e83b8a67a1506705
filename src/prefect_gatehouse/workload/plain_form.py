"""The plain form: the bytes that are digested, guarded, journalled and sent. A batch has one spelling, and a spelling one batch.

Four lines of ASCII, each with a line end, then numbers::

    512                                                             shots, for each circuit
    gatehouse-circuits/2                                            the version of this form
    [[2,1,[["ry",[0],[]],["cx",[0,1],[]],["measure",[1],[0]]]]]     templates: width, classical bits, [gate, qubits, bits] in order
    [[0,4544]]                                                      the circuits' templates in order, as runs: [template, circuits]
    <tables>                                                        for each template its angles, row after row: IEEE 754 binary64, little endian

JSON without blanks; a template stands once, in the order in which it first comes; neighbouring runs differ; angles are finite and zero has no
sign. How many angles follow from a template and its number of circuits, so nothing else has room in the tables or behind them. Version 1
held every circuit as JSON, with its angles.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.workload.batch import CircuitBatch, Gate, Template
from prefect_gatehouse.workload.gates import gate_shapes

if TYPE_CHECKING:
    from prefect_gatehouse.workload.summary import CircuitsSummary

VERSION = "gatehouse-circuits/2"
_SHOTS = 10_000_000
_WIDTH = 100_000  # qubits; three orders above any machine, and too few values to name a person by a register's width
_CIRCUITS = 10_000_000
_DOUBLE = np.dtype("<f8")


class Malformed(Exception):
    """Bytes that are not a plain form; the text says what is wrong, never what stands there."""


def write(batch: CircuitBatch, shots: int) -> bytes:
    """The plain form of a batch."""
    return b"".join([f"{shots}\n".encode(), *_lines(batch)])


def circuits_digest(batch: CircuitBatch) -> str:
    """SHA-256 over a batch's plain form from the second line on."""
    digest = hashlib.sha256()
    for part in _lines(batch):
        digest.update(part)
    return digest.hexdigest()


def summarise(batch: CircuitBatch, shots: int) -> CircuitsSummary:
    """What a round amounts to, with its digest."""
    from prefect_gatehouse.workload.summary import CircuitsSummary  # a cell writes batches, and needs no models

    return CircuitsSummary(
        count=len(batch),
        templates=len(batch.templates),
        digest=circuits_digest(batch),
        qubits=batch.qubits,
        depth=batch.depth,
        angles=sum(table.size for table in batch.angles),
        shots=shots,
    )


def _lines(batch: CircuitBatch) -> list[bytes | memoryview]:
    templates = [[template.qubits, template.clbits, template.gates] for template in batch.templates]
    starts = np.flatnonzero(np.diff(batch.order, prepend=-1))
    lengths = np.diff(starts, append=len(batch))
    runs = [list(pair) for pair in zip(batch.order[starts].tolist(), lengths.tolist(), strict=True)]
    tables = [np.ascontiguousarray(table, _DOUBLE).data.cast("B") for table in batch.angles if table.size]
    return [f"{VERSION}\n{_text(templates)}\n{_text(runs)}\n".encode(), *tables]


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def words_of(payload: bytes) -> str:
    """The lines of a payload in which words could stand: shots, version and templates; all of it if it has no such lines."""
    lines = payload.split(b"\n", 3)
    text = lines[:3] if len(lines) > 3 and lines[1] == VERSION.encode() else [payload]
    return b"\n".join(text).decode("latin-1")


def clbits_of(payload: bytes) -> list[int]:
    """Classical bits of each circuit of a payload that ``write`` made, which its digest has shown already: its gates are not looked at.

    Raises:
        Tampered: It did not.
    """
    try:
        _, _, templates, runs, _ = payload.split(b"\n", 4)
        widths = [bits for _, bits, _ in json.loads(templates)]
        return [widths[template] for template, circuits in json.loads(runs) for _ in range(circuits)]
    except (ValueError, TypeError, IndexError):
        raise _not_ours() from None


def decode(payload: bytes) -> tuple[CircuitBatch, int]:
    """Circuits and shots of a payload that ``write`` made.

    Raises:
        Tampered: It did not.
    """
    try:
        return read(payload)
    except Malformed:
        raise _not_ours() from None


def _not_ours() -> Tampered:
    return Tampered("a payload can't be decoded", where="journal", advice="run: gatehouse verify")


def read(payload: bytes) -> tuple[CircuitBatch, int]:
    """Circuits and shots of a payload, which is in the form's one spelling.

    Raises:
        Malformed: It is not.
    """
    shots, _, rest = payload.partition(b"\n")
    if not _is_number(shots, 1, _SHOTS):
        raise Malformed("it does not begin with a number of shots")
    seen = hashlib.sha256(rest).digest()
    batch = _in_use.get(seen)
    if batch is None:
        batch = _in_use[seen] = _circuits(rest)
    return batch, int(shots)


_in_use: WeakValueDictionary[bytes, CircuitBatch] = WeakValueDictionary()
"""What was read and is still held, by the digest of its bytes: each of a round's gates reads the same, and what was read can't be changed."""


def _circuits(payload: bytes) -> CircuitBatch:
    """The circuits, without the line of shots."""
    lines = payload.split(b"\n", 3)
    if len(lines) != 4:
        raise Malformed("it has too few lines")
    if lines[0] != VERSION.encode():
        raise Malformed("it is of another version of the form")
    templates = tuple(_template(item) for item in _json(lines[1]))
    if not templates or len(set(templates)) != len(templates):
        raise Malformed("its templates are none, or repeated")
    order, counts = _order(_json(lines[2]), len(templates))
    order.flags.writeable = False  # as the tables are
    return CircuitBatch(templates, order, tuple(_tables(lines[3], templates, counts)))


def _json(line: bytes) -> list[Any]:
    try:
        value: object = json.loads(line)
        good = _text(value).encode() == line
    except (ValueError, RecursionError):  # no JSON, no number that Python reads, nested beyond all reason
        good = False
    if not good or not isinstance(value, list):
        raise Malformed("it holds something else than gates, whole numbers and angles")
    return value


def _is_number(text: bytes, low: int, high: int) -> bool:
    return len(text) <= 8 and text.isdigit() and str(int(text)).encode() == text and low <= int(text) <= high


def _is_whole(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _template(item: object) -> Template:
    if not isinstance(item, list) or len(item) != 3 or not isinstance(item[2], list):
        raise Malformed("it holds something else than gates, whole numbers and angles")
    width, bits, listed = item
    if not _is_whole(width, 0, _WIDTH) or not _is_whole(bits, 0, _WIDTH):
        raise Malformed("a circuit's width is none")
    shapes = gate_shapes()
    gates: list[Gate] = []
    for gate in listed:
        if not isinstance(gate, list) or len(gate) != 3:
            raise Malformed("it holds something else than gates, whole numbers and angles")
        name, qubits, clbits = gate
        shape = shapes.get(name) if isinstance(name, str) else None
        if shape is None:
            raise Malformed("a gate has a name of its own")
        if not _are_places(qubits, width, shape[0]) or not _are_places(clbits, bits, shape[1]):
            raise Malformed("a gate acts on something else than its qubits")
        gates.append((name, tuple(qubits), tuple(clbits)))
    return Template(width, bits, tuple(gates))


def _are_places(value: object, end: int, count: int) -> bool:
    """Whether a value lists so many different places below an end."""
    if type(value) is not list or len(value) != count:
        return False
    for place in value:
        if type(place) is not int or not 0 <= place < end:
            return False
    return count < 2 or len(set(value)) == count


def _order(runs: list[Any], templates: int) -> tuple[NDArray[np.int32], list[int]]:
    """The template of each circuit, and the number of circuits of each template."""
    known, before = 0, -1
    counts = [0] * templates
    for run in runs:
        if not isinstance(run, list) or len(run) != 2 or not _is_whole(run[0], 0, min(known, templates - 1)) or not _is_whole(run[1], 1, _CIRCUITS):
            raise Malformed("its circuits are not in order")
        if run[0] == before:
            raise Malformed("its circuits are not in order")
        before = run[0]
        known = max(known, before + 1)
        counts[before] += run[1]
    if known != templates or sum(counts) > _CIRCUITS:
        raise Malformed("its circuits are not in order")
    return np.repeat(np.array([run[0] for run in runs], np.int32), [run[1] for run in runs]), counts


def _tables(data: bytes, templates: tuple[Template, ...], counts: list[int]) -> list[NDArray[np.float64]]:
    sizes = [template.angles * count for template, count in zip(templates, counts, strict=True)]
    if len(data) != sum(sizes) * _DOUBLE.itemsize:
        raise Malformed("it has another number of angles, or something behind them")
    numbers = np.frombuffer(data, _DOUBLE)
    if not np.isfinite(numbers).all():
        raise Malformed("an angle is no number")
    if (np.signbit(numbers) & (numbers == 0)).any():
        raise Malformed("an angle is not written in its one way")
    parts = np.split(numbers, np.cumsum(sizes)[:-1])
    return [part.reshape(count, template.angles) for part, template, count in zip(parts, templates, counts, strict=True)]
