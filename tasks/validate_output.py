"""Gate 9: what came back passes the quantum-shaped checks, then the output suite, and is no more than its declared types and this run's keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect_gatehouse.data.digest import table_digest
from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.run import journal, outcome_page
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.counts import counts_of
from prefect_gatehouse.run.leaving import free_text
from prefect_gatehouse.run.minimised import column_of
from prefect_gatehouse.run.outcome import outcome_of
from prefect_gatehouse.run.re_identification import refuse_strange
from prefect_gatehouse.run.returned import refuse_other_columns
from prefect_gatehouse.run.values import FrameColumn, FrameShape, RawOutcome, RoundOutcome, ValidatedOutcome
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.tasks.report import publish, publish_suite, refuse_failed
from prefect_gatehouse.validation.declared_types import refuse_undeclared
from prefect_gatehouse.validation.outcome import check_counts
from prefect_gatehouse.validation.report import CheckResult
from prefect_gatehouse.validation.validate import validate
from prefect_gatehouse.workload.plain_form import clbits_of

if TYPE_CHECKING:
    import pyarrow as pa


@gate(ValidatedOutcome)
def validate_output(attempt: Attempt, raw: RawOutcome) -> ValidatedOutcome:
    """Checks every round's counts against the circuits that were sent, then the frame against the output suite.

    Raises:
        DataRefused: Counts do not belong to the circuits, columns are not the declared ones, an expectation failed, a column holds something
            else than its declared type, or a key is none of those that the workload was given.
        PlanChanged: The suite is another one than was approved.
        StorageError: The page can't be written.
        Tampered: Stored counts are not the ones that were collected.
    """
    admitted = raw.approved.plan.admitted
    manifest = admitted.manifest
    checks = tuple(check for outcome in raw.rounds for check in _counts(attempt, outcome))
    failed = sorted({check.type for check in checks if not check.success})
    if failed or not checks:
        raise DataRefused(
            f"the counts are not an answer to the circuits: {', '.join(failed)}",
            where="validate_output",
            advice="look at the backend, then start a new run",
        )
    table = attempt.store.read(raw.frame, attempt.key)
    refuse_other_columns(table, manifest.output)
    report = validate(attempt.parts.output_suite(admitted), table)
    publish_suite(attempt, "validate_output", report, manifest)
    refuse_failed(report, "validate_output")
    refuse_undeclared(table, manifest.output, free_text=free_text(admitted.tier.name))
    minimised = raw.approved.plan.validated.minimised
    refuse_strange(table.column(manifest.output.key), column_of(attempt, minimised, manifest.output.key), where="output.key")
    shape = _shape(table) if admitted.tier.write_back_approvers else None
    validated = ValidatedOutcome(raw=raw, checks=checks, report=report, shape=shape)
    if shape is not None:
        _publish(attempt, validated)
    return validated


def _shape(table: pa.Table) -> FrameShape:
    """What those who release it may know of it."""
    columns = tuple(FrameColumn(name=field.name, type=str(field.type)) for field in table.schema)
    return FrameShape(columns=columns, rows_digest=table_digest(table), checked_at=datetime.now(UTC))


def _publish(attempt: Attempt, validated: ValidatedOutcome) -> None:
    """What people are asked to release is left as a page before anybody is asked."""
    outcome = outcome_of(validated)
    publish(
        attempt,
        "await_release",
        outcome.plan.admitted.manifest,
        outcome_page.page(outcome),
        lambda path: outcome_page.markdown(outcome, page_at=path),
        key="outcome",
        description="What a release is asked for, free of values",
    )


def _counts(attempt: Attempt, outcome: RoundOutcome) -> tuple[CheckResult, ...]:
    number = outcome.submission.round
    used = {job.key for job in outcome.submission.jobs}
    sent = [entry for entry in journal.entries(attempt, number) if entry.key in used]
    widths = [width for entry in sent for width in clbits_of(journal.payload_of(attempt, entry))]
    return check_counts(counts_of(attempt, outcome), widths, outcome.shots)
