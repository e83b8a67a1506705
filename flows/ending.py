"""Ending a run: the decision, once, then gate 11 and a signed head over everything that has happened."""

from __future__ import annotations

from prefect_gatehouse.ledger.events import EndingDecided
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.values import CleanupReceipt
from prefect_gatehouse.tasks.clean_up import clean_up
from prefect_gatehouse.tasks.fetch_credential import fetch_credential
from prefect_gatehouse.vocabulary import Ending


def end(attempt: Attempt, ending: Ending, reason: str = "") -> CleanupReceipt:
    """Decides the ending, once, then cleans up and signs a head over what has happened.

    The decision comes first: should cleaning up fail, whoever comes next ends the run in the same way.
    """
    attempt.record("ending", EndingDecided(ending=ending, reason=reason[:1000]))
    receipt = clean_up(attempt, decided_ending(attempt) or ending, fetch_credential)
    attempt.seal()
    return receipt


def decided_ending(attempt: Attempt) -> Ending | None:
    """How the run ends, where that has been decided."""
    event = attempt.find("ending", EndingDecided)
    return event.fact.ending if event is not None else None
