"""A device as its documents tell it: what it can do, what circuits must be written for, and how well it is calibrated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.errors import Denied, Unavailable
from prefect_gatehouse.workload.batch import CircuitBatch, Template

_EXECUTIONS = 10_000_000  # shots of all circuits of a job: IBM's guide to job limits
_LIMITS = (0.1, 0.5)  # errors per use: what a machine has few parts near to, and what is no use to anybody
_PAIR = 2
_BUILT = ("n_qubits", "basis_gates", "coupling_map", "supported_instructions", "processor_type")


@dataclass(frozen=True)
class Part:
    """Some of a device's qubits, as what circuits are written for: without errors, so that a calibration moves no circuit unless other parts fail.

    Attributes:
        qubits: The device's numbers of them.
        target: On the same qubits, numbered without gaps.
    """

    qubits: tuple[int, ...]
    target: Any

    @cached_property
    def pairs(self) -> list[list[int]]:
        """Neighbours, by the device's numbers."""
        coupling = self.target.build_coupling_map()
        return sorted([self.qubits[left], self.qubits[right]] for left, right in (coupling.get_edges() if coupling else ()))

    @cached_property
    def _numbers(self) -> dict[int, int]:
        return {qubit: place for place, qubit in enumerate(self.qubits)}

    def supports(self, name: str, qubits: tuple[int, ...]) -> bool:
        """Whether an operation may be done on these of the device's qubits."""
        return self._numbers.keys() >= set(qubits) and bool(self.target.instruction_supported(name, tuple(self._numbers[qubit] for qubit in qubits)))


