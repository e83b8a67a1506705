"""Gate 3: the minimised data passes its suite."""

from __future__ import annotations

from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.minimised import Batches
from prefect_gatehouse.run.values import MinimisedData, ValidatedData
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.tasks.report import publish_suite, refuse_failed
from prefect_gatehouse.validation.validate import validate


@gate(ValidatedData)
def validate_input(attempt: Attempt, minimised: MinimisedData) -> ValidatedData:
    """Runs the input suite on what is left of the data; the result is free of values.

    Raises:
        DataRefused: An expectation failed, or the suite could not fail.
    """
    suite = attempt.parts.input_suite(minimised.admitted)
    report = validate(suite, Batches(attempt, minimised))
    publish_suite(attempt, "validate_input", report, minimised.admitted.manifest)
    refuse_failed(report, "validate_input")
    return ValidatedData(minimised=minimised, report=report)
