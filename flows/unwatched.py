"""Engines of our own making do not watch Prefect's events for somebody who suspends their run: each gate asks Prefect for its state anyway."""

from __future__ import annotations

from prefect.client.schemas.objects import FlowRun


def unwatched(flow_run: FlowRun) -> FlowRun:
    """A run as an engine is to begin it without a watch.

    The engine of a deployed run opens a socket and waits until the server has answered on it, a sixth of a second; an event that comes late then
    stops a run that has gone on meanwhile. What the flow sees as its run the engine reads anew, with its deployment.
    """
    return flow_run.model_copy(update={"deployment_id": None})
