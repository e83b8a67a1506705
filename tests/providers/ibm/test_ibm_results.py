"""What comes back from a device of IBM's: full-width counts in Qiskit's order, from jobs with one PUB and with many."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import Statevector

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.ibm.device import Device
from prefect_gatehouse.providers.ibm.isa import write_for
from prefect_gatehouse.providers.ibm.jobs import params_of
from prefect_gatehouse.workload import plain_form
from prefect_gatehouse.workload.batch import CircuitBatch
from prefect_gatehouse.workload.circuits import build_circuit
from prefect_gatehouse.workload.gates import gate_shapes
from tests.providers.circuits import crosswise, flipped, hardly_used
from tests.support.circuit_lists import batch_of
from tests.support.ibm_desk import IBMDesk, lease_of


@pytest.fixture(scope="module")
def device() -> Device:
    """The machine without a server."""
    folder = files("qiskit_ibm_runtime") / "fake_provider" / "backends" / "torino"
    conf, props = (json.loads((folder / f"{name}_torino.json").read_text()) for name in ("conf", "props"))
    return Device("ibm/torino", conf, props)


def wide(width: int) -> CircuitBatch:
    circuit = QuantumCircuit(width, width)
    circuit.h(range(width))
    circuit.measure(range(width), range(width))
    return batch_of([circuit])


@pytest.mark.parametrize("width", [1, 3, 5])
def test_qubit_0_is_rightmost(desk: IBMDesk, width: int) -> None:
    """X on one qubit only, for each qubit in turn, as one job: the 1 stands where Qiskit has it."""
    found = desk.run(*(flipped(width, qubit) for qubit in range(width)))
    assert found == tuple({"0" * (width - 1 - qubit) + "1" + "0" * qubit: 50} for qubit in range(width))
    assert len(desk.emulator.jobs()) == 1


def test_sparse_bits_subsets_and_registers(desk: IBMDesk) -> None:
    """Some qubits, measured crosswise into some bits of two registers; idle qubits, idle bits, and a qubit that only is measured."""
    circuit = crosswise()
    assert desk.run(circuit) == ({"10000010": 50},)
    assert desk.run(circuit, flipped(2, 1), key="run:0:1:0") == ({"10000010": 50}, {"10": 50})


def test_a_wide_register_of_which_little_is_used(desk: IBMDesk) -> None:
    """200 qubits and bits, two of them used, fit a machine of 133."""
    assert desk.run(hardly_used()) == ({"1" + "0" * 199: 50},)


def test_measured_twice_reset_and_gone_on(desk: IBMDesk) -> None:
    """What the machine can and others can't: the later value of a bit counts, a qubit goes on after its measurement, and is reset."""
    twice = QuantumCircuit(2, 1)
    twice.x(0)
    twice.measure(0, 0)
    twice.measure(1, 0)
    on = QuantumCircuit(1, 3)
    on.x(0)
    on.measure(0, 0)
    on.x(0)
    on.measure(0, 1)
    on.x(0)
    on.reset(0)
    on.measure(0, 2)
    assert desk.run(twice, on) == ({"0": 50}, {"001": 50})


def test_a_sweep_is_one_pub_with_an_array(desk: IBMDesk) -> None:
    """Settings of one template between others: one job, one PUB for the sweep, each setting's own counts, zero angles among them."""
    circuit = QuantumCircuit(3, 3)
    for qubit, angle in enumerate(ParameterVector("t", 3)):
        circuit.rx(angle, qubit)
    circuit.measure(range(3), range(3))
    numbers = [5, 0, 3, 7, 1, 2]
    values = np.array([[math.pi * (number >> qubit & 1) for qubit in range(3)] for number in numbers])
    found = desk.run(flipped(2, 0), (circuit, values[:3]), flipped(3), flipped(2, 0), (circuit, values[3:]), shots=10)
    bits = [{format(n, "03b"): 10} for n in numbers]
    assert found == ({"01": 10}, *bits[:3], {"000": 10}, {"01": 10}, *bits[3:])
    (job,) = desk.emulator.jobs()
    # The circuit that comes twice without angles is two PUBs: a PUB without parameters runs once.
    assert (job["pubs"], job["circuits"], job["executions"]) == (4, 9, 90)


