"""A desk for each test; and one run whose rounds are over, for tests of the gates behind them that leave it as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.gates import Collected, Desk

from prefect_gatehouse.flows.rounds import run_rounds


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A run of the small project, of which no gate has been passed."""
    made = Desk(tmp_path, backends="aer")
    with closing(made.ledger):
        yield made


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collected]:
    """A run whose workload has returned."""
    made = Desk(tmp_path_factory.mktemp("collected"), backends="aer")
    with closing(made.ledger):
        yield Collected(made, run_rounds(made.attempt, made.approved()))
