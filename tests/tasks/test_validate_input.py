"""Gate 3: data that fails its suite goes no further, and the page that tells why stays."""

from __future__ import annotations

import pytest
from tests.support.gates import Desk, Fetching
from tests.support.plans import RUN

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.run.values import MinimisedData
from prefect_gatehouse.tasks.minimise import minimise
from prefect_gatehouse.tasks.validate_input import validate_input


def minimised(desk: Desk) -> MinimisedData:
    return minimise(desk.attempt, desk.admitted(), Fetching())


def page(desk: Desk) -> str:
    """The page that the ledger names."""
    (written,) = desk.ledger.events(RUN, "report-written")
    return (desk.settings.home / str(written.data["path"])).read_text()


def test_data_that_passes(desk: Desk) -> None:
    """Every expectation of the suite was looked at."""
    report = validate_input(desk.attempt, minimised(desk)).report
    assert (report.success, report.rows, report.declared, report.loaded) == (True, 3, 2, 2)
    assert "expect_table_row_count_to_be_between" in page(desk)


def test_data_that_fails(desk: Desk) -> None:
    """The expectation is named, no value is; there is no value to go on with, and the page is there for whoever asks why."""
    (desk.folder / "source.csv").write_text("subject,x\n" + "".join(f"CANARY-{number},0.5\n" for number in range(11)))
    with pytest.raises(DataRefused, match=r"the suite input.json failed: expect_table_row_count_to_be_between\(table\)"):
        validate_input(desk.attempt, minimised(desk))
    assert desk.gates()[-1] == "minimise" and validate_input.kept(desk.attempt) is None
    assert "expect_table_row_count_to_be_between" in page(desk) and "CANARY" not in page(desk)
