"""The client of Prefect's API: of one flow run one is enough, and each that is made reads the machine's certificates for 30 ms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import SyncPrefectClient
from prefect.context import SyncClientContext


@contextmanager
def api() -> Iterator[SyncPrefectClient]:
    """The client that the flow run's engine has; outside a flow run one of its own."""
    with SyncClientContext.get_or_create() as context:
        yield context.client
