"""Both passes in the run's own process; a small source never touches the disk."""

from __future__ import annotations

from collections.abc import Iterator

from prefect_gatehouse.data.engine.interface import Keys, Progress, Work
from prefect_gatehouse.data.engine.passes import deal_parts, finish_stretches, settle_stretches
from prefect_gatehouse.data.engine.settle import Block, stretches
from prefect_gatehouse.data.engine.treat import Counted, Tallies
from prefect_gatehouse.data.sources import Source


class InProcess:
    """The engine of one process.

    Args:
        work: What there is to do.
        keys: The keys.
        source: The open source.
    """

    def __init__(self, work: Work, keys: Keys, source: Source) -> None:
        self._work = work
        self._keys = keys
        self._source = source

    def deal(self, progress: Progress | None) -> Counted:
        """The first pass, batch by batch."""
        return deal_parts(self._work, self._keys, self._source, None, keep=True, progress=progress)

    def finish(self, counted: Counted, tallies: Tallies) -> Counted:
        """The last form of every row."""
        return finish_stretches(self._work, self._keys, stretches(counted.dealt), tallies, typed=self._source.typed, keep=True)

    def settle(self, counted: Counted) -> Iterator[Block]:
        """The second pass, one stretch of the hashes after the other."""
        return settle_stretches(self._work, self._keys, stretches(counted.dealt), counted.dealt.rows)
