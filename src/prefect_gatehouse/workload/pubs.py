"""What a workload yields, circuits and PUBs, as one batch of templates with tables of angles.

A PUB is what Qiskit's primitives take: a circuit with parameters and an array of their values, ``(circuit, values)``. The values' last axis
goes over the circuit's parameters, in the order of ``circuit.parameters``; the others, flattened in C order, over its settings.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prefect_gatehouse.errors import UnusableAnswer
from prefect_gatehouse.workload.batch import CircuitBatch, Template, joined
from prefect_gatehouse.workload.circuits import read_circuit
from prefect_gatehouse.workload.counts import Registers, registers_of
from prefect_gatehouse.workload.refusals import unusable

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


@dataclass(frozen=True)
class Yielded:
    """A round.

    Attributes:
        batch: Its circuits.
        registers: The classical registers of each circuit.
    """

    batch: CircuitBatch
    registers: tuple[Registers, ...]


def read_round(value: object) -> Yielded:
    """A round from what a workload yielded.

    Raises:
        UnusableAnswer: It is no list of circuits or PUBs, or one of them can't be sent.
    """
    from qiskit import QuantumCircuit

    if not isinstance(value, list | tuple) or not value:
        raise unusable("no-circuits")
    pieces: list[tuple[Template, NDArray[np.float64]]] = []
    registers: list[Registers] = []
    for item in value:
        if isinstance(item, QuantumCircuit):
            found, circuit = [_bound_circuit(item)], item
        elif isinstance(item, tuple) and item and isinstance(item[0], QuantumCircuit):
            found, circuit = _settings(*_checked(item)), item[0]
        else:
            raise unusable("no-circuits")
        pieces += found
        registers += [registers_of(circuit)] * sum(len(table) for _, table in found)
    return Yielded(joined(pieces), tuple(registers))


def _checked(item: tuple[Any, ...]) -> tuple[QuantumCircuit, NDArray[np.float64]]:
    """A PUB's circuit and its values as a matrix of (settings, parameters)."""
    if len(item) > 2 and any(part is not None for part in item[2:]):
        raise unusable("pub-shots")
    from qiskit.primitives.containers.sampler_pub import SamplerPub

    circuit = item[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)  # or an imaginary part would be dropped without a word
            pub = SamplerPub.coerce((circuit, item[1] if len(item) > 1 else None))
            values = pub.parameter_values.as_array(circuit.parameters)
    except Exception:  # noqa: BLE001 - whatever Qiskit says of values that do not fit; its text may hold some of them
        raise unusable("pub-values", count=circuit.num_parameters) from None
    matrix = np.ascontiguousarray(values, np.float64).reshape(-1, circuit.num_parameters) if circuit.num_parameters else np.empty((pub.size, 0))
    if not len(matrix):
        raise unusable("pub-empty")
    if not np.isfinite(matrix).all():
        raise unusable("pub-not-finite")
    return circuit, matrix


def _bound_circuit(circuit: QuantumCircuit) -> tuple[Template, NDArray[np.float64]]:
    template, angles = read_circuit(circuit)
    return template, np.array([angles], np.float64)


def _settings(circuit: QuantumCircuit, values: NDArray[np.float64]) -> list[tuple[Template, NDArray[np.float64]]]:
    """The template and the angles of every setting; a circuit that has no gates before it is bound is bound setting by setting."""
    try:
        template, angles = read_circuit(circuit, free=True)
    except UnusableAnswer:
        return [_bound_circuit(_assigned(circuit, row)) for row in values]
    columns = {parameter: place for place, parameter in enumerate(circuit.parameters)}
    table = np.empty((len(values), len(angles)))
    for place, angle in enumerate(angles):
        table[:, place] = angle if isinstance(angle, float) else _evaluated(angle, columns, values)
    if not np.isfinite(table).all():
        raise unusable("not-finite")
    return [(template, table)]


def _assigned(circuit: QuantumCircuit, values: NDArray[np.float64]) -> QuantumCircuit:
    """A circuit with its parameters bound, where its gates depend on them (a matrix, a root): Qiskit may refuse as well."""
    try:
        return circuit.assign_parameters(values)
    except Exception:  # noqa: BLE001 - Qiskit's text may hold a value
        raise unusable("not-bindable") from None


def _evaluated(expression: Any, columns: dict[Any, int], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """An expression's value in every setting, as Qiskit computes it; each different setting of its parameters once."""
    from qiskit.circuit import Parameter

    if isinstance(expression, Parameter):
        return values[:, columns[expression]]
    parameters: Sequence[Parameter] = tuple(expression.parameters)
    different, inverse = np.unique(values[:, [columns[each] for each in parameters]], axis=0, return_inverse=True)
    found = np.array([_bound(expression, parameters, row) for row in different.tolist()])
    return found[inverse.reshape(-1)]


def _bound(expression: Any, parameters: Sequence[Any], row: list[float]) -> float:
    try:
        return float(expression.bind(dict(zip(parameters, row, strict=True))))
    except TypeError:
        raise unusable("not-real") from None
    except Exception:  # noqa: BLE001 - a division by zero and the like: no finite number
        return float("nan")