@dataclass(frozen=True)
class Device:
    """A device.

    Attributes:
        name: The backend's, in a manifest.
        configuration: As the service tells it.
        properties: Its calibration, as the service tells it; empty where it has none.
        chosen: The qubits that may be used; empty where that is left to the calibration.
    """

    name: str
    configuration: Mapping[str, Any]
    properties: Mapping[str, Any]
    chosen: tuple[int, ...] = ()

    @cached_property
    def qubits(self) -> int:
        """How many it has."""
        return int(self.configuration["n_qubits"])

    @property
    def simulator(self) -> bool:
        """Whether it is one."""
        return bool(self.configuration.get("simulator", False))

    @cached_property
    def version(self) -> str:
        """Digest of how it is built; a new calibration is no new version."""
        return digest({name: self.configuration.get(name) for name in _BUILT})[:12]

    @cached_property
    def coupling_digest(self) -> str:
        """Of which qubits and pairs circuits may be written for."""
        return digest([[list(part.qubits), part.pairs] for part in self.parts])

    @property
    def basis(self) -> list[str]:
        """Names of the gates that circuits are written in."""
        return sorted(self.target.operation_names)

    @cached_property
    def target(self) -> Any:
        """What circuits must be written for, as the SDK makes it: without what is faulty, and without gates of which only some angles run."""
        try:
            return _target(json.dumps(self.configuration), json.dumps(self.properties))
        except Exception:  # noqa: BLE001 - whatever the SDK says of what a service sent
            raise Unavailable("the device's documents do not read", where=self.name, advice="update qiskit-ibm-runtime") from None

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """What circuits may be written for, the best first: the chosen qubits, or the largest connected part of what errs seldom enough."""
        return (self._part(None),) if self.chosen else tuple(self._part(limit) for limit in _LIMITS)

    def part_for(self, template: Template) -> Part:
        """The best part that has room for a template; the last one where none has."""
        width = len(used_qubits(template))
        return next((part for part in self.parts if len(part.qubits) >= width), self.parts[-1])

    def takes(self, template: Template) -> bool:
        """Whether a template is written for the device already, over all of its qubits."""
        return template.qubits == self.qubits and all(self.parts[-1].supports(name, qubits) for name, qubits, _ in template.gates)

    def _part(self, limit: float | None) -> Part:
        import rustworkx
        from qiskit.transpiler import Target

        def seldom(known: Any) -> bool:
            error = getattr(known, "error", None)
            return limit is None or error is None or error < limit

        places = {name: {qubits for qubits, known in _known(self.target, name) if seldom(known)} for name in sorted(self.target.operation_names)}
        whole = set.intersection(*({qubits[0] for qubits in places.get(name, ())} for name in ("measure", "sx", "x") if name in places))
        whole &= set(self.chosen) or whole
        if limit is not None:
            graph: Any = rustworkx.PyGraph()
            graph.add_nodes_from(range(self.qubits))
            graph.add_edges_from_no_data([each for found in places.values() for each in found if len(each) == _PAIR and whole.issuperset(each)])
            connected: list[set[int]] = rustworkx.connected_components(graph)
            whole &= max(connected, key=lambda part: len(part & whole))
        qubits = tuple(sorted(whole))
        number = {qubit: place for place, qubit in enumerate(qubits)}
        target = Target(num_qubits=len(qubits))
        for name, found in places.items():
            kept = {tuple(number[qubit] for qubit in each): None for each in sorted(found) if whole.issuperset(each)}
            if kept:
                target.add_instruction(self.target.operation_from_name(name), kept, name=name)
        return Part(qubits, target)

    def require(self, batch: CircuitBatch, shots: int, circuits: int) -> None:
        """Stops a job that the device can't run.

        Args:
            batch: Its circuits.
            shots: Of each.
            circuits: Most in a job.

        Raises:
            Denied: Says what it can't.
        """
        self.require_circuits(batch)
        if len(batch) > circuits:
            raise Denied(f"the backend's block allows {circuits} circuits in a job", where=self.name, advice="raise circuits in the backend's block")
        self.require_shots(len(batch), shots)

    def require_circuits(self, batch: CircuitBatch) -> None:
        """Stops circuits that the device can't run, however many there are.

        Raises:
            Denied: Says what it can't.
        """
        width, usable = max(len(used_qubits(template)) for template in batch.templates), len(self.parts[-1].qubits)
        if width > usable:
            what = f"a circuit uses {width} qubits, of the device's {self.qubits} {usable} may be used"
            raise Denied(what, where=self.name, advice="use another backend, or choose other qubits in the backend's block")
        operations = {name for template in batch.templates for name, _, _ in template.gates}
        if "reset" in operations and "reset" not in self.configuration.get("supported_instructions", ["reset"]):
            raise Denied("the device does not take reset", where=self.name, advice="use another backend")

    def require_shots(self, circuits: int, shots: int) -> None:
        """Stops a job of more shots than the service takes, for a circuit or in all.

        Raises:
            Denied: Says how many it takes.
        """
        most = int(self.configuration.get("max_shots", _EXECUTIONS))
        if not 1 <= shots <= most:
            raise Denied(f"the device takes from 1 to {most} shots", where=self.name, advice="change execution.shots")
        if circuits * shots > _EXECUTIONS:
            advice = f"set circuits to {_EXECUTIONS // shots} in the backend's block, or lower execution.shots"
            raise Denied(f"the service takes {_EXECUTIONS} shots in a job", where=self.name, advice=advice)


@lru_cache(maxsize=4)
def _target(configuration: str, properties: str) -> Any:
    """The SDK's target; half a second, so one process makes it once of the same documents."""
    from qiskit_ibm_runtime.utils.backend_converter import convert_to_target
    from qiskit_ibm_runtime.utils.backend_decoder import configuration_from_server_data, properties_from_server_data

    calibration = json.loads(properties)
    return convert_to_target(
        configuration_from_server_data(json.loads(configuration), use_fractional_gates=False),
        properties_from_server_data(calibration, use_fractional_gates=False) if calibration else None,
        include_control_flow=False,
    )


def _known(target: Any, name: str) -> list[tuple[tuple[int, ...], Any]]:
    """Where an operation may be done, and how well."""
    places = target[name] if name in target.operation_names else None
    return sorted(((qubits, known) for qubits, known in (places or {}).items() if qubits is not None), key=lambda item: item[0])


def used_qubits(template: Template) -> list[int]:
    """The qubits that anything is done to, in order."""
    return sorted({qubit for _, qubits, _ in template.gates for qubit in qubits})


def calibration_of(properties: Mapping[str, Any]) -> bytes:
    """A calibration's raw bytes, one spelling for the same content."""
    return json.dumps(properties, sort_keys=True, separators=(",", ":")).encode() if properties else b""


def calibrated_at(properties: Mapping[str, Any]) -> datetime | None:
    """When a calibration was made, where it says."""
    try:
        return datetime.fromisoformat(str(properties["last_update_date"]))
    except (KeyError, ValueError):
        return None
