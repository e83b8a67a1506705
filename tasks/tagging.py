"""The flow run's name and its lineage tags: Prefect replaces the list, tasks do not inherit it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound

from prefect_gatehouse.evidence.tags import tags_of
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.values import AdmittedRun, Job, run_name


def tag_flow_run(attempt: Attempt, values: Iterable[object]) -> None:
    """Adds what these values tell to the flow run's tags, and names an admitted run after its pipeline and ticket, however it was started."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    # A run that somebody deleted in Prefect has no tags any more, and still ends in the ledger as it should.
    with get_client(sync_client=True) as client, suppress(ObjectNotFound):
        present = client.read_flow_run(context.flow_run.id)
        wanted = {*present.tags, *tags_of(attempt.run_id, attempt.settings.environment, values)}
        if wanted != set(present.tags):
            admitted = attempt.chain.read(AdmittedRun.gate, AdmittedRun)
            name = run_name(admitted.manifest) if admitted is not None else present.name
            client.update_flow_run(context.flow_run.id, name=name, tags=sorted(wanted))


def tag_with_jobs(attempt: Attempt) -> None:
    """Adds what the run is about and every job that it has, as this process leaves it."""
    made = [entry for entry in journal.entries(attempt) if entry.handle or entry.state == "reused"]
    jobs = tuple(Job(key=entry.key, backend=entry.backend, handle=entry.handle or "", circuits=entry.circuits) for entry in made)
    tag_flow_run(attempt, (attempt.chain.read(AdmittedRun.gate, AdmittedRun), jobs))
