"""Gate 9: what came back passes the quantum-shaped checks, then the output suite."""

from __future__ import annotations

from pathlib import Path

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.counts import counts_of
from prefect_gatehouse.run.values import RawOutcome, RoundOutcome, ValidatedOutcome
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.tasks.suite_report import publish, refuse_failed
from prefect_gatehouse.validation.outcome import check_counts
from prefect_gatehouse.validation.report import CheckResult
from prefect_gatehouse.validation.suite import load_suite
from prefect_gatehouse.validation.validate import validate
from prefect_gatehouse.workload.features import as_frame
from prefect_gatehouse.workload.plain_form import decode


@gate(ValidatedOutcome)
def validate_output(attempt: Attempt, raw: RawOutcome) -> ValidatedOutcome:
    """Checks every round's counts against the circuits that were sent, then the frame against the output suite.

    Raises:
        DataRefused: Counts do not belong to the circuits, columns are not the declared ones, or an expectation failed.
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
    frame = as_frame(table)
    wanted = {manifest.output.key, *manifest.output.columns}
    if set(frame.columns) != wanted:
        raise DataRefused(
            f"the workload's frame has not exactly the declared columns: missing {sorted(wanted - set(frame.columns))}, "
            f"{len(set(frame.columns) - wanted)} more",
            where="output.columns",
            advice="return the key and the columns that the manifest declares",
        )
    if frame[manifest.output.key].isna().any() or frame[manifest.output.key].duplicated().any():
        raise DataRefused("the key of the workload's frame is empty or repeated", where="output.key", advice="return one row a key")
    report = validate(load_suite(Path(admitted.folder) / manifest.output.suite), table)
    publish(attempt, "validate_output", report, manifest)
    refuse_failed(report, "validate_output")
    return ValidatedOutcome(raw=raw, checks=checks, report=report)


def _counts(attempt: Attempt, outcome: RoundOutcome) -> tuple[CheckResult, ...]:
    number = outcome.submission.round
    used = {job.key for job in outcome.submission.jobs}
    sent = [entry for entry in journal.entries(attempt, number) if entry.key in used]
    widths = [width for entry in sent for width in decode(journal.payload_of(attempt, entry))[0].clbits()]
    return check_counts(counts_of(attempt, outcome), widths, outcome.shots)