def test_a_thousand_settings_are_one_pub(desk: IBMDesk) -> None:
    """1,000 settings of a circuit with entangling gates: one PUB, each setting its own counts."""
    circuit = QuantumCircuit(2, 2)
    angle = ParameterVector("t", 1)
    circuit.ry(angle[0], 0)
    circuit.cx(0, 1)
    circuit.measure(range(2), range(2))
    values = np.where(np.arange(1000) % 3 == 0, math.pi, 0.0)[:, None]
    found = desk.run((circuit, values), shots=5)
    assert found == tuple({"11" if place % 3 == 0 else "00": 5} for place in range(1000))
    (job,) = desk.emulator.jobs()
    assert (job["pubs"], job["circuits"]) == (1, 1000)


def test_every_standard_gate_in_the_machine_s(device: Device) -> None:
    """Between rotations that make its direction visible, with two settings, each gate that may leave is what Statevector says it is."""
    names = [name for name, (_, bits, _) in gate_shapes().items() if not bits and name != "reset"]
    for name in names:
        gate = get_standard_gate_name_mapping()[name]
        width = gate.num_qubits
        circuit = QuantumCircuit(width, width)
        angles = ParameterVector("t", width + len(gate.params))
        for qubit in range(width):
            circuit.ry(angles[qubit], qubit)
        circuit.append(gate.base_class(*angles[width:]), range(width))
        for qubit in range(width):
            circuit.rx(0.5 + 0.3 * qubit, qubit)
        circuit.measure(range(width), range(width))
        values = np.array([np.linspace(0.4, 1.1, len(angles)), np.linspace(-2.0, 0.0, len(angles))])
        batch = batch_of([(circuit, values)])
        after = write_for(batch, device).batch
        for (template, row), right in zip(after.settings(), batch.settings(), strict=True):
            assert {each for each, _, _ in template.gates} <= {"cz", "id", "rz", "sx", "x", "measure"} and template.qubits == 133
            assert np.allclose(_probabilities(template, row.tolist()), _probabilities(*right), atol=1e-9), name


def _probabilities(template: Any, angles: Any) -> Any:
    """Of each value of the classical bits; measurements at the end."""
    place = {qubit: number for number, qubit in enumerate(sorted({qubit for _, qubits, _ in template.gates for qubit in qubits}))}
    bits = {bits[0]: place[qubits[0]] for name, qubits, bits in template.gates if name == "measure"}
    unmeasured = [(name, tuple(place[q] for q in qubits), clbits) for name, qubits, clbits in template.gates if name != "measure"]
    circuit = build_circuit(type(template)(len(place), 0, tuple(unmeasured)), list(angles))
    return Statevector(circuit).probabilities([bits[bit] for bit in range(template.clbits)])


def test_the_same_circuits_are_the_same_bytes(device: Device) -> None:
    """Transpiled and written anew, after another calibration as well: seed, names and identities are fixed."""
    circuit = QuantumCircuit(4, 4)
    angles = ParameterVector("t", 4)
    for qubit in range(4):
        circuit.ry(angles[qubit], qubit)
        circuit.cx(qubit, (qubit + 2) % 4)
    circuit.measure(range(4), range(4))
    batch = batch_of([(circuit, np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])), flipped(2, 1)])
    gates = [{**gate, "parameters": [{**each, "value": each["value"] * 1.3} for each in gate["parameters"]]} for gate in device.properties["gates"]]
    anew = Device(device.name, device.configuration, {**device.properties, "gates": gates})
    one, other = write_for(batch, device), write_for(batch, anew)
    assert json.dumps(params_of(one.batch, 10)) == json.dumps(params_of(other.batch, 10))
    assert one.quality is not None and other.quality is not None and 0 < other.quality < one.quality < 1


