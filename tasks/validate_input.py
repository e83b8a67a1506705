"""Gate 3: the minimised data passes its suite."""

from __future__ import annotations

from pathlib import Path

from prefect_gatehouse.attempt import Attempt
from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.validation.suite import load_suite
from prefect_gatehouse.validation.validate import validate
from prefect_gatehouse.values import MinimisedData, SuiteReport, ValidatedData


@gate(ValidatedData)
def validate_input(attempt: Attempt, minimised: MinimisedData) -> ValidatedData:
    """Runs the input suite on what is left of the data; the result is free of values.

    Raises:
        DataRefused: An expectation failed, or the suite could not fail.
    """
    suite = load_suite(Path(minimised.admitted.folder) / minimised.admitted.manifest.data.suite)
    report = validate(suite, attempt.store.read(minimised.artifact, attempt.key).to_pandas())
    refuse_failed(report, "validate_input")
    return ValidatedData(minimised=minimised, report=report)


def refuse_failed(report: SuiteReport, where: str) -> None:
    """Stops at a report that is no success.

    Raises:
        DataRefused: Names the expectations that failed and their columns, nothing of the data.
    """
    if report.success:
        return
    failed = [f"{item.type}({item.column or 'table'}){' errored' if item.errored else ''}" for item in report.results if not item.success]
    raise DataRefused(
        f"the suite {report.suite} failed: {', '.join(failed[:10]) or 'nothing was checked'}",
        where=where,
        advice="mend the data or the suite, then start a new run",
    )
