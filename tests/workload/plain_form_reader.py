"""A second reader of the plain form, written from what ``workload/plain_form.py`` says of it: json and struct, and nothing of the package."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

# Name, qubits, classical bits, angles in order.
Operation = tuple[str, tuple[int, ...], tuple[int, ...], tuple[float, ...]]
# Width, classical bits, operations.
Circuit = tuple[int, int, tuple[Operation, ...]]
Shapes = Mapping[str, tuple[int, int, int]]


class Refused(Exception):
    """Not the plain form, or not in its one spelling."""


def require(good: bool) -> None:
    """Refuses what is not good."""
    if not good:
        raise Refused


def read(payload: bytes, shapes: Shapes) -> tuple[list[Circuit], int]:
    """Every circuit of a payload in order, and the shots.

    Args:
        payload: The bytes.
        shapes: Each operation's number of qubits, classical bits and angles.
    """
    lines = payload.split(b"\n")
    require(len(lines) >= 5)
    shots, version, templates, runs = lines[:4]
    require(version == b"gatehouse-circuits/2")
    asked = number(shots, 1, 10_000_000)
    made = [template(item, shapes) for item in array(templates)]
    require(len(made) >= 1 and all(one not in made[:place] for place, one in enumerate(made)))
    order = ordered(array(runs), len(made))
    tables, start = [], sum(len(line) + 1 for line in lines[:4])
    for place, (_, _, gates) in enumerate(made):
        width, rows = sum(shapes[name][2] for name, _, _ in gates), order.count(place)
        require(len(payload) >= start + 8 * width * rows)
        numbers = struct.unpack_from(f"<{width * rows}d", payload, start)
        require(all(math.isfinite(each) and math.copysign(1, each) == (-1 if each < 0 else 1) for each in numbers))
        start += 8 * width * rows
        tables.append(iter([numbers[row * width : (row + 1) * width] for row in range(rows)]))
    require(start == len(payload))
    return [circuit(made[place], next(tables[place]), shapes) for place in order], asked


def number(text: bytes, low: int, high: int) -> int:
    """A whole number in its one spelling."""
    require(1 <= len(text) <= 20 and all(48 <= each <= 57 for each in text))
    require(text == b"0" or text[:1] != b"0")
    require(low <= int(text) <= high)
    return int(text)


def array(line: bytes) -> list[Any]:
    """A JSON array without blanks, in ASCII."""
    try:
        value = json.loads(line.decode("ascii"))
    except (ValueError, RecursionError):
        raise Refused from None
    require(isinstance(value, list) and json.dumps(value, separators=(",", ":")) == line.decode("ascii"))
    return list(value)


def whole(value: Any, low: int, high: int) -> int:
    """A whole number in a range."""
    require(isinstance(value, int) and not isinstance(value, bool))
    require(low <= value <= high)
    return int(value)


def places(value: Any, count: int, end: int) -> tuple[int, ...]:
    """So many different places below an end."""
    require(isinstance(value, list) and len(value) == count)
    found = tuple(whole(each, 0, end - 1) for each in value)
    require(len(set(found)) == count)
    return found


def template(item: Any, shapes: Shapes) -> tuple[int, int, tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]]:
    """Width, classical bits and gates."""
    require(isinstance(item, list) and len(item) == 3 and isinstance(item[2], list))
    width, bits = whole(item[0], 0, 100_000), whole(item[1], 0, 100_000)
    gates = []
    for gate in item[2]:
        require(isinstance(gate, list) and len(gate) == 3 and isinstance(gate[0], str) and gate[0] in shapes)
        qubits, clbits, _ = shapes[gate[0]]
        gates.append((gate[0], places(gate[1], qubits, width), places(gate[2], clbits, bits)))
    return width, bits, tuple(gates)


def ordered(runs: list[Any], templates: int) -> list[int]:
    """The template of each circuit."""
    order: list[int] = []
    for run in runs:
        require(isinstance(run, list) and len(run) == 2)
        place, count = whole(run[0], 0, templates - 1), whole(run[1], 1, 10_000_000)
        require(not order or order[-1] != place)
        require(place <= max(order, default=-1) + 1)
        require(len(order) + count <= 10_000_000)
        order += [place] * count
    require(max(order, default=-1) == templates - 1)
    return order


def circuit(made: tuple[int, int, Any], angles: tuple[float, ...], shapes: Shapes) -> Circuit:
    """A template with one row of angles."""
    width, bits, gates = made
    operations, taken = [], 0
    for name, qubits, clbits in gates:
        end = taken + shapes[name][2]
        operations.append((name, qubits, clbits, angles[taken:end]))
        taken = end
    return width, bits, tuple(operations)
