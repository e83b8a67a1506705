"""Whether a backend is offered a round now: it is online, its queue is short enough, and it has not just refused again and again.

The circuit breaker (Nygard, Release It!, 2018) has no state of its own: it is read from the ledger's events each time. After three rounds in a row
that a backend definitely refused within half an hour, of whichever runs, it is left alone for ten minutes; the next round is the probe, whose
acceptance closes the breaker and whose refusal opens it again.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from prefect_gatehouse.ledger.jobs import BackendPassedOver, JobSubmitted, SubmissionRefused
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.plurals import counted
from prefect_gatehouse.providers.interface import Backend
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.planned import BackendSnapshot
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.vocabulary import Label

FAILURES, WITHIN_SECONDS, REST_SECONDS = 3, 1800.0, 600.0
AGAIN_SECONDS = 900.0
"""When a run that no backend takes now is tried again: a device's maintenance takes hours, a restart of the run costs seconds."""
_NEWEST = 500  # refusals that are read: a round of many jobs has one for each


def passed_over(
    attempt: Attempt, backend: str, provider: Backend, lease: CredentialLease, *, round_number: int, position: int, max_queue: int | None
) -> str:
    """Why a backend is not offered a round now, noted in the ledger; empty where it is.

    Raises:
        Unavailable: The provider does not answer.
    """
    fact = BackendPassedOver(round=round_number, fallback=position, backend=backend, because="failures")
    until = resting_until(attempt.ledger, backend, time.time())
    if until is not None:
        at = f"{datetime.fromtimestamp(until, UTC):%H:%M} UTC"
        return _noted(attempt, fact.model_copy(update={"detail": f"refused {counted(FAILURES, 'round')} in a row, is left alone until {at}"}))
    state = provider.state(lease)
    if not state.online:
        return _noted(attempt, fact.model_copy(update={"because": "offline", "detail": "is offline"}))
    if max_queue is not None and state.queue is not None and state.queue > max_queue:
        detail = f"has {counted(state.queue, 'job')} in its queue, execution.max_queue is {max_queue}"
        return _noted(attempt, fact.model_copy(update={"because": "queue", "detail": detail}))
    return ""


def _noted(attempt: Attempt, fact: BackendPassedOver) -> str:
    attempt.record(f"passed-over:{attempt.number}:{fact.round}:{fact.fallback}", fact)
    return f"{fact.backend} {fact.detail}"


def resting_until(ledger: Ledger, backend: str, now: float) -> float | None:
    """Until when the breaker of a backend is open, seconds since the epoch; None where it is not."""
    rounds: dict[tuple[str, str, str], tuple[int, float]] = {}
    for event in ledger.newest(SubmissionRefused, limit=_NEWEST):
        if event.fact.backend == backend:
            run_id, number, _, fallback = event.fact.key.split(":")
            rounds.setdefault((run_id, number, fallback), (event.seq, event.when.timestamp()))
    if len(rounds) < FAILURES:
        return None
    last = list(rounds.values())[:FAILURES]
    newest, (first, began) = last[0][1], last[-1]
    if newest - began > WITHIN_SECONDS or now >= newest + REST_SECONDS:
        return None
    accepted = any(event.fact.backend == backend for event in ledger.newest(JobSubmitted, behind=first))
    return None if accepted else newest + REST_SECONDS


def label_of(backends: tuple[BackendSnapshot, ...], position: int) -> Label:
    """What stands for a round to the last row: which backend of the plan gave it."""
    if position == 0:
        return "primary"
    if backends[position].simulator:
        return "fallback" if backends[0].simulator else "simulator"
    return "substitute"
