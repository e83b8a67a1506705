"""Templates as Aer's own circuits: made from their gates, without Qiskit's circuits in between, and run by Aer's controller.

Building a circuit in Qiskit and having Aer read it gate by gate takes five times as long as simulating it, where it is small. What Aer is given in
the end is the same, and so are the counts (tests/providers/simulator/test_aer_assembly.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from prefect_gatehouse.workload.batch import Template
from prefect_gatehouse.workload.gates import gate_shapes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NONE: list[Any] = []
_UNCONDITIONAL = -1


class _Widths(NamedTuple):
    """What Aer asks a circuit while it makes its settings of a call."""

    num_qubits: int
    num_clbits: int


def assembled(template: Template, angles: Sequence[float]) -> Any:
    """A template with its angles, in radians, as Aer's circuit.

    Args:
        template: Of gates that Aer has itself.
        angles: One setting.
    """
    from qiskit_aer.backends.controller_wrappers import AerCircuit

    circuit, shapes, at = AerCircuit(), gate_shapes(), 0
    circuit.num_qubits, circuit.num_memory, circuit.global_phase_angle = template.qubits, template.clbits, 0.0
    for name, qubits, clbits in template.gates:
        if name == "measure":
            circuit.measure(qubits, clbits, _NONE)
        elif name == "reset":
            circuit.reset(qubits, _UNCONDITIONAL)
        else:
            end = at + shapes[name][2]
            circuit.gate(name, qubits, angles[at:end], _NONE, _UNCONDITIONAL, None, name)
            at = end
    return circuit


def bound_in_turn(template: Template, table: NDArray[np.float64]) -> list[Any]:
    """Which angle of which gate takes which values, setting by setting, as Aer binds them while it runs.

    Args:
        template: As for ``assembled``.
        table: Its angles, in radians; (settings, angles).
    """
    shapes = gate_shapes()
    places = [(number, place) for number, (name, _, _) in enumerate(template.gates) for place in range(shapes[name][2])]
    return [[place, table[:, column].tolist()] for column, place in enumerate(places)]


def execute(
    simulator: Any, circuits: Sequence[Any], templates: Sequence[Template], shots: int, seed: int, bound: list[Any] | None = None
) -> list[Any]:
    """Runs Aer's circuits in one call, in a thread: who waits for it can be told to stop.

    Args:
        simulator: An ``AerSimulator``, for its options.
        circuits: What to run, none of them twice: Aer numbers them.
        templates: What each of them is, for its widths.
        shots: Of each.
        seed: Of the first; Aer counts up from it.
        bound: Of the only circuit, where its angles are bound while it runs.

    Returns:
        Each setting's counts, by the outcome in hexadecimal.

    Raises:
        QiskitError: Aer can't run them.
    """
    from qiskit_aer import AerError
    from qiskit_aer.backends.aer_compiler import generate_aer_config
    from qiskit_aer.backends.backend_utils import cpp_execute_circuits
    from qiskit_aer.backends.controller_wrappers import aer_controller_execute

    for number, circuit in enumerate(circuits):
        circuit.circ_id = number
    widths = [_Widths(each.qubits, each.clbits) for each in templates]
    more = {} if bound is None else {"parameterizations": [bound]}
    config = generate_aer_config(widths, simulator.options, shots=shots, seed_simulator=seed, **more)
    aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aer")
    try:
        output = aside.submit(cpp_execute_circuits, aer_controller_execute(), list(circuits), None, config).result()
    finally:
        aside.shutdown(wait=False)
    if not isinstance(output, dict) or not output.get("success"):
        raise AerError("failed")
    return [result["data"]["counts"] for result in output["results"]]
