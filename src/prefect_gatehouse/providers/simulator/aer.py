"""Qiskit Aer in this process: the default backend, and the shortest example of a provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from prefect_gatehouse.errors import JobFailed
from prefect_gatehouse.providers.interface import Progress
from prefect_gatehouse.providers.simulator.assembly import BOUND, NATIVE, OPTIONS, SimulationFailed, assembled, bound_in_turn, execute
from prefect_gatehouse.providers.simulator.local import LocalSimulator
from prefect_gatehouse.workload.batch import CircuitBatch, Template
from prefect_gatehouse.workload.circuits import build_circuit
from prefect_gatehouse.workload.counts import Counts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CHUNK = 500  # settings between two progress reports: about a quarter of a second
_SEEDS = 2**31 - 1
_SEEDS_APART = 2113  # Aer's between two circuits of a call; where one measures in the middle, every shot takes the next seed


class AerBackend(LocalSimulator):
    """State-vector simulation; one job holds any number of circuits."""

    name: ClassVar[str] = "aer"
    package: ClassVar[str] = "qiskit-aer"
    qubits: ClassVar[int] = 28  # a state vector of 2^28 complex numbers is 4 GiB
    circuits_per_job: ClassVar[int] = 100_000

    def execute(self, batch: CircuitBatch, shots: int, seed: int, progress: Progress) -> Sequence[Counts]:
        """Runs them in this process."""
        return simulate(batch, shots, seed, progress)


def simulate(batch: CircuitBatch, shots: int, seed: int, progress: Progress) -> list[Counts]:
    """Each template is made and transpiled once, its angles are bound in Aer; templates with one setting run side by side.

    Qiskit is imported where a gate is not Aer's own, and nowhere else.

    Raises:
        JobFailed: Aer can't run them.
    """
    counts: list[list[Counts]] = [[] for _ in batch.templates]
    simulator = _Simulator(shots)
    done = 0
    try:
        for places, found in simulator.run(batch, seed):
            for place, result in zip(places, found, strict=True):
                counts[place].append(result)
            done += len(found)
            progress(done, len(batch))
    except SimulationFailed:
        raise JobFailed("the simulator reports the job as failed", where="aer", advice="check the circuits' width and gates") from None
    in_turn = [iter(each) for each in counts]
    return [next(in_turn[template]) for template in batch.order.tolist()]


class _Simulator:
    """Aer with the options that suit many small circuits."""

    def __init__(self, shots: int) -> None:
        self._shots = shots

    def run(self, batch: CircuitBatch, seed: int) -> Iterator[tuple[list[int], list[Counts]]]:
        """Yields templates' places and the counts of one setting each."""
        alone = [place for place, table in enumerate(batch.angles) if len(table) == 1]
        apart = [place for place in alone if self._chunk(batch.templates[place]) == 1]
        together = [place for place in alone if self._chunk(batch.templates[place]) > 1]
        for places in [*([place] for place in apart), *(together[start : start + _CHUNK] for start in range(0, len(together), _CHUNK))]:
            templates = [batch.templates[place] for place in places]
            circuits = [self._assembled(batch.templates[place], batch.angles[place][0].tolist()) for place in places]
            yield places, self._counts(circuits, templates, _seed(seed, places[0], 0))
        for place, (template, table) in enumerate(zip(batch.templates, batch.angles, strict=True)):
            if len(table) > 1:
                yield from (([place] * len(found), found) for found in self._sweep(template, table, (seed, place)))

    def _assembled(self, template: Template, angles: Sequence[float]) -> Any:
        """Aer's circuit of one setting."""
        if _only(NATIVE, template):
            return assembled(template, angles)
        from qiskit_aer.backends.aer_compiler import assemble_circuit

        with _no_words():
            return assemble_circuit(_transpiled(template, angles, NATIVE))[0]

    def _sweep(self, template: Template, table: NDArray[np.float64], seed: tuple[int, int]) -> Iterator[list[Counts]]:
        size = self._chunk(template)
        chunks = [(start, table[start : start + size]) for start in range(0, len(table), size)]
        if not template.angles:  # the same circuit so many times
            for start, part in chunks:
                yield self._counts([self._assembled(template, ()) for _ in part], [template] * len(part), _seed(*seed, start))
        elif _only(BOUND, template):
            circuit = assembled(template, [0.0] * template.angles)
            for start, part in chunks:
                yield self._counts([circuit], [template] * len(part), _seed(*seed, start), bound_in_turn(template, part))
        else:
            yield from self._transpiled_sweep(template, chunks, seed)

    def _transpiled_sweep(
        self, template: Template, chunks: Sequence[tuple[int, NDArray[np.float64]]], seed: tuple[int, int]
    ) -> Iterator[list[Counts]]:
        """Of gates that Aer does not have, or does not bind: Qiskit turns them into others, whose angles are expressions of the template's."""
        from qiskit.circuit import ParameterVector
        from qiskit_aer import AerSimulator

        free = list(ParameterVector("angle", template.angles))
        with _no_words():
            circuit, simulator = _transpiled(template, free, BOUND), AerSimulator(**OPTIONS)
        for start, part in chunks:
            binds = {name: part[:, column].tolist() for column, name in enumerate(free)}
            with _no_words():
                result = simulator.run([circuit], shots=self._shots, seed_simulator=_seed(*seed, start), parameter_binds=[binds]).result()
            if not result.success:
                raise SimulationFailed
            yield _in_binary([experiment.data.counts for experiment in result.results], [template] * len(part))

    def _chunk(self, template: Template) -> int:
        """How many settings go into one call: one, where the next one's random numbers would be the same."""
        return _CHUNK if template.ends_with_measuring or self._shots <= _SEEDS_APART else 1

    def _counts(self, circuits: list[Any], templates: Sequence[Template], seed: int, bound: list[Any] | None = None) -> list[Counts]:
        return _in_binary(execute(circuits, templates, self._shots, seed, bound), templates)


