"""A simulator stood in for a device: its label reaches every row and the receipt."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.braket_gates import BACKEND, desk_at
from tests.support.gates import Fetching

from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.tasks.await_release import await_release
from prefect_gatehouse.tasks.validate_output import validate_output
from prefect_gatehouse.tasks.write_back import write_back
from prefect_gatehouse.testing import BraketEmulator


def test_a_label_reaches_the_last_row(tmp_path: Path, braket: BraketEmulator) -> None:
    """The device is offline by the time of the first round: nothing is sent there, and whoever finds a row knows what it came from."""
    desk = desk_at(tmp_path, braket, backends=f"{BACKEND}, aer")
    with closing(desk.ledger):
        approved = desk.approved()
        braket.device(status="OFFLINE")
        outcome = run_rounds(desk.attempt, approved)
        receipt = write_back(desk.attempt, await_release(desk.attempt, validate_output(desk.attempt, outcome)), Fetching())
        assert (outcome.label, receipt.label, braket.tasks()) == ("simulator", "simulator", [])
        with closing(sqlite3.connect(desk.folder / "target.sqlite")) as connection:
            assert connection.execute("SELECT DISTINCT _gatehouse_label FROM results").fetchall() == [("simulator",)]
            assert connection.execute("SELECT label FROM _gatehouse_receipts").fetchall() == [("simulator",)]