def test_what_is_prepared_is_sent_as_it_is(desk: IBMDesk) -> None:
    """Transpiled before anybody approves it, in the plain form like every batch; then nothing is transpiled again, and the counts are the same."""
    circuit = QuantumCircuit(3, 3)
    angles = ParameterVector("t", 2)
    circuit.rx(angles[0], 0)
    circuit.cx(0, 2)
    circuit.rz(angles[1], 2)
    circuit.measure(range(3), range(3))
    backend = desk.backend()
    batch = batch_of([(circuit, np.array([[math.pi, 0.3], [0, 0.7]])), flipped(2, 0)])
    prepared = backend.prepare(batch, 50, desk.lease)
    assert (prepared.depth_before, prepared.two_qubit_before, prepared.two_qubit_after) == (batch.depth, 1, 1) and prepared.depth_after > 3
    assert prepared.quality is not None and 0.5 < prepared.quality < 1
    assert prepared.settings["seed"] and prepared.settings["qiskit"] and "cz" in str(prepared.settings["basis"])
    assert len(backend.prepare(batch_of([flipped(1)] * 5001), 50, desk.lease).batch) == 5001  # a round may be more than one job
    payload = backend.encode(prepared.batch, 50)
    again = backend.prepare(plain_form.decode(payload)[0], 50, desk.lease)
    assert plain_form.write(again.batch, 50) == payload
    handle = backend.submit(payload, "run:0:0:0", desk.lease)
    assert [dict(counts) for counts in desk.ready(handle).counts] == [{"101": 50}, {"000": 50}, {"01": 50}]


def test_what_fails_is_not_used(device: Device) -> None:
    """The snapshot holds pairs and read-outs that are calibrated as failing; nothing is written for them, unless somebody chose the qubits."""
    failing = {qubits for qubits, known in device.target["cz"].items() if known.error is not None and known.error >= 0.1}
    best, wider = device.parts
    assert failing and not failing & {tuple(pair) for pair in best.pairs} and 60 < len(best.qubits) < 100 < len(wider.qubits) < 133
    assert device.part_for(wide(60).templates[0]) is best and device.part_for(wide(120).templates[0]) is wider
    chosen = Device(device.name, device.configuration, device.properties, (0, 1, 2, 15))
    assert chosen.parts[0].qubits == (0, 1, 2, 15) and 0 not in best.qubits
    (template,) = write_for(batch_of([flipped(4, 2)]), chosen).batch.templates
    assert {qubit for _, qubits, _ in template.gates for qubit in qubits} == {0, 1, 2, 15}
    with pytest.raises(Denied, match="uses 5 qubits"):
        chosen.require(batch_of([flipped(5)]), 1, 1)
    apart = QuantumCircuit(2, 2)
    apart.cx(0, 1)
    apart.measure(range(2), range(2))
    with pytest.raises(Denied, match="can't be written"):
        write_for(batch_of([apart]), Device(device.name, device.configuration, device.properties, (0, 2)))


def test_another_host_reads_the_result(desk: IBMDesk, tmp_path: Any) -> None:
    """All that a result needs is at the service: an object that knows nothing but the handle reads it."""
    handle = desk.submit([flipped(3, 2), flipped(3, 0)])
    desk.ready(handle)
    elsewhere = IBMDesk(tmp_path / "elsewhere", desk.emulator)
    assert [dict(counts) for counts in elsewhere.ready(handle).counts] == [{"100": 50}, {"001": 50}]


