"""Driving a workload: a generator that is given features and parameters and nothing else, and replays from its start."""

from __future__ import annotations

import contextlib
import gc
import random
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from prefect_gatehouse.errors import UnusableAnswer, WorkloadFailed
from prefect_gatehouse.workload.batch import CircuitBatch
from prefect_gatehouse.workload.counts import Counts, Registers, RoundCounts
from prefect_gatehouse.workload.frame import Unusable, table_of
from prefect_gatehouse.workload.load import LoadedWorkload, Quiet
from prefect_gatehouse.workload.pubs import read_round
from prefect_gatehouse.workload.refusals import Refusal, error_of, refusal_of
from prefect_gatehouse.workload.silence import silenced
from prefect_gatehouse.workload.stops import handlers, let_stops_through

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_SEED = 20260101  # any constant: what matters is that a replay draws the same numbers


@dataclass(frozen=True)
class Finished:
    """The workload returned.

    Attributes:
        table: What it returned, its columns plain.
    """

    table: pa.Table

    @property
    def frame(self) -> pd.DataFrame:
        """The table as a pandas frame."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame


class Rounds:
    """A workload in progress; a context that ends it on the way out.

    Args:
        workload: The loaded workload.
        features: The minimised data, one row a subject.
        parameters: The manifest's parameters.
        declared: The columns of the output, which messages about the returned frame may name.
        quiet: What keeps in what the workload says.
    """

    apart: ClassVar[bool] = False
    drawn: bytes | None = None

    def __init__(
        self,
        workload: LoadedWorkload,
        features: pd.DataFrame,
        parameters: dict[str, Any],
        declared: Collection[str] = (),
        quiet: Quiet = silenced,
    ) -> None:
        self._workload = workload
        self._quiet = quiet
        self._declared = declared
        self._number = 0
        self._asked: Sequence[Counts] | None = None
        self._registers: tuple[Registers, ...] = ()
        self._handlers = handlers()
        with self._guarded():
            self._generator: Generator[Any, Any, Any] | None = workload.generate(features.copy(), dict(parameters))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, counts: Sequence[Counts] | None) -> None:
        """Keeps what the workload is given: it computes in ``answer``, where nothing else does."""
        self._asked = counts

    def answer(self) -> CircuitBatch | Finished:
        """As ``advance``, of what it was asked with."""
        return self.advance(self._asked)

    def advance(self, counts: Sequence[Counts] | None) -> CircuitBatch | Finished:
        """Gives the workload its last round's counts (None at the start) and takes its next circuits or its frame.

        Raises:
            WorkloadFailed: It raised.
            UnusableAnswer: It gave something else than circuits or a frame.
        """
        assert self._generator is not None  # it is not closed
        given = None if counts is None else [RoundCounts(item, places) for item, places in zip(counts, self._registers, strict=True)]
        step: CircuitBatch | Finished | UnusableAnswer
        with self._guarded():
            try:
                step = self._circuits(next(self._generator) if given is None else self._generator.send(given))
            except StopIteration as stop:
                step = self._result(stop.value)
        if isinstance(step, UnusableAnswer):
            raise error_of(refusal_of(step), self._workload.file.name)
        self._number += 1
        return step

    @property
    def alive(self) -> bool:
        """Always: it is where this process is."""
        return True

    @property
    def suppressed(self) -> None:
        """Nobody counts the lines here."""

    def close(self) -> None:
        """Ends the workload where it is; what it says to that is nobody's concern."""
        generator, self._generator = self._generator, None
        if generator is None:
            return
        with contextlib.suppress(WorkloadFailed), self._guarded():
            try:
                generator.close()
            except BaseException:
                # It goes on instead of ending. Python asks once more when it forgets the generator, and prints what it says: here it is unheard.
                del generator
                gc.collect()
                raise

    def _result(self, value: object) -> Finished | UnusableAnswer:
        found = table_of(value, self._declared)
        if not isinstance(found, Unusable):
            return Finished(found)
        return error_of(found.refusal or Refusal("unreadable"))

    def _circuits(self, value: object) -> CircuitBatch | UnusableAnswer:
        # Circuits are read where nothing of the workload's is heard: its classes may be its own, and so may what they say.
        try:
            found = read_round(value)
        except UnusableAnswer as refusal:
            return refusal
        self._registers = found.registers
        return found.batch

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """No text of a workload gets out: not printed, warned or raised; its random numbers are the same on replay."""
        import numpy as np

        kept, kept_numpy = random.getstate(), np.random.get_state()
        random.seed(_SEED + self._number)
        np.random.seed(_SEED + self._number)
        try:
            with self._quiet():
                yield
        except BaseException as error:  # noqa: BLE001 - a workload may raise anything, errors of ours and of Prefect's among them
            let_stops_through(error, self._handlers)
            raise self._workload.failure(error) from None
        finally:
            random.setstate(kept)
            np.random.set_state(kept_numpy)
