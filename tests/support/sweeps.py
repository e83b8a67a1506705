"""What the sweeper finds, and the runs of it that the server's own scheduler made."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from prefect_gatehouse.ledger.events import RunSuspended
from prefect_gatehouse.ledger.store import Ledger


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
