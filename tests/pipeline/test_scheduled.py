"""What runs by itself: Prefect's own scheduler makes the sweeper's runs, and a real worker starts them when their time has come."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.sweeps import over, scheduled
from tests.support.waiting import wait_for

from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.settings import Settings

FILE = Path(__file__).resolve().parents[2] / "deployments" / "prefect.yaml"

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def ledger(prefect_home: Path) -> Iterator[Ledger]:
    """The ledger of the worker's home."""
    settings = Settings(home=prefect_home / "gatehouse-home")
    settings.folder("")
    with closing(Ledger(settings.ledger())) as opened:
        yield opened


def test_the_scheduler_makes_the_runs_of_the_file(worker: None) -> None:
    """As users deploy it: the server itself makes the sweeper's next runs, each at 17 past an hour."""
    wait_for(lambda: len(scheduled("clean-up")) >= 3, 150, every=0.5)
    times = sorted(run.expected_start_time for run in scheduled("clean-up"))
    assert {moment.minute for moment in times} == {17}
    assert {(later - earlier).total_seconds() for earlier, later in pairwise(times)} == {3600.0}
    # One that fell due before any worker was there is late, and stays the scheduler's; the next ones are ahead.
    assert sum(moment > datetime.now(UTC) - timedelta(minutes=5) for moment in times) >= 2


def test_a_scheduled_sweep_runs_and_ends_what_is_over(worker: None, stack: Any, ledger: Ledger, tmp_path: Path) -> None:
    """Every few seconds instead of hourly, nothing else changed: nobody calls the sweeper, and a run whose time is over is ended."""
    run_id = over(ledger)
    project = yaml.safe_load(FILE.read_text())
    (sweeper,) = (item for item in project["deployments"] if item["name"] == "clean-up")
    often = {**sweeper, "name": "clean-up-often", "schedules": [{"interval": 15}]}
    (tmp_path / "prefect.yaml").write_text(yaml.safe_dump({**project, "deployments": [often]}))
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(tmp_path / "prefect.yaml")]
    done = subprocess.run(command, cwd=tmp_path, env=stack.process_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        wait_for(lambda: any(run.state_name == "Completed" for run in scheduled("clean-up-often")), 150, every=0.5)
        run = next(run for run in scheduled("clean-up-often") if run.state_name == "Completed")
    finally:
        _delete("clean-up/clean-up-often")
    assert run.start_time >= run.expected_start_time - timedelta(seconds=5)
    assert run.infrastructure_pid is not None  # a worker's process, not a caller's
    swept = ledger.run(run_id)
    assert swept is not None and swept.ending == "expired"


def test_the_sweeper_as_a_command(stack: Any, ledger: Ledger) -> None:
    """`gatehouse clean-up`, as an operator types it, ends the same."""
    run_id = over(ledger)
    command = [str(Path(sys.executable).parent / "gatehouse"), "clean-up", "--json"]
    done = subprocess.run(command, env=stack.process_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"run": run_id, "ending": "expired", "note": ""} in json.loads(done.stdout)
    swept = ledger.run(run_id)
    assert swept is not None and swept.ending == "expired"


def _delete(name: str) -> None:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.delete_deployment(client.read_deployment_by_name(name).id)
