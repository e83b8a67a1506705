"""Runs what a job holds: PUBs of the sampler, on Aer, with the noise of the machine's calibration."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prefect_gatehouse.emulators.faults import Fault
from prefect_gatehouse.emulators.ibm.devices import Device

_SHOTS = 4096  # of a PUB that names none
_OVERHEAD = 1.0  # seconds on the machine that a job takes whatever is in it
_SHOT = 0.00025  # seconds: the machine's default delay between two shots


@dataclass(frozen=True)
class Work:
    """What a job is asked to do.

    Attributes:
        params: As it was sent, in JSON.
        pubs: The same in Qiskit's classes.
    """

    params: dict[str, Any]
    pubs: list[Any]

    @cached_property
    def circuits(self) -> int:
        """Circuits, each setting counted."""
        return sum(math.prod(pub.shape) for pub in self.pubs)

    @cached_property
    def executions(self) -> int:
        """Shots of all circuits."""
        return sum(math.prod(pub.shape) * pub.shots for pub in self.pubs)

    @property
    def seconds(self) -> int:
        """How long it holds the machine."""
        return math.ceil(_OVERHEAD + _SHOT * self.executions)


def read_work(program: str, text: str) -> Work:
    """A job's work, from the text of the request.

    Raises:
        Fault: It is none of the sampler's.
    """
    from qiskit.primitives.containers.sampler_pub import SamplerPub
    from qiskit_ibm_runtime import RuntimeDecoder

    if program != "sampler":
        raise Fault("1233", f"the program {program} is not there", 404)
    try:
        params = json.loads(text)["params"]
        decoded = json.loads(json.dumps(params), cls=RuntimeDecoder)
        default = decoded.get("options", {}).get("default_shots") or _SHOTS
        return Work(params, [SamplerPub.coerce(tuple(pub), default) for pub in decoded["pubs"]])
    except Exception:  # noqa: BLE001 - whatever Qiskit says of what a stranger sent
        raise Fault("8020", "the job's parameters are not valid") from None


def require_isa(work: Work, device: Device) -> None:
    """Stops circuits that are not written for the machine.

    Raises:
        ValueError: Says which gate.
    """
    from qiskit_ibm_runtime.utils.utils import is_isa_circuit

    for pub in work.pubs:
        wrong = is_isa_circuit(pub.circuit, device.target())
        if wrong:
            raise ValueError(wrong)


def run(work: Work, device: Device) -> str:
    """The job's result, in the service's JSON.

    Raises:
        ValueError: The machine can't run it; of other types as well.
    """
    from qiskit.primitives.containers import PrimitiveResult, SamplerPubResult
    from qiskit_aer import AerSimulator
    from qiskit_aer.primitives import SamplerV2
    from qiskit_ibm_runtime import RuntimeEncoder

    require_isa(work, device)
    pubs, target = _narrowed(work, device.target())
    simulator = AerSimulator.from_backend(_machine(device.name, target)) if device.noise else AerSimulator()
    found = SamplerV2.from_backend(simulator).run(pubs).result()
    results = [SamplerPubResult(each.data, metadata={"circuit_metadata": each.metadata["circuit_metadata"] or {}}) for each in found]
    return json.dumps(PrimitiveResult(results, metadata={"version": 2}), cls=RuntimeEncoder)


def _narrowed(work: Work, target: Any) -> tuple[list[Any], Any]:
    """The same circuits on the machine's part that they use: noise of the rest takes a minute to make and is seen by nobody."""
    from qiskit import QuantumCircuit
    from qiskit.primitives.containers.sampler_pub import SamplerPub
    from qiskit.transpiler import Target

    used = sorted({pub.circuit.find_bit(qubit).index for pub in work.pubs for item in pub.circuit.data for qubit in item.qubits})
    place = {qubit: number for number, qubit in enumerate(used)}
    pubs = []
    for pub in work.pubs:
        circuit = QuantumCircuit(len(used), metadata=pub.circuit.metadata, global_phase=pub.circuit.global_phase)
        for register in pub.circuit.cregs:
            circuit.add_register(register)
        for item in pub.circuit.data:
            circuit.append(item.operation, [place[pub.circuit.find_bit(qubit).index] for qubit in item.qubits], item.clbits)
        pubs.append(SamplerPub(circuit, pub.parameter_values, pub.shots, validate=False))
    part = Target(num_qubits=len(used), dt=target.dt, qubit_properties=[target.qubit_properties[qubit] for qubit in used])
    for name in target.operation_names:
        known = target[name]
        places = {tuple(place[q] for q in qubits): each for qubits, each in (known or {}).items() if qubits and place.keys() >= set(qubits)}
        if places:
            part.add_instruction(target.operation_from_name(name), places, name=name)
    return pubs, part


def _machine(name: str, part: Any) -> Any:
    """A part of a machine as a backend of Qiskit's, from which Aer makes its noise."""
    from qiskit.providers import BackendV2, Options

    class Machine(BackendV2):  # type: ignore[misc]
        target = part
        max_circuits = None

        @classmethod
        def _default_options(cls) -> Any:
            return Options(shots=_SHOTS)

        def run(self, run_input: Any, **options: Any) -> Any:
            raise NotImplementedError

    return Machine(name=name)
