"""A whole run whose data other processes minimise."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("engine", ["processes", "dask"])
def test_workers_minimise_and_the_ledger_says_so(pipeline: Any, engine: str) -> None:
    """A run with workers ends like any other; the ledger has one entry of who read keys, with the block and no key; nothing is left behind."""
    text = pipeline.manifest.read_text()
    pipeline.manifest.write_text(text.replace("  shots: 64\n", f"  shots: 64\n  data_engine: {engine}\n  data_workers: 1\n"))
    run_id = pipeline.complete()
    assert pipeline.state(run_id).is_completed(), pipeline.log.read_text()
    assert {row[0] for row in pipeline.rows()} == pipeline.source_subjects()
    (event,) = pipeline.ledger.events(run_id, "workers-read-keys")
    assert event.data["engine"] == engine
    assert event.data["workers"] == 1
    assert event.data["root_key"] is True
    assert set(event.data) == {"engine", "workers", "root_key", "block"}
    assert pipeline.left_behind() == []