def test_what_a_job_costs_and_how_good_the_machine_is(desk: IBMDesk) -> None:
    """The worst case is what the block lets a job take; billed is by the second; the calibration at execution comes with the result."""
    backend = desk.backend(job_minutes=2)
    assert backend.price(3, 50, desk.lease) == backend.price(5000, 50, desk.lease) == Decimal(192)
    assert backend.price(5001, 50, desk.lease) == Decimal(384)
    facts = backend.facts(desk.lease)
    assert (facts.qubits, facts.priced_as, facts.job_minutes, facts.circuits_per_job, facts.simulator) == (133, "ibm/pay-as-you-go", 2, 5000, False)
    handle = desk.submit([flipped(2, 0)] * 3)
    desk.ready(handle)
    desk.emulator.device(properties={"last_update_date": "2026-11-29T00:00:00+00:00"})
    result = desk.ready(handle)
    (job,) = desk.emulator.jobs()
    assert result.cost == Decimal("1.6") * job["seconds"] == backend.billed(handle, desk.lease) and result.run_seconds == job["seconds"]
    assert b"readout_error" in result.calibration and b"2026-11-29" not in result.calibration and result.queue_seconds >= 0
    state = backend.state(desk.lease)
    assert (state.online, state.queue) == (True, 0) and state.calibrated is not None and state.calibrated.isoformat() == "2026-11-29T00:00:00+00:00"
    assert b"2026-11-29" in state.calibration


@pytest.mark.parametrize(
    ("circuits", "shots", "message"),
    [
        (wide(134), 50, "uses 134 qubits"),
        ([flipped(1)], 100_001, "100000 shots"),
        ([flipped(1)] * 5001, 50, "5000 circuits"),
        ([flipped(1)] * 4000, 5000, "10000000 shots"),
    ],
    ids=["qubits", "shots", "circuits", "shots-in-all"],
)
def test_what_this_device_can_not_is_refused_by_capability(
    desk: IBMDesk, circuits: list[QuantumCircuit] | CircuitBatch, shots: int, message: str
) -> None:
    """Refused before anything is sent or noted."""
    with pytest.raises(Denied, match=message):
        desk.submit(circuits, shots=shots)
    assert desk.emulator.jobs() == [] and "create_job" not in desk.emulator.state()["calls"]
    assert not (desk.folder / "spool").exists()


def test_what_measures_nothing_is_refused_before_anybody_is_asked(desk: IBMDesk) -> None:
    """An error that names the backend; the service was asked nothing."""
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    with pytest.raises(InputError) as caught:
        desk.submit([circuit])
    assert caught.value.where == "ibm/torino" and caught.value.advice and desk.emulator.state()["calls"] == {}


def test_how_good_a_result_may_be(device: Device) -> None:
    """The estimate of the quality, worst over the circuits: a longer one is worse."""
    deep = QuantumCircuit(2, 2)
    for _ in range(20):
        deep.cx(0, 1)
        deep.rx(0.3, 0)
    deep.measure(range(2), range(2))
    short = write_for(batch_of([flipped(2, 0)]), device).quality
    both = write_for(batch_of([flipped(2, 0), deep]), device).quality
    assert short is not None and both is not None and 0.5 < both < short < 1


def test_a_sign_in_to_read_results_makes_nothing(desk: IBMDesk) -> None:
    """With what is fetched to retrieve, results are read and nothing is made, cancelled or deleted, though the account itself could."""
    handle, backend, reads = desk.submit([flipped(2, 1)]), desk.backend(), lease_of(desk.emulator.credential, Purpose.RETRIEVE)
    desk.ready(handle)
    assert desk.backend().status(handle, reads).state == "ready"
    assert [dict(counts) for counts in desk.backend().result(handle, reads).counts] == [{"10": 50}]
    payload = backend.encode(batch_of([flipped(2, 0)]), 50)
    for act in (
        lambda: backend.submit(payload, "run:0:9:0", reads),
        lambda: backend.cancel(handle, reads),
        lambda: backend.delete(handle, reads),
    ):
        with pytest.raises(Denied, match="a lease for retrieve was asked for submit"):
            act()
