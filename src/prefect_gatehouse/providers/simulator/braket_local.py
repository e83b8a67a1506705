"""Amazon Braket's local simulator in this process, through the Braket SDK: one job a circuit, as devices have it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from prefect_gatehouse.errors import JobFailed
from prefect_gatehouse.providers.interface import Progress
from prefect_gatehouse.providers.simulator.local import LocalSimulator
from prefect_gatehouse.workload.batch import CircuitBatch, Template, require_terminal_measurements
from prefect_gatehouse.workload.circuits import build_circuit
from prefect_gatehouse.workload.counts import Counts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class BraketLocalBackend(LocalSimulator):
    """State-vector simulation by the Braket SDK."""

    name: ClassVar[str] = "braket-local"
    package: ClassVar[str] = "amazon-braket-sdk"
    qubits: ClassVar[int] = 24  # the simulator's own limit is 25 or so, memory decides
    circuits_per_job: ClassVar[int] = 1

    def require_runnable(self, batch: CircuitBatch) -> None:
        """It measures at the end only."""
        super().require_runnable(batch)
        require_terminal_measurements(batch, self.name)

    def execute(self, batch: CircuitBatch, shots: int, seed: int, progress: Progress) -> Sequence[Counts]:
        """The simulator takes no seed: a job that dies while it runs is drawn anew, one whose result is stored is not run again."""
        counts: list[Counts] = []
        for template, angles in batch.settings():
            try:
                counts.append(_counts(template, angles, shots))
            except Exception:  # noqa: BLE001 - the SDK and the translation raise many types; none may carry text out
                advice = "check the circuits' width and gates"
                raise JobFailed("the simulator reports the job as failed", where=self.name, advice=advice) from None
            progress(len(counts), len(batch))
        return counts


def _counts(template: Template, angles: NDArray[np.float64], shots: int) -> Counts:
    from braket.devices import LocalSimulator as Device
    from qiskit_braket_provider import to_braket

    where = {clbit: qubit for name, qubits, clbits in template.gates if name == "measure" for qubit, clbit in zip(qubits, clbits, strict=True)}
    bare = build_circuit(Template(template.qubits, 0, tuple(gate for gate in template.gates if gate[0] != "measure")), angles.tolist())
    if not bare.data:
        return {"0" * template.clbits: shots}
    task = Device().run(to_braket(bare), shots=shots).result()
    place = {qubit: column for column, qubit in enumerate(task.measured_qubits)}
    return dict(Counter(_bits(row, place, where, template.clbits) for row in task.measurements))


def _bits(row: Sequence[int], place: dict[int, int], where: dict[int, int], width: int) -> str:
    """One shot as a Qiskit bit string: classical bit 0 rightmost, full width; an unused qubit reads 0."""
    return "".join(str(int(row[place[where[clbit]]])) if clbit in where and where[clbit] in place else "0" for clbit in reversed(range(width)))
