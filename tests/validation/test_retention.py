"""Pages of suites end when their retention has passed, each with a receipt."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from prefect_gatehouse.ledger.events import ReportDeleted, ReportWritten
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.validation.retention import delete_expired, page_path

LATER = datetime.now(UTC) + timedelta(days=31)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield made
    made.close()


def write(ledger: Ledger, reports: Path, run_id: str, gate: str = "validate_input", days: int = 30, attempt: int = 1) -> Path:
    path = page_path(reports, run_id, gate)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("page")
    with ledger.transaction() as tx:
        tx.append(f"{run_id}:report:{gate}:{attempt}", run_id, ReportWritten(gate=gate, path="p", sha256="0" * 64, owner="o", retain_days=days))
    return path


def test_a_page_goes_when_its_time_has_passed_and_only_then(ledger: Ledger, tmp_path: Path) -> None:
    """Before, nothing happens; after, the page and its folder are gone, the receipt is there, and a second sweep finds nothing to do."""
    path, kept = write(ledger, tmp_path, "run-1"), write(ledger, tmp_path, "run-2", days=60)
    assert delete_expired(ledger, tmp_path, LATER - timedelta(days=2)) == []
    assert path.exists()
    (deletion,) = delete_expired(ledger, tmp_path, LATER)
    assert (deletion.uri, deletion.deleted) == ("report:run-1/validate_input", True)
    assert not path.parent.exists()
    assert kept.exists()
    assert [(event.run_id, event.data["gate"]) for event in ledger.events(kind=ReportDeleted.kind)] == [("run-1", "validate_input")]
    assert delete_expired(ledger, tmp_path, LATER) == []


def test_a_page_that_was_written_again_stays_as_long_as_the_newer_one(ledger: Ledger, tmp_path: Path) -> None:
    """A repeated gate replaces its page; the entry of the older one does not delete the newer."""
    write(ledger, tmp_path, "run-1", days=10)
    path = write(ledger, tmp_path, "run-1", days=90, attempt=2)
    assert delete_expired(ledger, tmp_path, LATER) == []
    assert path.exists()


def test_a_page_that_is_gone_gets_its_receipt(ledger: Ledger, tmp_path: Path) -> None:
    """A sweeper that died between deleting and recording is followed by one that records."""
    write(ledger, tmp_path, "run-1").unlink()
    assert [item.deleted for item in delete_expired(ledger, tmp_path, LATER)] == [True]
    assert len(ledger.events(kind=ReportDeleted.kind)) == 1


def test_a_page_that_can_t_be_deleted_is_told_and_tried_again(ledger: Ledger, tmp_path: Path) -> None:
    """No receipt for what is still there."""
    path = write(ledger, tmp_path, "run-1")
    path.unlink()
    path.mkdir()
    (path / "in the way").touch()
    assert [item.deleted for item in delete_expired(ledger, tmp_path, LATER)] == [False]
    assert ledger.events(kind=ReportDeleted.kind) == []


def test_an_entry_that_leads_elsewhere_deletes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    """The path is made from plain names, so a forged entry can't name another file."""
    outside = tmp_path / "outside.html"
    outside.write_text("not a page")
    with ledger.transaction() as tx:
        tx.append("x:report:y:1", "..", ReportWritten(gate="../outside", path="p", sha256="0" * 64, owner="o", retain_days=1))
    assert [item.deleted for item in delete_expired(ledger, tmp_path / "reports", LATER)] == [False]
    assert outside.exists()
