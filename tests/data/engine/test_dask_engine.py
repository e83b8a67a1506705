"""The Dask engine on a real local cluster."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.data.engine.bench import ROOT_FOLDER, Home, keys_held, parquet, rows

from prefect_gatehouse.data.engine import remote
from prefect_gatehouse.errors import Unavailable
from prefect_gatehouse.tasks.dask_pool import DaskPool


@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_local_cluster_gives_what_one_process_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two Dask workers: same rows, digest and measures as in process; the workers hold their keys no longer than the pool."""
    monkeypatch.syspath_prepend(str(ROOT_FOLDER))
    table = rows(3000)
    expected, there = Home(tmp_path / "one").minimise(parquet(tmp_path, table, 300))
    with DaskPool(2) as pool:
        result, found = Home(tmp_path / "two").minimise(parquet(tmp_path, table, 300), pool=pool)
        assert found.equals(there)
        assert (result.data_digest, result.k, result.l, result.source_rows) == (expected.data_digest, expected.k, expected.l, expected.source_rows)
        assert 1 <= result.workers <= 2
        client = pool._runner.client
        assert sum(client.run(keys_held).values()) >= 1
        client.run(remote.forget)
        assert sum(client.run(keys_held).values()) == 0


@pytest.mark.timeout(120)
def test_an_address_where_nothing_listens_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """No scheduler: one resumable error that says which setting to look at."""
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(Unavailable, match="GATEHOUSE_DASK_ADDRESS"),
        DaskPool(1, "tcp://127.0.0.1:9"),
    ):
        pass
