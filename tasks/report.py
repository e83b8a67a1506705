"""What a gate leaves for people to read: a page below GATEHOUSE_HOME, and the same as an artifact in the Prefect UI.

The page is evidence: it holds no value, and stays when the run is cleaned up, also where the gate stopped the run, which is when somebody
wants to read it. The ledger has its digest, its owner and how long it is kept: as long as the manifest keeps evidence.
"""

from __future__ import annotations

from collections.abc import Callable

from prefect.artifacts import create_markdown_artifact
from prefect.context import TaskRunContext

from prefect_gatehouse.canonical import sha256_bytes
from prefect_gatehouse.errors import DataRefused, StorageError
from prefect_gatehouse.files import replace_file
from prefect_gatehouse.ledger.events import ReportWritten
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.validation.page import markdown, page
from prefect_gatehouse.validation.report import SuiteReport
from prefect_gatehouse.validation.retention import page_path


def publish(attempt: Attempt, gate: str, manifest: Manifest, content: str, artifact: Callable[[str], str], *, key: str, description: str) -> None:
    """Writes a page, enters it in the ledger and shows an artifact on the task run; a repeated attempt replaces the page.

    Args:
        attempt: Who writes.
        gate: Whose page it is.
        manifest: Says who owns the page, and how long evidence is kept.
        content: The page, as HTML.
        artifact: Gives the artifact's Markdown; told where the page lies.
        key: The artifact's.
        description: The artifact's.

    Raises:
        StorageError: The page can't be written.
    """
    path = page_path(attempt.settings.folder("reports"), attempt.run_id, gate)
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        replace_file(path, content.encode())
    except OSError as error:
        raise StorageError(
            f"the report can't be written: {error.strerror or 'input/output error'}", where=gate, advice="free space, then resume the run"
        ) from None
    written = ReportWritten(
        gate=gate,
        path=f"reports/{attempt.run_id}/{path.name}",
        sha256=sha256_bytes(content.encode()),
        owner=manifest.owner,
        retain_days=manifest.retention.evidence.days,
    )
    attempt.record(f"report:{gate}:{attempt.number}", written)
    if TaskRunContext.get() is not None:
        create_markdown_artifact(key=key, markdown=artifact(str(path)), description=description)


def publish_suite(attempt: Attempt, gate: str, report: SuiteReport, manifest: Manifest) -> None:
    """Publishes a suite's report.

    Args:
        attempt: Who writes.
        gate: Whose report it is.
        report: What to show.
        manifest: As for any page.

    Raises:
        StorageError: The page can't be written.
    """
    publish(
        attempt,
        gate,
        manifest,
        page(report, gate=gate, run=attempt.run_id),
        lambda path: markdown(report, page_at=path),
        key=f"suite-{gate.replace('_', '-')}",
        description=f"Suite of {gate}, free of values",
    )


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
