"""Circuits as numbers and gates: the form that is digested, journalled and sent.

A circuit is its width and a list of ``[gate, qubits, clbits, parameters]`` over Qiskit's standard gates; anything that Qiskit can lower
to them is lowered. Names, registers, labels and metadata have no place in it, so nothing of the data can leave in them; a global phase, which no
measurement sees, is left out as well.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from prefect_gatehouse.errors import InputError, Tampered, UnusableAnswer
from prefect_gatehouse.workload.lower import definition_of, kind_of
from prefect_gatehouse.workload.summary import CircuitsSummary

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Instruction

Operation = tuple[str, tuple[int, ...], tuple[int, ...], tuple[float, ...]]
_EXTRA = ("measure", "reset", "barrier")
_PHASE = "global_phase"
_NESTING = 20  # definitions of definitions; Qiskit's own library needs about five
_SIZE_LIMIT = 256 * 1024 * 1024  # of a decompressed payload


@cache
def _gates() -> dict[str, Instruction]:
    from qiskit.circuit.library import get_standard_gate_name_mapping

    mapping = get_standard_gate_name_mapping()
    return {name: gate for name, gate in mapping.items() if name not in ("delay", "measure", "reset")}


@cache
def gate_shapes() -> Mapping[str, tuple[int, int, int]]:
    """Every operation that may leave, with its number of qubits, classical bits and angles."""
    shapes = {name: (gate.num_qubits, 0, len(gate.params)) for name, gate in _gates().items() if name != _PHASE}
    return {**shapes, "measure": (1, 1, 0), "reset": (1, 0, 0)}


@cache
def _extras() -> dict[str, type[Instruction]]:
    from qiskit.circuit import Barrier, Measure, Reset

    return {"measure": Measure, "reset": Reset, "barrier": Barrier}


def operations(circuit: QuantumCircuit) -> list[Operation]:
    """The circuit's operations in order.

    Raises:
        UnusableAnswer: A parameter is not a finite number, or an operation can't be expressed in standard gates; says which one it is.
    """
    found: list[Operation] = []
    qubits = {bit: index for index, bit in enumerate(circuit.qubits)}
    clbits = {bit: index for index, bit in enumerate(circuit.clbits)}
    for place, item in enumerate(circuit.data, 1):
        try:
            _expand(
                item.operation,
                tuple(qubits[bit] for bit in item.qubits),
                tuple(clbits[bit] for bit in item.clbits),
                found,
                _NESTING,
            )
        except UnusableAnswer as refusal:
            raise UnusableAnswer(f"operation {place} of a circuit: {refusal.message}", where=refusal.where, advice=refusal.advice) from None
        except Exception:  # noqa: BLE001 - the class of an operation may be the workload's own, and so what its attributes do
            message = f"operation {place} of a circuit: {kind_of(item.operation)} can't be read"
            raise UnusableAnswer(message, where="workload", advice="use Qiskit's own classes") from None
    return found


def _expand(operation: Any, qubits: tuple[int, ...], clbits: tuple[int, ...], found: list[Operation], depth: int) -> None:
    name, kind = operation.name, getattr(operation, "base_class", None)
    if name in _EXTRA and kind is not _extras()[name]:
        raise UnusableAnswer(f"a gate of the workload's own is called {name}", where="workload", advice="give the gate another name")
    if name == "barrier" or (name == _PHASE and kind is _gates()[_PHASE].base_class):
        return
    if name in _EXTRA:
        found.append((name, qubits, clbits, ()))
        return
    known = _gates().get(name)
    if known is not None and known.base_class is kind:
        found.append((name, qubits, clbits, _angles(operation)))
        return
    if depth == 0:
        advice = "use fewer definitions of definitions"
        raise UnusableAnswer(f"{kind_of(operation)} is nested more than {_NESTING} levels deep", where="workload", advice=advice)
    definition = definition_of(operation, tuple(_gates()))
    inner_qubits = {bit: qubits[index] for index, bit in enumerate(definition.qubits)}
    inner_clbits = {bit: clbits[index] for index, bit in enumerate(definition.clbits)}
    for item in definition.data:
        _expand(
            item.operation,
            tuple(inner_qubits[bit] for bit in item.qubits),
            tuple(inner_clbits[bit] for bit in item.clbits),
            found,
            depth - 1,
        )


def _angles(operation: Any) -> tuple[float, ...]:
    try:
        angles = tuple(float(value) for value in operation.params)
    except TypeError:  # what Qiskit raises for an expression that is not bound; a complex number is no angle either
        raise UnusableAnswer(
            "an angle is an unbound parameter or no number", where="workload", advice="bind every parameter before yielding"
        ) from None
    except (ValueError, OverflowError):
        angles = (math.nan,)
    if not all(math.isfinite(value) for value in angles):
        raise UnusableAnswer("an angle is not a finite number", where="workload", advice="check the features for gaps")
    return angles


def _plain(circuits: Sequence[QuantumCircuit]) -> bytes:
    listed = [[circuit.num_qubits, circuit.num_clbits, operations(circuit)] for circuit in circuits]
    return json.dumps(listed, separators=(",", ":")).encode()


def summarise(circuits: Sequence[QuantumCircuit], shots: int) -> CircuitsSummary:
    """Count, digest (SHA-256 over the plain form), width and depth of a round's circuits."""
    return CircuitsSummary(
        count=len(circuits),
        digest=hashlib.sha256(_plain(circuits)).hexdigest(),
        qubits=max(circuit.num_qubits for circuit in circuits),
        depth=max(circuit.depth() for circuit in circuits),
        shots=shots,
    )


