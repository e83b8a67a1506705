"""Reminding people of approvals that wait, once a turn, through the installation's notification blocks."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect_gatehouse.blocks.notifier import notify
from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.reminders import due
from prefect_gatehouse.settings import Settings


def remind(settings: Settings, ledger: Ledger, now: float) -> list[tuple[str, str, str]]:
    """Sends what is due; what could not be sent is tried again with the next look, and keeps nobody else from being told.

    Returns:
        For each: the run, what was done, and what is left to say.
    """
    told = []
    for each in list(due(settings, ledger, datetime.fromtimestamp(now, UTC))):
        try:
            notify(each.fact.block, each.subject, each.body)
        except GatehouseError as error:
            told.append((each.run_id, "not reminded", str(error)))
            continue
        each.record(ledger)
        told.append((each.run_id, "escalated" if each.fact.escalated else "reminded", each.fact.block))
    return told
