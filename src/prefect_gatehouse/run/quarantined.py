"""Whether a run may go on, by the quarantines that hold: asked in the transaction of what would come next, so that none comes in between."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from prefect_gatehouse.ledger.answers import Consent
from prefect_gatehouse.ledger.store import Transaction
from prefect_gatehouse.policy.quarantine import Quarantines
from prefect_gatehouse.run.holding import holding

if TYPE_CHECKING:
    from prefect_gatehouse.run.attempt import Attempt


def quarantines(tx: Transaction, attempt: Attempt) -> Quarantines:
    """Those that hold; for a dry run the installation's, whose own ledger is empty.

    The registry is the one of now: a release is no part of a plan, and one whose person was revoked since does not stand.
    """
    return holding(attempt.settings, tx if attempt.history is attempt.ledger else attempt.history)


def refuse_quarantined(tx: Transaction, attempt: Attempt, *backends: str) -> None:
    """Stops a run that is in quarantine, or one of these backends that is.

    Raises:
        Quarantined: Names what is, since when and by whom.
    """
    _refuse(quarantines(tx, attempt), tx, attempt, backends)


def _refuse(held: Quarantines, tx: Transaction, attempt: Attempt, backends: Collection[str]) -> None:
    admitted = tx.admission(attempt.run_id)
    if admitted is not None:
        held.refuse(admitted)
    for name in backends:
        held.refuse_backend(name)


def refuse_quarantined_run(attempt: Attempt, *backends: str) -> None:
    """The same in a transaction of its own, right before something that writes no event; a yes of somebody in quarantine carries nothing.

    Raises:
        Quarantined: Names what is, since when and by whom.
        Superseded: Another process drives the run, or it is closed.
    """
    approvers = {event.fact.person for event in attempt.ledger.facts(Consent, attempt.run_id)}
    with attempt.effect() as tx:
        held = quarantines(tx, attempt)
        _refuse(held, tx, attempt, backends)
        for person in sorted(approvers):
            held.refuse_person(person)
