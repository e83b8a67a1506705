"""Gate 3: the minimised data passes its suite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.values import MinimisedData, ValidatedData
from prefect_gatehouse.store.artifact import Artifact
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.tasks.suite_report import publish, refuse_failed
from prefect_gatehouse.validation.suite import load_suite
from prefect_gatehouse.validation.validate import validate


@gate(ValidatedData)
def validate_input(attempt: Attempt, minimised: MinimisedData) -> ValidatedData:
    """Runs the input suite on what is left of the data; the result is free of values.

    Raises:
        DataRefused: An expectation failed, or the suite could not fail.
    """
    suite = load_suite(Path(minimised.admitted.folder) / minimised.admitted.manifest.data.suite)
    report = validate(suite, _Stored(attempt, minimised.artifact))
    publish(attempt, "validate_input", report, minimised.admitted.manifest)
    refuse_failed(report, "validate_input")
    return ValidatedData(minimised=minimised, report=report)


class _Stored:
    """An artifact as a source of batches: decrypted as it is read, never as a whole in memory."""

    def __init__(self, attempt: Attempt, artifact: Artifact) -> None:
        self._attempt = attempt
        self._artifact = artifact
        self.rows = artifact.rows

    @cached_property
    def schema(self) -> pa.Schema:
        """Of the artifact; without rows there is no batch to ask."""
        if self.rows == 0:
            return self._attempt.store.read(self._artifact, self._attempt.key).schema
        return next(self(self._artifact.columns)).schema

    def __call__(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Batches of these columns, from the first row."""
        return self._attempt.store.stream(self._artifact, self._attempt.key, columns)
