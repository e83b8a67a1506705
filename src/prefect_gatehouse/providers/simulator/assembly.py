"""Templates as Aer's own circuits: made from their gates, without Qiskit's circuits in between, and run by Aer's controller.

Building a circuit in Qiskit and having Aer read it gate by gate takes five times as long as simulating it, where it is small; importing Qiskit takes
ten times as long as simulating all of a small round. Aer's compiled part needs none of it. What it is given in the end is the same, and so are the
counts (tests/providers/simulator/test_aer_assembly.py).
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect_gatehouse.workload.batch import Template
from prefect_gatehouse.workload.gates import gate_shapes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NATIVE = """
    ccx ccz cp crx cry crz cswap csx cu cu1 cu3 cx cy cz ecr h id measure p r reset rx rxx ry ryy rz rzx rzz s sdg swap sx sxdg t tdg u u1 u2 u3 x y z
"""
NATIVE = frozenset(_NATIVE.split())
"""The operations that may leave and that Aer's state vector has itself."""
BOUND = NATIVE - {"cp", "crx", "cry", "crz", "cu", "cu1", "cu3"}
"""Those whose angles Aer binds while it runs: it leaves out the angle of a controlled gate and says nothing (qiskit-aer #2323, #2391, #2403)."""

# Fusion costs more than it brings for thousands of small circuits; experiments run in parallel instead.
OPTIONS = {"method": "statevector", "max_parallel_experiments": 0, "fusion_enable": False, "runtime_parameter_bind_enable": True}
"""Of ``AerSimulator``, where they are not its defaults."""
_DEFAULT = {"num_threads_per_device": 1}  # of ``AerSimulator``, where it is another one than its compiled part's

_EXTENSION = "qiskit_aer.backends.controller_wrappers"
_loading = threading.Lock()
_NONE: list[Any] = []
_UNCONDITIONAL = -1


class SimulationFailed(Exception):
    """Aer can't run the circuits. It has no words: Aer's own could hold an angle."""


def extension() -> Any:
    """Aer's compiled part: 15 ms. Importing its package imports Qiskit, 0.3 s; whoever does that afterwards is given the same module.

    Raises:
        ImportError: Aer is not installed.
    """
    with _loading:
        if _EXTENSION in sys.modules:
            return sys.modules[_EXTENSION]
        folder = _folder()
        found = importlib.machinery.PathFinder.find_spec(_EXTENSION, [str(folder)])
        if found is None or found.loader is None:
            raise ImportError("qiskit-aer has no compiled part", name=_EXTENSION)
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        module.aer_initialize_libraries(str(folder))
        sys.modules[_EXTENSION] = module
        return module


def _folder() -> Path:
    """Where Aer's compiled part lies, with the libraries that it loads."""
    found = importlib.util.find_spec("qiskit_aer")
    if found is None or found.origin is None:
        raise ImportError("qiskit-aer is not installed", name="qiskit_aer")
    return Path(found.origin).parent / "backends"


def assembled(template: Template, angles: Sequence[float]) -> Any:
    """A template with its angles, in radians, as Aer's circuit.

    Args:
        template: Of ``NATIVE`` gates alone.
        angles: One setting.
    """
    circuit, shapes, at = extension().AerCircuit(), gate_shapes(), 0
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


def execute(circuits: Sequence[Any], templates: Sequence[Template], shots: int, seed: int, bound: list[Any] | None = None) -> list[Any]:
    """Runs Aer's circuits in one call, in a thread: who waits for it can be told to stop.

    Args:
        circuits: What to run, none of them twice: Aer numbers them.
        templates: What each of them is, for its widths.
        shots: Of each.
        seed: Of the first; Aer counts up from it.
        bound: Of the only circuit, where its angles are bound while it runs.

    Returns:
        Each setting's counts, by the outcome in hexadecimal.

    Raises:
        SimulationFailed: Aer can't run them.
    """
    for number, circuit in enumerate(circuits):
        circuit.circ_id = number
    made = configuration(templates, shots, seed, bound)
    aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aer")
    try:
        output = aside.submit(_run, list(circuits), made).result()
    finally:
        aside.shutdown(wait=False)
    if not isinstance(output, dict) or not output.get("success"):
        raise SimulationFailed
    return [result["data"]["counts"] for result in output["results"]]


def configuration(templates: Sequence[Template], shots: int, seed: int, bound: list[Any] | None = None) -> Any:
    """Aer's settings of one call; what they mean is as for ``execute``."""
    made = extension().AerConfig()
    for name, value in {**_DEFAULT, **OPTIONS}.items():
        setattr(made, name, value)
    made.n_qubits, made.memory_slots = max(each.qubits for each in templates), max(each.clbits for each in templates)
    made.shots, made.seed_simulator, made.library_dir = shots, seed, str(_folder())
    if bound is not None:
        made.parameterizations = [bound]
    return made


def _run(circuits: list[Any], settings: Any) -> Any:
    # No model of noise: given one, even an empty one, Aer imports its package.
    return extension().aer_controller_execute().execute(circuits, None, settings)
