"""What a device can do, read from the document that GetDevice tells."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.errors import Denied, Unavailable
from prefect_gatehouse.providers.braket.jobs import gates_of, width_of
from prefect_gatehouse.providers.braket.native import Native, kind_of, pairs_of, touched
from prefect_gatehouse.workload.batch import CircuitBatch

_PROGRAM = "braket.ir.openqasm.program"
_SET = "braket.ir.openqasm.program_set"


@dataclass(frozen=True)
class Capabilities:
    """A device, as it is now.

    Attributes:
        status: ``ONLINE``, ``OFFLINE`` or ``RETIRED``.
        simulator: Whether it is one.
        qubits: How many it has.
        executables: Circuits that one task may hold.
        total_shots: That a program set may have.
        shots: Fewest and most of a circuit.
        gates: Names of the gates that it takes, in lower case.
        queue: Tasks that wait there, as the service writes it; None where it does not say.
        calibration: The raw calibration, empty where there is none.
        calibrated: When the service updated it, None where there is none or nobody says.
        version: Digest of what it takes and how it is built; a new calibration is no new version.
        native: Names of the gates that the machine itself does; empty where nobody says.
        pairs: Qubits that a native gate joins, each pair once, the lower number first; empty where nobody says.
        verbatim: Whether a program may name the machine's own gates and qubits, and is run as it stands.
    """

    status: str
    simulator: bool
    qubits: int
    executables: int
    total_shots: int
    shots: tuple[int, int]
    gates: frozenset[str]
    queue: str | None
    calibration: bytes
    calibrated: datetime | None
    version: str
    native: frozenset[str] = frozenset()
    pairs: frozenset[tuple[int, int]] = frozenset()
    verbatim: bool = False

    @property
    def queued(self) -> int | None:
        """Tasks that wait there, at least: the service writes what is more than it counts as ``>4000``."""
        number = (self.queue or "").removeprefix(">")
        return int(number) if number.isdecimal() else None

    @property
    def kind(self) -> Native | None:
        """Which gates are the machine's own, where it runs circuits of them as they stand; None where it does not, or they are not known."""
        return kind_of(self.native) if self.verbatim and self.pairs else None

    def sends_verbatim(self, batch: CircuitBatch) -> bool:
        """Whether circuits are in the machine's own gates on its own qubits and pairs, so that they are run as they stand."""
        kind, there = self.kind, {qubit for pair in self.pairs for qubit in pair}
        return kind is not None and all(
            kind.takes(template) and pairs_of(template) <= self.pairs and there.issuperset(touched(template)) for template in batch.templates
        )

    def require(self, batch: CircuitBatch, shots: int, where: str, *, verbatim: bool = False) -> None:
        """Stops circuits that the device can't run.

        Args:
            batch: The circuits.
            shots: Of each.
            where: The backend's name.
            verbatim: Whether they are sent as they stand, in the machine's own gates.

        Raises:
            Denied: Says what it can't.
        """
        missing = [] if verbatim else sorted(gates_of(batch) - self.gates)
        if missing:
            raise Denied(f"the device does not take {', '.join(missing)}", where=where, advice="use another backend")
        if width_of(batch) > self.qubits:
            raise Denied(f"a circuit uses {width_of(batch)} qubits, the device has {self.qubits}", where=where, advice="use another backend")
        if len(batch) > self.executables:
            raise Denied(f"the device takes {self.executables} circuits in a task", where=where, advice="lower executables in the backend's block")
        self.require_shots(len(batch), shots, where)

    def require_shots(self, circuits: int, shots: int, where: str) -> None:
        """Stops a task of more shots than the device takes, for a circuit or in all.

        Raises:
            Denied: Says how many it takes.
        """
        low, high = self.shots
        if not max(low, 1) <= shots <= high:
            raise Denied(f"the device takes from {low} to {high} shots", where=where, advice="change execution.shots")
        if circuits > 1 and circuits * shots > self.total_shots:
            advice = f"set executables to {self.total_shots // shots} in the backend's block, or lower execution.shots"
            raise Denied(f"the device takes {self.total_shots} shots in a task", where=where, advice=advice)


def read_capabilities(answer: dict[str, Any], where: str) -> Capabilities:
    """From GetDevice's answer.

    Raises:
        Unavailable: The document is none of a gate-based device.
    """
    try:
        document = json.loads(answer["deviceCapabilities"])
        action = document["action"]
        program, sets = action[_PROGRAM], action.get(_SET)
        low, high = document["service"]["shotsRange"]
        queues = {
            item.get("queuePriority"): item["queueSize"] for item in answer.get("deviceQueueInfo", []) if item["queue"] == "QUANTUM_TASKS_QUEUE"
        }
        measured = {name: document[name] for name in ("standardized", "provider") if document.get(name)}
        return Capabilities(
            status=answer["deviceStatus"],
            simulator=answer["deviceType"] == "SIMULATOR",
            qubits=int(document["paradigm"]["qubitCount"]),
            executables=int(sets["maximumExecutables"]) if sets else 1,
            total_shots=int(sets["maximumTotalShots"]) if sets else int(high),
            shots=(int(low), int(high)),
            gates=frozenset(name.lower() for name in program["supportedOperations"]),
            queue=queues.get("Normal"),
            calibration=json.dumps(measured, sort_keys=True, separators=(",", ":")).encode() if measured else b"",
            calibrated=_moment(document["service"].get("updatedAt")) if measured else None,
            version=digest({name: document[name] for name in ("action", "paradigm")})[:12],
            native=frozenset(name.lower() for name in document["paradigm"].get("nativeGateSet") or ()),
            pairs=_pairs(document["paradigm"].get("connectivity") or {}, int(document["paradigm"]["qubitCount"])),
            verbatim=any("verbatim" in name for name in program.get("supportedPragmas") or ()),
        )
    except (KeyError, ValueError, TypeError, AttributeError):
        raise Unavailable("the device's capabilities do not read", where=where, advice="update amazon-braket-schemas") from None


def _moment(text: str | None) -> datetime | None:
    """A time of the document; one without a zone is UTC."""
    if text is None:
        return None
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _pairs(connectivity: dict[str, Any], qubits: int) -> frozenset[tuple[int, int]]:
    """The graph tells each qubit's neighbours, some machines' in one direction only; some whose qubits are all joined tell no graph."""
    graph = connectivity.get("connectivityGraph") or {}
    if connectivity.get("fullyConnected"):
        return frozenset(combinations(sorted(int(each) for each in graph) or range(qubits), 2))
    return frozenset((min(pair), max(pair)) for qubit, others in graph.items() for other in others for pair in [(int(qubit), int(other))])
