"""A round's counts, as the submission journal holds them."""

from __future__ import annotations

import json

from prefect_gatehouse.canonical import digest, sha256_bytes
from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.values import RoundOutcome
from prefect_gatehouse.workload.counts import Counts


def to_bytes(counts: tuple[Counts, ...] | list[Counts]) -> bytes:
    """One job's counts as they are settled in the journal."""
    return json.dumps([dict(item) for item in counts]).encode()


def digest_of(attempt: journal.Reads, number: int) -> str:
    """Names a round's counts: SHA-256 over what the journal holds for it."""
    return _digest(journal.results_of(attempt, number))


def _digest(parts: list[bytes]) -> str:
    """Of the jobs' results, each by its own digest, so that where one ends is part of it."""
    return digest([sha256_bytes(part) for part in parts])


def counts_of(attempt: journal.Reads, outcome: RoundOutcome) -> list[Counts]:
    """The counts that a round's outcome names.

    Raises:
        Tampered: They are not the ones that were collected.
    """
    parts = journal.results_of(attempt, outcome.submission.round)
    if _digest(parts) != outcome.counts_digest:
        raise Tampered("the stored counts are not the ones that were collected", where=f"round {outcome.submission.round + 1}")
    return [counts for part in parts for counts in json.loads(part)]
