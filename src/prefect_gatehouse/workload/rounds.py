"""Driving a workload: a generator that is given features and parameters and nothing else, and replays from its start."""

from __future__ import annotations

import contextlib
import io
import random
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect_gatehouse.errors import WorkloadFailed
from prefect_gatehouse.providers.interface import Counts
from prefect_gatehouse.workload.load import LoadedWorkload, failure

if TYPE_CHECKING:
    import pandas as pd
    from qiskit import QuantumCircuit

_SEED = 20260101  # any constant: what matters is that a replay draws the same numbers


@dataclass(frozen=True)
class Finished:
    """The workload returned."""

    frame: pd.DataFrame


class Rounds:
    """A workload in progress.

    Args:
        workload: The loaded workload.
        features: The minimised data, one row a subject.
        parameters: The manifest's parameters.
    """

    def __init__(self, workload: LoadedWorkload, features: pd.DataFrame, parameters: dict[str, Any]) -> None:
        self._workload = workload
        self._number = 0
        with self._guarded():
            self._generator = workload.generate(features.copy(), dict(parameters))

    def advance(self, counts: Sequence[Counts] | None) -> list[QuantumCircuit] | Finished:
        """Gives the workload its last round's counts (None at the start) and takes its next circuits or its frame.

        Raises:
            WorkloadFailed: It raised, or gave something else than circuits or a frame.
        """
        with self._guarded():
            try:
                step = next(self._generator) if counts is None else self._generator.send([dict(item) for item in counts])
            except StopIteration as stop:
                return self._frame(stop.value)
        self._number += 1
        return self._circuits(step)

    def _frame(self, value: object) -> Finished:
        import pandas as pd

        if not isinstance(value, pd.DataFrame):
            raise WorkloadFailed("the workload returned no pandas frame", where=self._workload.file.name, advice="return a DataFrame")
        return Finished(value)

    def _circuits(self, value: object) -> list[QuantumCircuit]:
        from qiskit import QuantumCircuit

        if not isinstance(value, list | tuple) or not value or not all(isinstance(item, QuantumCircuit) for item in value):
            raise WorkloadFailed("the workload yielded no list of circuits", where=self._workload.file.name, advice="yield [QuantumCircuit, ...]")
        return list(value)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """No text of a workload gets out: not printed, warned or raised; its random numbers are the same on replay."""
        import numpy as np

        kept, kept_numpy = random.getstate(), np.random.get_state()
        random.seed(_SEED + self._number)
        np.random.seed(_SEED + self._number)
        sink = io.StringIO()
        try:
            with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except WorkloadFailed:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a workload may raise anything
            raise failure(error, self._workload.file) from None
        finally:
            random.setstate(kept)
            np.random.set_state(kept_numpy)
