"""Lineage tags on the flow run: Prefect replaces the list, tasks do not inherit it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound

from prefect_gatehouse.evidence.tags import tags_of
from prefect_gatehouse.run.attempt import Attempt


def tag_flow_run(attempt: Attempt, values: Iterable[object]) -> None:
    """Adds what these values tell to the flow run's tags."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    # A run that somebody deleted in Prefect has no tags any more, and still ends in the ledger as it should.
    with get_client(sync_client=True) as client, suppress(ObjectNotFound):
        present = set(client.read_flow_run(context.flow_run.id).tags)
        wanted = present | tags_of(attempt.run_id, attempt.settings.environment, values)
        if wanted != present:
            client.update_flow_run(context.flow_run.id, tags=sorted(wanted))
