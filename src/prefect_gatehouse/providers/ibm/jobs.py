"""A batch that is written for the device as PUBs of the sampler, and the sampler's result as counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.errors import JobFailed
from prefect_gatehouse.providers.ibm.isa import runs_of
from prefect_gatehouse.workload.batch import CircuitBatch, Template
from prefect_gatehouse.workload.circuits import build_circuit
from prefect_gatehouse.workload.counts import Counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REGISTER = "c"  # Qiskit's name of the classical register of a circuit that is made with a number of bits
_PLACES = "circuits"


def params_of(batch: CircuitBatch, shots: int) -> dict[str, Json]:
    """What the sampler's program is asked, in the SDK's JSON; the same batch gives the same text.

    A template is one PUB with an array of what differs between its settings. Each circuit's metadata say which circuits of the job it stands for:
    whoever reads the result has them from the service, with the job.
    """
    from qiskit.primitives.containers.sampler_pub import SamplerPub
    from qiskit_ibm_runtime import RuntimeEncoder

    places = _places(batch)
    pubs: list[Any] = []
    for template, table, ours in zip(batch.templates, batch.angles, places, strict=True):
        for circuit, values, runs in _circuits(template, table, ours):
            circuit.name, circuit.metadata = f"p{len(pubs)}", {_PLACES: runs}
            pubs.append(SamplerPub.coerce((circuit, values, shots) if values is not None else (circuit, None, shots)))
    params: dict[str, Json] = json.loads(json.dumps({"pubs": pubs, "options": {}, "version": 2, "support_qiskit": True}, cls=RuntimeEncoder))
    return params


def _places(batch: CircuitBatch) -> list[list[list[int]]]:
    """For each template which circuits of the job are its own, as runs: first circuit and how many."""
    found: list[list[list[int]]] = [[] for _ in batch.templates]
    start = 0
    for template, count in runs_of(batch.order):
        found[template].append([start, count])
        start += count
    return found


def _circuits(
    template: Template, table: NDArray[np.float64], runs: list[list[int]]
) -> Iterator[tuple[Any, NDArray[np.float64] | None, list[list[int]]]]:
    """A template's circuits: one with parameters where settings differ, otherwise as many as there are, for a PUB without parameters runs once."""
    from qiskit.circuit import Parameter

    columns: dict[bytes, int] = {}
    angles: list[Any] = []
    for values in table.T:
        if (values == values[0]).all():
            angles.append(float(values[0]))
        else:
            angles.append(columns.setdefault(values.tobytes(), len(columns)))  # columns that are alike share a parameter
    if not columns:
        for start, count in runs:
            for place in range(start, start + count):
                yield build_circuit(template, angles), None, [[place, 1]]
        return
    # Names that sort like their numbers, as the SDK orders the array's columns; fixed identities, so that the same batch is the same bytes.
    free = [Parameter(f"a{number:07d}", uuid=UUID(int=number)) for number in range(len(columns))]
    table = np.array([np.frombuffer(values) for values in columns]).T
    yield build_circuit(template, [free[angle] if isinstance(angle, int) else angle for angle in angles]), table, runs


def counts_of(params: Any, result: str, where: str, handle: str) -> tuple[Counts, ...]:
    """The counts of each circuit in order, over all classical bits, bit 0 rightmost.

    Args:
        params: What the job was asked, decoded, as the service has it.
        result: The job's result as the service gives it.
        where: The backend's name.
        handle: The job.

    Raises:
        JobFailed: The result does not hold every shot of every circuit, or is none of this job's.
    """
    from qiskit_ibm_runtime import RuntimeDecoder

    found: dict[int, Counts] = {}
    try:
        asked = [(pub[0], int(pub[2])) for pub in params["pubs"]]
        for (circuit, shots), given in zip(asked, json.loads(result, cls=RuntimeDecoder), strict=True):
            array = getattr(given.data, _REGISTER)
            if array.num_bits != circuit.num_clbits or array.num_shots != shots:
                raise ValueError
            rows = array.array.reshape(-1, shots, array.array.shape[-1])
            numbers = [number for start, count in circuit.metadata[_PLACES] for number in range(start, start + count)]
            found |= {number: _counted(row, array.num_bits) for number, row in zip(numbers, rows, strict=True)}
    except Exception:  # noqa: BLE001 - whatever the SDK's decoder says of what a service sent
        found = {}
    if not found or sorted(found) != list(range(len(found))):
        advice = "look at the job's result at the provider, then start a new run"
        raise JobFailed("the job's result does not hold every shot of every circuit", where=where, job_id=handle, advice=advice)
    return tuple(found[number] for number in range(len(found)))


def _counted(shots: NDArray[np.uint8], bits: int) -> Counts:
    """How often each value was measured; a shot is whole bytes, the last bit of the last one is bit 0."""
    values, counts = np.unique(shots, axis=0, return_counts=True)
    return {f"{int.from_bytes(value.tobytes(), 'big'):0{bits}b}": count for value, count in zip(values, counts.tolist(), strict=True)}
