"""Mean errors of a raw calibration, in the forms of both vendors; what does not read is told as such."""

from __future__ import annotations

import json

import pytest

from prefect_gatehouse.emulators.braket.devices import FORTE, MACHINE, devices
from prefect_gatehouse.providers.calibration import Errors, read_errors


def test_amazon_braket_s_form() -> None:
    """The means by which the emulator's machine errs."""
    machine = devices()[MACHINE]
    found = read_errors(json.dumps({"standardized": machine.capabilities["standardized"]}).encode())
    assert found is not None and machine.noise is not None
    assert (found.readout, found.one, found.two) == pytest.approx((machine.noise.readout, machine.noise.one, machine.noise.two))


def test_one_number_for_all_ions() -> None:
    """IonQ's machines tell no qubit apart; without the part of their own, nobody knows the gate on one ion."""
    machine = devices()[FORTE]
    told = {name: machine.capabilities[name] for name in ("standardized", "provider")}
    found = read_errors(json.dumps(told).encode())
    assert found is not None and machine.noise is not None
    assert (found.readout, found.one, found.two) == pytest.approx((machine.noise.readout, machine.noise.one, machine.noise.two))
    assert read_errors(json.dumps({"standardized": told["standardized"]}).encode()) is None


def test_ibm_s_form() -> None:
    """Parameters by name; a virtual gate does not halve the mean, a pair that is out of order does not raise it."""
    gates = [
        {"gate": "sx", "qubits": [0], "parameters": [{"name": "gate_error", "value": 0.001}, {"name": "gate_length", "value": 60}]},
        {"gate": "rz", "qubits": [0], "parameters": [{"name": "gate_error", "value": 0}]},
        {"gate": "cz", "qubits": [0, 1], "parameters": [{"name": "gate_error", "value": 0.01}]},
        {"gate": "cz", "qubits": [1, 2], "parameters": [{"name": "gate_error", "value": 1}]},
    ]
    qubits = [[{"name": "T1", "value": 100}, {"name": "readout_error", "value": error}] for error in (0.01, 0.03)]
    assert read_errors(json.dumps({"qubits": qubits, "gates": gates}).encode()) == Errors(pytest.approx(0.02), 0.001, 0.01)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"{}", b"null", b'{"standardized": {"oneQubitProperties": {}, "twoQubitProperties": {}}}', b"\xff"]
)
def test_what_does_not_read(raw: bytes) -> None:
    """No error and no guess."""
    assert read_errors(raw) is None


def test_changes_that_count() -> None:
    """A tenth or less is how a device measures itself twice."""
    then = Errors(0.02, 0.001, 0.01)
    assert then.change_to(Errors(0.0209, 0.001, 0.02)) == {"two": (0.01, 0.02)} and then.change_to(then) == {}
