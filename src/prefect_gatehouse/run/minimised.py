"""The minimised data in use: read from its encrypted artifact, as the boundary guard, a suite or the write-back need it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from prefect_gatehouse.manifest.columns import Tokenise
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.values import MinimisedData

if TYPE_CHECKING:
    import pyarrow as pa


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
