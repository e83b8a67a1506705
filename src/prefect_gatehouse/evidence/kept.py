"""Whether what is kept beside the events is what they say: encrypted artifacts, the journal's payloads and results, the gates' pages.

No key is needed: the events have the digests of what lies there. What is not there any more, such as after a clean-up, is no problem here.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select

from prefect_gatehouse.canonical import sha256_bytes, sha256_file
from prefect_gatehouse.errors import GatehouseError, Tampered
from prefect_gatehouse.ledger.events import GatePassed, ReportWritten
from prefect_gatehouse.ledger.jobs import JobSettled, ResultReused, SubmissionIntended
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.ledger.tables import submissions
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.values import MinimisedData, RawOutcome
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.store.artifact import Artifact
from prefect_gatehouse.store.artifacts import ArtifactStore
from prefect_gatehouse.validation.retention import page_path


def problems(settings: Settings, ledger: Ledger) -> Iterator[str]:
    """What differs from its digest in the events; of events that verify."""
    yield from _artifacts(settings, ledger)
    yield from _journal(ledger)
    yield from _pages(settings, ledger)


def _artifacts(settings: Settings, ledger: Ledger) -> Iterator[str]:
    store = ArtifactStore(settings.home / "artifacts")
    for event in ledger.facts(GatePassed):
        try:
            artifact = _artifact(Chain(ledger, event.run_id), event.fact.gate)
            if artifact is not None and store.digest(artifact.uri) not in {None, artifact.sha256}:
                yield f"event {event.seq}: the bytes of {artifact.uri} are not those that were stored"
        except GatehouseError as error:
            yield f"event {event.seq}: {error.message}"


def _artifact(chain: Chain, gate: str) -> Artifact | None:
    """What a gate stored, None where it stores nothing."""
    if gate == MinimisedData.gate and (minimised := chain.read(gate, MinimisedData)) is not None:
        return minimised.artifact
    if gate == RawOutcome.gate and (raw := chain.read(gate, RawOutcome)) is not None:
        return raw.frame
    return None


def _journal(ledger: Ledger) -> Iterator[str]:
    said = {event.fact.key: event for event in ledger.facts(SubmissionIntended)}
    given: dict[str, Event[JobSettled] | Event[ResultReused]] = {event.fact.key: event for event in ledger.facts(JobSettled)}
    given |= {event.fact.key: event for event in ledger.facts(ResultReused)}
    try:
        with ledger.reading() as connection:
            for row in connection.execute(select(submissions.c.key, submissions.c.payload, submissions.c.result)):
                for what, data, event in (("payload", row.payload, said.get(row.key)), ("result", row.result, given.get(row.key))):
                    if data is not None and event is not None and sha256_bytes(data) != event.fact.sealed_sha256:
                        yield f"event {event.seq}: the journal's {what} of {row.key} is not the one that was stored"
    except Tampered as error:
        yield f"{error.where}: {error.message}"


def _pages(settings: Settings, ledger: Ledger) -> Iterator[str]:
    # A later attempt writes a page anew, so the last word counts.
    newest = {(event.run_id, event.fact.gate): event for event in ledger.facts(ReportWritten)}
    for (run_id, gate), event in newest.items():
        try:
            if sha256_file(page_path(settings.home / "reports", run_id, gate)) != event.fact.sha256:
                yield f"event {event.seq}: the page {event.fact.path} is not the one that was written"
        except FileNotFoundError:
            continue
        except (OSError, GatehouseError):
            yield f"event {event.seq}: the page {event.fact.path} can't be read"
