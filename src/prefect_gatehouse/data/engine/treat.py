"""The record-batch function: a batch of the source goes in, treated rows come out; the same in every process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.data.anonymity import Groups
from prefect_gatehouse.data.digest import as_batch
from prefect_gatehouse.data.engine.partition import Partitioned
from prefect_gatehouse.data.rules import Rule, rule_for
from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.manifest.columns import Drop
from prefect_gatehouse.manifest.data import Data
from prefect_gatehouse.plurals import counted
from prefect_gatehouse.tokens.keys import RootKey

Tallies = dict[str, Counter[str]]
"""What the rules of all columns counted."""

UNTREATED = "a value can't be treated"
"""The reason of a row that a rule set aside; an unreadable row has the source's."""


@dataclass
class Counted:
    """What the first pass, or a part of it, found.

    Attributes:
        dealt: The treated rows.
        read: Rows that could be read.
        tallies: What the rules counted.
        groups: Groups of the quasi-identifiers.
        aside: Rows that were set aside: the reason and the cells that were read, as text.
        malformed: Rows that could not be read, by reason.
        source_sha256: Of a source whose digest exists only when it has been read.
        worker: The process, as host and number.
    """

    dealt: Partitioned = field(default_factory=Partitioned)
    read: int = 0
    tallies: Tallies = field(default_factory=dict)
    groups: Groups | None = None
    aside: list[pa.RecordBatch] = field(default_factory=list, repr=False)
    malformed: Counter[str] = field(default_factory=Counter)
    source_sha256: str | None = None
    worker: str = ""

    def absorb(self, other: Counted) -> None:
        """Adds what another process found.

        Raises:
            DataRefused: The treated columns of the two differ in type.
        """
        self.dealt.absorb(other.dealt)
        self.read += other.read
        for name, tally in other.tallies.items():
            self.tallies.setdefault(name, Counter()).update(tally)
        if self.groups is None:
            self.groups = other.groups
        elif other.groups is not None:
            self.groups.merge(other.groups)
        self.aside += other.aside
        self.malformed += other.malformed
        self.source_sha256 = self.source_sha256 or other.source_sha256

    def untreated(self) -> int:
        """Rows that the rules set aside."""
        return self.read - self.dealt.rows

    def set_aside_rows(self) -> int:
        """All rows that were set aside."""
        return self.untreated() + self.malformed.total()


class Treater:
    """Treats batches by the rules of a manifest.

    Args:
        data: What the manifest declares.
        typed: Whether the source has types.
        root_key: Root key of the tokens, None if no rule needs it.
        tenant: Whose tokens.
        codes_key: Key of the run's random codes, None if no column becomes such.

    Raises:
        InputError: A rule needs the root key and there is none, or a rule's setting is wrong.
    """

    def __init__(self, data: Data, *, typed: bool, root_key: RootKey | None, tenant: str, codes_key: bytes | None = None) -> None:
        self._data = data
        self.rules: dict[str, Rule] = {
            name: rule_for(name, column, typed=typed, root_key=root_key, tenant=tenant, columns=data.columns, codes_key=codes_key)
            for name, column in data.columns.items()
            if not isinstance(column, Drop)
        }
        self.reads = tuple(dict.fromkeys(column for rule in self.rules.values() for column in rule.reads))
        """Columns of the source that the rules take."""
        self.counted = Counted(groups=self.new_groups())

    def new_groups(self) -> Groups | None:
        """An empty count of the groups, None where the manifest asks for none."""
        return Groups(self._data.quasi_identifiers, self._data.sensitive) if self._data.k is not None else None

    def treat(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The treated rows of a batch, in the columns' one form; groups are counted and rows with bad values set aside on the way.

        Args:
            batch: The columns ``reads`` of the source.

        Raises:
            DataRefused: A rule can't treat the column at all, or more rows are bad than may be set aside.
        """
        self.counted.read += batch.num_rows
        before = self.tallies() if self._data.malformed == "quarantine" else {}
        columns, bad = self._apply(batch)
        if self._data.malformed == "quarantine" and bad is not None:
            self._restore(before)
            self._set_aside(batch.filter(bad))
            columns, _ = self._apply(batch.filter(pc.invert(bad)))
        treated = as_batch(pa.RecordBatch.from_pydict(columns))
        if self.counted.groups is not None and treated.num_rows:
            self.counted.groups.add(treated)
        return treated

    def finish(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Treated rows in their last form, which the tallies of all rows decide."""
        return as_batch(
            pa.table({name: rule.finish(pa.chunked_array([column])) for (name, rule), column in zip(self.rules.items(), batch.columns, strict=True)})
        )

    def finishes(self, schema: pa.Schema) -> bool:
        """Whether the last form of any column is another one than the treated."""
        empty = [pa.chunked_array([], field.type) for field in schema]
        return any(rule.finish(column) is not column for rule, column in zip(self.rules.values(), empty, strict=True))

    def tallies(self) -> Tallies:
        """What the rules counted so far."""
        return {name: rule.tally() for name, rule in self.rules.items()}

    def absorb(self, tallies: Mapping[str, Mapping[str, int]]) -> None:
        """Gives the rules the counts of all rows, in place of what they counted here."""
        for name, rule in self.rules.items():
            rule.restore({})
            rule.absorb(tallies.get(name, {}))

    def _restore(self, tallies: Tallies) -> None:
        for name, rule in self.rules.items():
            rule.restore(tallies[name])

    def _apply(self, batch: pa.RecordBatch) -> tuple[dict[str, pa.Array], pa.Array | None]:
        columns: dict[str, pa.Array] = {}
        bad: pa.Array | None = None
        for name, rule in self.rules.items():
            columns[name], mask = rule.apply(*(_decoded(batch.column(each)) for each in rule.reads))
            if mask is not None:
                bad = mask if bad is None else pc.or_(bad, mask)
        return columns, bad

    def _set_aside(self, rows: pa.RecordBatch) -> None:
        self.counted.aside.append(_as_text(rows))
        require_few(sum(each.num_rows for each in self.counted.aside), self._data.quarantine_limit)


def require_few(rows: int, limit: int) -> None:
    """Compares how many rows were set aside with how many may be.

    Raises:
        DataRefused: They are more.
    """
    if rows > limit:
        message = f"{counted(rows, 'row')} or more can't be read or treated, {limit} may be set aside"
        raise DataRefused(message, where="data.quarantine_limit", advice="correct the source, or raise the limit")


def aside_schema(reads: Sequence[str]) -> pa.Schema:
    """The columns of rows set aside: why, the bytes of an unreadable row, and the cells of a readable one."""
    return pa.schema([("reason", pa.string()), ("raw", pa.binary()), *((f"cell {name}", pa.string()) for name in reads)])


def _as_text(rows: pa.RecordBatch) -> pa.RecordBatch:
    cells = []
    for column in rows.columns:
        column = _decoded(column)
        try:
            cells.append(column.cast(pa.string()))
        except pa.ArrowException:  # bytes that are no text, a nested column: kept by the source, not here
            cells.append(pa.nulls(len(column), pa.string()))
    reason, raw = pa.repeat(pa.scalar(UNTREATED), rows.num_rows), pa.nulls(rows.num_rows, pa.binary())
    return pa.RecordBatch.from_arrays([reason, raw, *cells], schema=aside_schema(rows.schema.names))


def _decoded(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
