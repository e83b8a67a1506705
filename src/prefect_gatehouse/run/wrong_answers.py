"""How many wrong answers are judged, and how fast: the limits of a tier, over all runs and processes.

Whoever can reach Prefect's API may answer in anybody's name, so a limit must not keep a person from answering: it holds for one-time codes, which
somebody could guess (three of a million are right at a time), and not for signatures, which nobody can. A code that comes too soon is refused
without being looked at, and that refusal counts as no wrong answer: it extends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.ledger.answers import AnswerRefused
from prefect_gatehouse.ledger.store import Transaction
from prefect_gatehouse.policy.rules import TierRules

UNKNOWN = "unknown"
"""Whose answer it claims to be where that is nobody of the registry: what was typed there could be a code."""
_FIRST_PAUSE = timedelta(seconds=5)
_FREE = 1  # wrong answers that cost no time: a slip of the finger


def closed(tx: Transaction, run_id: str, claimed: str, tier: TierRules, now: datetime, *, one_more: bool = False) -> datetime | None:
    """Until when no code is judged in somebody's name in a run; None where one is judged now.

    Args:
        tx: The transaction that will write down what the answer was worth, so that no two processes judge the same last one.
        run_id: The run.
        claimed: Whose answer it claims to be.
        tier: Has the limits.
        now: Time of asking.
        one_more: Whether another one is about to be written.
    """
    window = timedelta(seconds=tier.wrong_window_seconds)
    wrong = [event for event in tx.recent(AnswerRefused, now - window) if event.fact.wrong]
    theirs = [event.when for event in wrong if event.fact.claimed == claimed] if claimed != UNKNOWN else []
    here = [event.when for event in wrong if event.run_id == run_id]
    if one_more:
        theirs, here = ([*moments, now] for moments in (theirs, here))
    opens = (_opens(theirs, tier.wrong_per_person, window), _opens(here, tier.wrong_per_run, window))
    still: list[datetime] = [until for until in opens if until is not None and until > now]
    return max(still) if still else None


def too_many(until: datetime) -> Denied:
    """What somebody is told whose code was not judged."""
    return Denied(
        f"too many answers were wrong, so this code was not looked at, and none is before {until:%Y-%m-%d %H:%M:%S} UTC",
        where="approval",
        advice="answer again then, or at once with an SSH signature",
    )


def closing(refusal: Denied, until: datetime) -> Denied:
    """What somebody is told whose wrong answer was one too many, or one too fast."""
    advice = f"{refusal.advice}; no code is looked at before {until:%Y-%m-%d %H:%M:%S} UTC, an SSH signature is at once"
    return Denied(refusal.message, where=refusal.where, advice=advice)


def _opens(wrong: Sequence[datetime], most: int, window: timedelta) -> datetime | None:
    """When the next code is judged: at the limit once there is one fewer in the window, below it after a pause that doubles."""
    if len(wrong) >= most:
        return wrong[-most] + window
    if len(wrong) <= _FREE:
        return None
    return wrong[-1] + min(window, _FIRST_PAUSE * int(2 ** (len(wrong) - _FREE - 1)))