def _in_binary(found: Sequence[Mapping[str, int]], templates: Sequence[Template]) -> list[Counts]:
    """Counts by their strings of bits.

    Raises:
        SimulationFailed: There are not as many as there were circuits.
    """
    if len(found) != len(templates):
        raise SimulationFailed
    by_width = {template.clbits: _Outcomes(template.clbits) for template in templates}
    in_turn = (by_width[template.clbits] for template in templates)
    return [dict(zip(map(known.__getitem__, counts), counts.values(), strict=True)) for known, counts in zip(in_turn, found, strict=True)]


class _Outcomes(dict[str, str]):
    """Outcomes in binary by Aer's hexadecimal, of circuits of one width, which have most of them in common.

    Args:
        width: In classical bits.
    """

    def __init__(self, width: int) -> None:
        self._above = 1 << width  # a bit before the others, so that none of these is left out

    def __missing__(self, key: str) -> str:
        self[key] = found = bin(int(key, 16) | self._above)[3:]
        return found


def _seed(*parts: int) -> int:
    """A seed for one call of Aer, far from every other's: Aer counts up from it."""
    import numpy as np

    return int(np.random.SeedSequence(parts).generate_state(1)[0]) % _SEEDS


def _only(gates: frozenset[str], template: Template) -> bool:
    """Whether a template has no others."""
    return gates.issuperset(name for name, _, _ in template.gates)


@contextmanager
def _no_words() -> Iterator[None]:
    """What Qiskit and Aer raise, without their words.

    Raises:
        SimulationFailed: They raised.
    """
    from qiskit.exceptions import QiskitError

    try:
        yield
    except QiskitError:  # the base of Aer's own
        raise SimulationFailed from None


def _transpiled(template: Template, angles: Sequence[Any], gates: frozenset[str]) -> Any:
    """The circuit in certain gates."""
    from qiskit import transpile

    circuit = transpile(build_circuit(template, angles), basis_gates=sorted(gates), optimization_level=0)
    circuit.global_phase = 0  # no measurement sees it, and Aer does not take one with a parameter
    return circuit
