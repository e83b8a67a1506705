"""A run whose secret names another database than its manifest ends as denied, with nothing written anywhere."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("hidden", [False, True], ids=["another-file", "behind-an-option"])
def test_an_undeclared_database_is_refused(make_pipeline: Callable[..., Any], stack: Any, tmp_path: Path, hidden: bool) -> None:
    """The address in the block is not the endpoint that people approved: gate 10 refuses it, and the run cleans up."""
    from prefect.blocks.system import Secret

    elsewhere = tmp_path / "elsewhere.sqlite"
    elsewhere.touch()  # to SQLite an empty database
    url = f"sqlite:///file:{elsewhere}?uri=true&x=/target.sqlite" if hidden else f"sqlite:///{elsewhere}"
    name = f"undeclared-{'hidden' if hidden else 'plain'}"
    Secret(value=url).save(name, overwrite=True)  # type: ignore[call-arg]
    pipeline = make_pipeline(name, rounds=1, blocks=(None, f"secret/{name}"))
    run_id = pipeline.complete()
    row = pipeline.ledger.run(run_id)
    assert (row.status, row.ending) == (("failed", None) if hidden else ("ended", "denied")), row
    assert not pipeline.target.exists()
    with contextlib.closing(sqlite3.connect(elsewhere)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchall() == [(0,)]
    assert str(elsewhere) not in row.message
