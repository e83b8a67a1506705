"""What the sweeper finds, the runs of it that the server's own scheduler made, and the scheduled flow itself at a time of a test's."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from prefect_gatehouse.ledger.events import RunSuspended
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.settings import Settings


def scheduled(name: str) -> list[Any]:
    """The runs of a deployment that the server's scheduler made."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[name])))
    return [run for run in found if run.auto_scheduled]


def over(ledger: Ledger) -> str:
    """A run that waited for an approval until a second ago, and that nobody has ended."""
    run_id = str(uuid4())
    ledger.begin_attempt(run_id)
    with ledger.transaction() as tx:
        tx.append(f"{run_id}:suspended", run_id, RunSuspended(until=time.time() - 1), attempt=1)
    return run_id


def sweeper(settings: Settings, told: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Runs the flow that is scheduled by the hour, as its worker does: by its settings from the environment; it needs a server.

    Args:
        settings: The installation.
        told: Gets the rows of its table.
        monkeypatch: Sets environment and clock.
    """
    from prefect_gatehouse.flows.clean_up import clean_up

    monkeypatch.setenv("GATEHOUSE_HOME", str(settings.home))
    for name in ("tiers", "classes", "policies"):
        monkeypatch.setenv(f"GATEHOUSE_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setattr("prefect_gatehouse.flows.looking.create_table_artifact", lambda table, **_: told.extend(table))

    def sweep(at: float) -> None:
        monkeypatch.setattr("prefect_gatehouse.flows.clean_up.time", SimpleNamespace(time=lambda: at))
        clean_up()

    return sweep
