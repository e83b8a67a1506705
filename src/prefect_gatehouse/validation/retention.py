"""The end of a gate's page: deleted once its retention has passed, with a receipt in the ledger (invariant 9)."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.files import safe_name
from prefect_gatehouse.ledger.events import ReportDeleted, ReportWritten
from prefect_gatehouse.ledger.kept_uri import page_uri
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.store.artifact import Deletion
from prefect_gatehouse.store.retention import Until, as_entered


def page_path(reports: Path, run_id: str, gate: str) -> Path:
    """Where the page of a gate lies below the folder of reports.

    Raises:
        InputError: The run or the gate is not a plain name.
    """
    return reports / safe_name(run_id, "the run id") / f"{safe_name(gate, 'the gate')}.html"


def delete_expired(ledger: Ledger, reports: Path, now: datetime, until: Until = as_entered) -> list[Deletion]:
    """Deletes the pages whose retention has passed, and records each deletion; a page that is gone already gets its receipt too.

    A gate that a later attempt repeated has replaced its page, so the newest entry decides.

    Args:
        ledger: Where the pages are entered.
        reports: The folder of reports.
        now: Aware; what counts as passed.
        until: Says how long each stays that was entered until a time.

    Returns:
        What was deleted now, and what could not be.
    """
    at = now.timestamp()
    due = [(key, event) for key, event in kept_pages(ledger).items() if (end := ends(event)) <= at and until(page_uri(*key), end) <= at]
    return [_deleted(ledger, reports, run_id, gate, event) for (run_id, gate), event in due]


def kept_pages(ledger: Ledger, run_id: str | None = None) -> dict[tuple[str, str], Event[ReportWritten]]:
    """The newest entry of each page that has not been deleted, by run and gate; of one run where given."""
    done = {(event.run_id, event.fact.gate) for event in ledger.facts(ReportDeleted, run_id)}
    newest = {(event.run_id, event.fact.gate): event for event in ledger.facts(ReportWritten, run_id)}
    return {key: event for key, event in newest.items() if key not in done}


def ends(event: Event[ReportWritten]) -> float:
    """The end of a page that was entered with it, seconds since the epoch."""
    return (event.when + timedelta(days=event.fact.retain_days)).timestamp()


def _deleted(ledger: Ledger, reports: Path, run_id: str, gate: str, event: Event[ReportWritten]) -> Deletion:
    uri = page_uri(run_id, gate)
    try:
        path = page_path(reports, run_id, gate)
        path.unlink(missing_ok=True)
        with suppress(OSError):  # another gate's page is still there
            path.parent.rmdir()
        with ledger.transaction() as tx:
            tx.append(f"{run_id}:report-deleted:{gate}", run_id, ReportDeleted(gate=gate, sha256=event.fact.sha256))
    except (OSError, GatehouseError):
        return Deletion(uri=uri, deleted=False, note="the page can't be deleted; the sweeper tries again")
    return Deletion(uri=uri, deleted=True)