def encode(circuits: Sequence[QuantumCircuit], shots: int) -> bytes:
    """One job's payload: shots and the plain form, compressed; the same circuits give the same bytes."""
    return zlib.compress(str(shots).encode() + b"\n" + _plain(circuits), 6)


def text_of(payload: bytes) -> str:
    """A payload as text: the shots, a line end, and the plain form; exactly what a provider would read.

    Raises:
        Tampered: The payload is not one that ``encode`` made.
    """
    opened = zlib.decompressobj()
    try:
        plain = opened.decompress(payload, _SIZE_LIMIT)
        whole = opened.eof and not opened.unused_data  # nothing is cut off, and nothing hides behind the end
        text = plain.decode("ascii")
    except (zlib.error, UnicodeDecodeError):
        whole, text = False, ""
    if not whole:
        raise Tampered("a payload can't be decoded", where="journal", advice="run: gatehouse verify")
    return text


def decode(payload: bytes) -> tuple[list[QuantumCircuit], int]:
    """Circuits and shots of a payload.

    Raises:
        Tampered: The payload is not one that ``encode`` made.
    """
    from qiskit import QuantumCircuit

    shots, _, listed = text_of(payload).partition("\n")
    try:
        circuits = []
        for width, bits, found in json.loads(listed):
            circuit = QuantumCircuit(width, bits)
            for name, qubits, clbits, parameters in found:
                if name == "measure":
                    circuit.measure(qubits, clbits)
                elif name == "reset":
                    circuit.reset(qubits)
                else:
                    circuit.append(_gates()[name].base_class(*parameters), qubits)
            circuits.append(circuit)
        return circuits, int(shots)
    except Exception:  # noqa: BLE001 - whatever Qiskit makes of foreign text
        raise Tampered("a payload can't be decoded", where="journal", advice="run: gatehouse verify") from None


def require_fit(circuits: Sequence[QuantumCircuit], backend: str, qubits: int) -> None:
    """Stops circuits that no shot could count, or that are too wide for a backend.

    Raises:
        InputError: Names the backend.
    """
    for circuit in circuits:
        if circuit.num_qubits > qubits:
            advice = f"use at most {qubits} qubits, or another backend"
            raise InputError(f"a circuit has {circuit.num_qubits} qubits", where=backend, advice=advice)
        if not any(name == "measure" for name, *_ in operations(circuit)):
            raise InputError("a circuit measures nothing", where=backend, advice="measure into classical bits")


def require_terminal_measurements(circuits: Sequence[QuantumCircuit], backend: str) -> None:
    """Stops circuits that measure or reset in the middle, for backends that can't.

    Raises:
        InputError: Names the backend.
    """
    for circuit in circuits:
        measured: set[int] = set()
        for name, qubits, _, _ in operations(circuit):
            if name == "reset" or measured & set(qubits):
                raise InputError(
                    "a circuit resets, or goes on after measuring a qubit", where=backend, advice="measure at the end, or use another backend"
                )
            if name == "measure":
                measured |= set(qubits)
