"""The journal's installation as a fixture."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journal.desk import Desk


@pytest.fixture(params=["sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """An installation with one attempt that drives one run, on each of the two databases."""
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    made = Desk(tmp_path / "home", str(server.url(server.new_database())) if server is not None else "")
    with contextlib.closing(made.ledger):
        yield made
