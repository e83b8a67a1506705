"""Both passes in the run's own process; a small source never touches the disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prefect_gatehouse.data.engine.interface import Form, Keys, Progress, Stored, Work
from prefect_gatehouse.data.engine.partition import SHARES, PartitionRange
from prefect_gatehouse.data.engine.treat import Counted, Tallies
from prefect_gatehouse.data.engine.two_pass import deal_parts, finish_portion, store_portion, suppress_portion
from prefect_gatehouse.data.sources import Source
from prefect_gatehouse.data.suppress import Suppressed
from prefect_gatehouse.store.encrypted_file import Slot


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
        (whole,) = counted.dealt.portions(SHARES)
        return finish_portion(self._work, self._keys, whole, tallies, typed=self._source.typed, keep=True)

    def suppress(self, counted: Counted, suppressed: Suppressed) -> Counted:
        """Every row but those of some groups."""
        (whole,) = counted.dealt.portions(SHARES)
        return suppress_portion(self._work, self._keys, whole, suppressed, typed=self._source.typed, keep=True)

    def store(self, portions: Sequence[PartitionRange], form: Form, slots: Sequence[Slot]) -> Iterator[Stored]:
        """The second pass, one portion after the other."""
        for portion, slot in zip(portions, slots, strict=True):
            yield store_portion(self._work, self._keys, portion, form, slot)
