"""A payload as a task's action, and a task's result as counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from prefect_gatehouse.errors import JobFailed
from prefect_gatehouse.providers.braket.native import Native
from prefect_gatehouse.providers.braket.openqasm import Lowered, lowered
from prefect_gatehouse.providers.braket.verbatim import Verbatim
from prefect_gatehouse.workload.batch import CircuitBatch
from prefect_gatehouse.workload.counts import Counts

if TYPE_CHECKING:
    from braket.ir.openqasm import Program, ProgramSet
    from numpy.typing import NDArray

Fetch = Callable[[str], dict[str, Any]]
"""Reads a JSON document that lies beside the result."""


def action_of(batch: CircuitBatch, verbatim: Native | None = None) -> Program | ProgramSet:
    """One circuit as a program with its numbers, more as a program set: of each template one program, with a list for every angle.

    A program without angles runs once however often it is wanted, so it stands in the set as often as it comes.

    Args:
        batch: What to run.
        verbatim: The kind of machine whose own gates it is in, to be run as it stands; None where the service compiles it.
    """
    from braket.ir.openqasm import Program, ProgramSet

    if verbatim is not None:
        return _verbatim(batch, verbatim)
    if len(batch) == 1:
        form = lowered(batch.templates[0])
        return Program(source=form.source({place: repr(float(turn[0])) for place, turn in form.turns(batch.angles[0]).items()}))
    programs = []
    for template, table in zip(batch.templates, batch.angles, strict=True):
        form = lowered(template)
        turns = form.turns(table)
        names = {place: f"a{number}" for number, place in enumerate(turns)}
        source = form.source(names)
        if turns:
            programs.append(Program(source=source, inputs={names[place]: turn.tolist() for place, turn in turns.items()}))
        else:
            programs += [Program(source=source)] * len(table)
    return ProgramSet(programs=programs)


def _verbatim(batch: CircuitBatch, kind: Native) -> Program | ProgramSet:
    from braket.ir.openqasm import Program, ProgramSet

    programs = []
    for template, table in zip(batch.templates, batch.angles, strict=True):
        form = Verbatim(template, kind)
        turns = form.turns(table)
        names = {place: f"a{number}" for number, place in enumerate(turns)}
        source = form.source({**form.fixed(table), **names})
        if turns:
            programs.append(Program(source=source, inputs={names[place]: turn.tolist() for place, turn in turns.items()}))
        else:
            programs += [Program(source=source)] * len(table)
    return programs[0] if len(batch) == 1 else ProgramSet(programs=programs)


def gates_of(batch: CircuitBatch) -> set[str]:
    """Names of the gates that the circuits are written in."""
    return {step.gate for template in batch.templates for step in lowered(template).steps}


def width_of(batch: CircuitBatch) -> int:
    """Qubits that the widest circuit uses."""
    return max(lowered(template).qubits for template in batch.templates)


def counts_of(batch: CircuitBatch, shots: int, result: dict[str, Any], fetch: Fetch, where: str, handle: str) -> tuple[Counts, ...]:
    """The counts of each circuit in order, over all classical bits, bit 0 rightmost.

    Args:
        batch: What was sent.
        shots: Of each circuit.
        result: The task's result document.
        fetch: Reads the parts of it that lie apart.
        where: The backend's name.
        handle: The task.

    Raises:
        JobFailed: A circuit failed, or the document is none of this job's.
    """
    try:
        found = [dict(_counted(lowered(template), template.clbits, shots, each)) for template, each in _in_order(batch, result, fetch)]
    except (KeyError, ValueError, TypeError, IndexError, AttributeError):
        found = []
    if len(found) != len(batch) or any(sum(counts.values()) != shots for counts in found):
        advice = "look at the task's result at the provider, then start a new run"
        raise JobFailed("the task's result does not hold every shot of every circuit", where=where, job_id=handle, advice=advice)
    return tuple(found)


def _in_order(batch: CircuitBatch, result: dict[str, Any], fetch: Fetch) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each circuit's template and its part of the result."""
    if len(batch) == 1:
        yield batch.templates[0], result
        return
    parts = _executables(result, fetch)
    of_template = [[next(parts) for _ in range(len(table))] for table in batch.angles]
    if next(parts, None) is not None:
        raise ValueError
    in_turn = [iter(each) for each in of_template]
    for template in batch.order.tolist():
        yield batch.templates[template], next(in_turn[template])


def _executables(result: dict[str, Any], fetch: Fetch) -> Iterator[dict[str, Any]]:
    """A set's executables in order; each may lie in a file of its own, beside that of its program."""
    for program in result["programResults"]:
        folder, document = "", program
        if isinstance(program, str):
            folder, document = program.rpartition("/")[0], fetch(program)
        found = [fetch(f"{folder}/{each}".lstrip("/")) if isinstance(each, str) else each for each in document["executableResults"]]
        yield from sorted(found, key=lambda each: int(each["inputsIndex"]))


def _counted(form: Lowered, clbits: int, shots: int, executable: dict[str, Any]) -> Counter[str]:
    place = _columns(form, executable["measuredQubits"])
    rows, weights = _rows(executable, shots)
    # Columns of the bits from the highest to the lowest; a bit that nothing was measured into reads 0, from a column behind the last.
    columns = [rows.shape[1]] * clbits
    for qubit, bits in form.measured:
        for bit in bits:
            columns[clbits - 1 - bit] = place[qubit]
    full = np.hstack([rows, np.zeros((len(rows), 1), np.uint8)])[:, columns]
    counts: Counter[str] = Counter()
    for row, weight in zip(full, weights, strict=True):
        counts[(row + ord("0")).tobytes().decode()] += weight
    return counts


def _columns(form: Lowered, numbers: list[int]) -> dict[int, int]:
    """The column of each measured qubit.

    A verbatim program is told by the machine's numbers, another one by the program's own, which leave no gap. Both rise with the template's
    places, so that the order tells which is which; where more was read than was asked for, only the program's own numbers are understood.
    """
    asked = sorted(qubit for qubit, _ in form.measured)
    columns = {qubit: column for column, qubit in enumerate(numbers)}
    if len(columns) == len(asked):
        return {qubit: columns[number] for qubit, number in zip(asked, sorted(columns), strict=True)}
    if form.native:
        raise ValueError
    return columns


def _rows(executable: dict[str, Any], shots: int) -> tuple[NDArray[np.uint8], list[int]]:
    """Measured rows, qubits in the order of ``measuredQubits``, and how often each came."""
    if executable.get("measurements"):
        rows, counts = np.unique(np.array(executable["measurements"], np.uint8), axis=0, return_counts=True)
        return rows, counts.tolist()
    texts = executable["measurementProbabilities"]
    rows = np.array([[int(bit) for bit in text] for text in texts], np.uint8)
    return rows, [round(probability * shots) for probability in texts.values()]
