"""The minimised data in use: read from its encrypted artifact, as the workload, the boundary guard, a suite or the write-back need it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prefect_gatehouse.ledger.events import WorkloadRan
from prefect_gatehouse.manifest.columns import Tokenise
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.values import MinimisedData
from prefect_gatehouse.workload.runner.choose import choose, run_in
from prefect_gatehouse.workload.runner.interface import Limits, Runner, Task

if TYPE_CHECKING:
    import pyarrow as pa

    from prefect_gatehouse.vocabulary import CellName


def cell_of(attempt: Attempt, minimised: MinimisedData) -> CellName:
    """The cell that a workload gets here.

    Raises:
        InputError: The setting names one that is weaker than the tier's weakest.
        Unavailable: There is none that is strong enough.
    """
    setting = attempt.settings.cell
    return choose(None if setting == "auto" else setting, minimised.admitted.tier.cell)


def rounds_of(attempt: Attempt, minimised: MinimisedData, cell: CellName) -> Runner:
    """The workload, ready to run over the minimised data from its start.

    Args:
        attempt: Who drives it.
        minimised: What it is given.
        cell: Where it runs: the one that the plan names.

    Raises:
        Unavailable: There is no such cell here.
    """
    manifest, settings = minimised.admitted.manifest, attempt.settings
    task = Task(
        attempt.parts.workload(minimised.admitted),
        lambda: attempt.store.read(minimised.artifact, attempt.key),
        manifest.workload.parameters,
        {manifest.output.key, *manifest.output.names},
    )
    limits = Limits(settings.cell_cpu_seconds, settings.cell_wall_seconds, settings.cell_memory_mb << 20, settings.cell_file_mb << 20)
    secret = [settings.home, settings.people_folder(), settings.identity_key(), Path.home(), *_prefect_home()]
    return run_in(choose(cell, cell), task, limits, secret)


@contextmanager
def driven(
    attempt: Attempt, minimised: MinimisedData, cell: CellName, step: Literal["plan", "rehearsal", "rounds"], time: int = 1
) -> Iterator[Runner]:
    """A workload that is driven; where it ran and how much of its output was dropped is in the ledger, however it ends.

    Args:
        attempt: Who drives it.
        minimised: What it is given.
        cell: Where it runs.
        step: What for.
        time: Which time in this step.

    Raises:
        Unavailable: There is no such cell here.
    """
    with rounds_of(attempt, minimised, cell) as rounds:
        try:
            yield rounds
        finally:
            attempt.record(f"workload:{attempt.number}:{step}:{time}", WorkloadRan(step=step, cell=cell, suppressed_lines=rounds.suppressed))


def _prefect_home() -> list[Path]:
    named = os.environ.get("PREFECT_HOME")
    return [Path(named)] if named else []


def formless_tokens(attempt: Attempt, minimised: MinimisedData) -> Iterator[pa.Array]:
    """Columns of the minimised data whose tokens only a comparison recognises; read one by one, when the boundary guard asks."""
    columns = minimised.admitted.manifest.data.columns
    formless = {name: column for name, column in columns.items() if isinstance(column, Tokenise) and column.scheme in ("ff1", "permute")}
    names = [name for name, column in formless.items() if not column.authentic]
    if names:
        table = attempt.store.read(minimised.artifact, attempt.key)
        for name in names:
            yield from table.column(name).chunks


def column_of(attempt: Attempt, minimised: MinimisedData, name: str) -> pa.ChunkedArray:
    """A column as the workload was given it; nothing else of the artifact is read."""
    import pyarrow as pa

    return pa.Table.from_batches(list(Batches(attempt, minimised)([name]))).column(0)


class Batches:
    """The minimised data as a source of batches: decrypted as it is read, never as a whole in memory.

    Args:
        attempt: Who reads.
        minimised: What to read.
    """

    def __init__(self, attempt: Attempt, minimised: MinimisedData) -> None:
        self._attempt = attempt
        self._artifact = minimised.artifact
        self.rows = minimised.artifact.rows

    @cached_property
    def schema(self) -> pa.Schema:
        """Of the artifact; without rows there is no batch to ask."""
        if self.rows == 0:
            return self._attempt.store.read(self._artifact, self._attempt.key).schema
        return next(self(self._artifact.columns)).schema

    def __call__(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Batches of these columns, from the first row."""
        return self._attempt.store.stream(self._artifact, self._attempt.key, columns)
