"""A round's counts, as the submission journal holds them."""

from __future__ import annotations

import json

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.values import RoundOutcome
from prefect_gatehouse.workload.counts import Counts


def to_bytes(counts: tuple[Counts, ...] | list[Counts]) -> bytes:
    """One job's counts as they are settled in the journal."""
    return json.dumps([dict(item) for item in counts]).encode()


def digest_of(counts: list[Counts]) -> str:
    """Names a round's counts."""
    return digest([dict(item) for item in counts])


def settled(attempt: Attempt, number: int) -> list[Counts]:
    """What the journal holds for a round: the counts of each circuit, in the order of the circuits."""
    return [counts for part in journal.results_of(attempt, number) for counts in json.loads(part)]


def counts_of(attempt: Attempt, outcome: RoundOutcome) -> list[Counts]:
    """The counts that a round's outcome names.

    Raises:
        Tampered: They are not the ones that were collected.
    """
    counts = settled(attempt, outcome.submission.round)
    if digest_of(counts) != outcome.counts_digest:
        raise Tampered("the stored counts are not the ones that were collected", where=f"round {outcome.submission.round + 1}")
    return counts
