"""Reminding people of approvals that wait, once a turn, through the installation's notification blocks."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from prefect_gatehouse.blocks.notifier import notify
from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.reminders import due
from prefect_gatehouse.settings import Settings

SECONDS = 30.0
"""That all messages of a look may take: until it ends, nobody looks after runs."""


def remind(settings: Settings, ledger: Ledger, now: float) -> list[tuple[str, str, str]]:
    """Sends what is due. Each is written down first and so is tried once a turn: a ledger that can't be written floods nobody.

    A block that failed is left alone for the rest of the look; what it did not get yet is due in the next one, as is what there was no time for.

    Returns:
        For each: the run, what was done, and what is left to say.
    """
    told: list[tuple[str, str, str]] = []
    failed: set[str] = set()
    end = time.monotonic() + SECONDS
    for each in list(due(settings, ledger, datetime.fromtimestamp(now, UTC))):
        left = end - time.monotonic()
        if each.fact.block in failed or left <= 0:
            told.append((each.run_id, "not reminded", f"left for the next look: {each.fact.block}"))
            continue
        try:
            if not each.record(ledger):
                continue
        except GatehouseError as error:
            return [*told, (each.run_id, "not reminded", str(error))]
        try:
            notify(each.fact.block, each.subject, each.body, left)
        except GatehouseError as error:
            failed.add(each.fact.block)
            told.append((each.run_id, "not reminded", str(error)))
            continue
        told.append((each.run_id, "escalated" if each.fact.escalated else "reminded", each.fact.block))
    return told
