"""Circuits on a model of a device: errors as they were calibrated, no idle qubits, the same seed the same counts."""

from __future__ import annotations

import pytest
from qiskit import QuantumCircuit
from tests.support.circuit_lists import batch_of

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.providers.calibration import Errors
from prefect_gatehouse.providers.simulator.modelled import IDEAL, NOISY, modelled

SHOTS = 20_000


def prepared(qubits: int, places: tuple[int, ...], *, twos: int = 0) -> QuantumCircuit:
    """Ones at some places, measured there only; so many CX that change nothing in between."""
    circuit = QuantumCircuit(qubits, len(places))
    for place in places:
        circuit.x(place)
    for _ in range(2 * twos):
        circuit.cx(places[0], places[1])
    circuit.measure(places, range(len(places)))
    return circuit


def test_without_errors_a_circuit_gives_what_it_says() -> None:
    """Bit 0 rightmost, as counts come from every backend; the last of three reads 0."""
    circuit = QuantumCircuit(3, 3)
    circuit.x(0)
    circuit.measure([0, 1, 2], [0, 1, 2])
    assert modelled(batch_of([circuit]), 50, None, 1) == [{"001": 50}]


def test_errors_are_as_large_as_the_calibration_says() -> None:
    """Read-outs flip, gates depolarise: the share of wrong shots is what the means give."""
    (read,) = modelled(batch_of([prepared(1, (0,))]), SHOTS, Errors(0.05, 0.0, 0.0), 1)
    assert read["0"] / SHOTS == pytest.approx(0.05, abs=0.006)
    (gates,) = modelled(batch_of([prepared(2, (0, 1), twos=5)]), SHOTS, Errors(0.0, 0.0, 0.01), 1)
    # Ten CX of strength 4/3 of 1 %, each of which leaves one outcome of four as it was.
    assert 1 - gates["11"] / SHOTS == pytest.approx(0.75 * (1 - (1 - 0.01 * 4 / 3) ** 10), abs=0.012)


def test_a_compiled_circuit_has_a_machine_s_width() -> None:
    """Qubits that nothing is done to are left out; gates on three come apart."""
    circuit = QuantumCircuit(127, 1)
    circuit.x([5, 90])
    circuit.ccx(5, 90, 126)
    circuit.measure(126, 0)
    (found,) = modelled(batch_of([circuit]), SHOTS, Errors(0.01, 0.001, 0.005), 1)
    assert 0.9 < found["1"] / SHOTS < 0.99


def test_the_same_seed_gives_the_same_counts() -> None:
    """An answer can be given again."""
    batch = batch_of([prepared(2, (0, 1), twos=1)])
    errors = Errors(0.1, 0.1, 0.1)
    assert modelled(batch, 500, errors, 3) == modelled(batch, 500, errors, 3) != modelled(batch, 500, errors, 4)


@pytest.mark.parametrize(("qubits", "errors"), [(NOISY + 1, Errors(0.0, 0.0, 0.0)), (IDEAL + 1, None)])
def test_what_is_too_wide_is_told(qubits: int, errors: Errors | None) -> None:
    """Neither guessed nor tried for hours."""
    with pytest.raises(InputError, match=f"{qubits} qubits"):
        modelled(batch_of([prepared(qubits, tuple(range(qubits)))]), 10, errors, 0)
