"""k-anonymity (Samarati and Sweeney, 1998) and distinct l-diversity (Machanavajjhala et al., 2007), counted batch by batch.

k: every combination of the quasi-identifiers is shared by at least k rows. l: within every such group each sensitive column has at
least l different values; a missing value is none, so it adds nothing. Rows are counted, not persons: where a person has several
rows, k rows may be one person. Distinct l-diversity does not bound how frequent one of the l values is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.plurals import counted

# Groups that wait, at most, before they are merged into one table: bounds memory and keeps the work per row constant.
_WAITING = 1 << 18
_ROWS = "rows"

Coarser = Callable[[pa.Array], pa.Array]
"""Makes the values of a quasi-identifier coarser."""


class Groups:
    """Groups of equal quasi-identifiers: how many rows each has, and which values of the sensitive columns.

    Memory goes with the number of groups and of different (group, sensitive value) pairs, not with rows. It holds treated values of
    these columns only, once each, and may be pickled; nothing of them is shown.

    Args:
        columns: The quasi-identifiers; without any, all rows are one group.
        sensitive: Columns that nobody may learn about a person whose group is known.
    """

    def __init__(self, columns: Sequence[str], sensitive: Sequence[str] = ()) -> None:
        self.columns = tuple(columns)
        self.sensitive = tuple(sensitive)
        self._counts = _Distinct(len(self.columns))
        self._pairs = [_Distinct(len(self.columns) + 1) for _ in self.sensitive]

    def add(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Counts treated rows; further columns are ignored.

        Raises:
            DataRefused: A column is of a type that has no groups.
        """
        keys = [plain(rows.column(name), name) for name in self.columns]
        self._counts.add(keys, rows.num_rows)
        for name, pairs in zip(self.sensitive, self._pairs, strict=True):
            pairs.add([*keys, plain(rows.column(name), name)], rows.num_rows)

    def merge(self, other: Groups) -> None:
        """Adds what was counted elsewhere over the same columns."""
        self._counts.merge(other._counts)
        for mine, theirs in zip(self._pairs, other._pairs, strict=True):
            mine.merge(theirs)

    def sizes(self) -> tuple[int, int]:
        """Rows in the smallest group, 0 without rows, and how many groups there are."""
        rows = self._counts.table()[_ROWS]
        return (pc.min(rows).as_py() or 0, len(rows))

    def failing(self, k: int, l: int | None = None) -> pa.Table:  # noqa: E741 the measure's own letter
        """Quasi-identifiers of the groups with fewer than k rows, or with fewer than l different values of a sensitive column."""
        counts = self._counts.table()
        parts = [counts.filter(pc.less(counts[_ROWS], k)).drop_columns([_ROWS])]
        if l is not None:
            parts += [pairs.keys_with_fewer(l) for pairs in self._pairs]
        together = pa.concat_tables(parts, promote_options="permissive")
        return together.group_by(together.column_names).aggregate([]) if together.num_columns else together

    def rows_in(self, found: Callable[[pa.Table], pa.Array]) -> int:
        """Rows of the groups that a function picks from their quasi-identifiers."""
        counts = self._counts.table()
        return int(pc.sum(counts[_ROWS].filter(found(counts.drop_columns([_ROWS])))).as_py() or 0) if counts.num_rows else 0

    def filtered(self, wanted: Callable[[pa.Table], pa.Array]) -> Groups:
        """The groups that a function picks from their quasi-identifiers."""
        found = Groups(self.columns, self.sensitive)
        found._counts = self._counts.filtered(wanted, len(self.columns))
        found._pairs = [pairs.filtered(wanted, len(self.columns)) for pairs in self._pairs]
        return found

    def rows(self) -> int:
        """Rows that were counted."""
        return int(pc.sum(self._counts.table()[_ROWS]).as_py() or 0)

    def fewest(self) -> int:
        """Fewest different values of a sensitive column in a group."""
        return min((pc.min(pairs.different()).as_py() or 0 for pairs in self._pairs), default=0)

    def coarsened(self, ways: Mapping[str, Coarser | None]) -> Groups:
        """The same rows in the groups of coarser values.

        Args:
            ways: For each quasi-identifier that changes, how; None leaves it out.
        """
        kept = tuple(name for name in self.columns if ways.get(name, _same) is not None)
        found = Groups(kept, self.sensitive)
        changes = [ways.get(name, _same) for name in self.columns]
        found._counts = self._counts.coarsened(changes)
        found._pairs = [pairs.coarsened([*changes, _same]) for pairs in self._pairs]
        return found

    def check(self, k: int | None, l: int | None = None) -> tuple[int | None, int | None]:  # noqa: E741 the measure's own letter
        """The measured k and l, if they reach what is required.

        Args:
            k: Fewest rows of a group, None if nothing is required.
            l: Fewest different values of each sensitive column within a group, None if nothing is required.

        Returns:
            Rows in the smallest group, and the fewest different values over groups and sensitive columns; None where nothing was
            required.

        Raises:
            DataRefused: A group is too small or too uniform, or there are no rows; groups are counted, no value is told.
        """
        return (self._require_k(k) if k is not None else None, self._require_l(l) if l is not None else None)

    def _require_k(self, k: int) -> int:
        rows = self._counts.table()[_ROWS]
        smallest = pc.min(rows).as_py() or 0
        if smallest < k:
            small = pc.sum(pc.less(rows, k)).as_py() or 0
            raise DataRefused(
                f"the smallest group has {counted(smallest, 'row')}, {k} are required; {small} of {len(rows)} groups are too small",
                where="data.quasi_identifiers",
                advice="generalise the quasi-identifiers further, or drop one of them",
            )
        return int(smallest)

    def _require_l(self, l: int) -> int:  # noqa: E741
        fewest = []
        for name, pairs in zip(self.sensitive, self._pairs, strict=True):
            values = pairs.different()
            fewest.append(pc.min(values).as_py() or 0)
            if fewest[-1] < l:
                few = pc.sum(pc.less(values, l)).as_py() or 0
                raise DataRefused(
                    f"a group has {counted(fewest[-1], 'different value')} of '{name}', {l} are required; {few} of {len(values)} groups have too few",
                    where="data.sensitive",
                    advice="generalise the quasi-identifiers further, so that groups grow, or drop the sensitive column",
                )
        if not fewest:
            raise DataRefused("l is required but no sensitive column is named", where="data.sensitive")
        return int(min(fewest))


class _Distinct:
    """Distinct rows of some columns, with how often each occurred."""

    def __init__(self, width: int) -> None:
        self._keys = [f"c{place}" for place in range(width)]
        self._parts: list[pa.Table] = []
        self._waiting = 0

    def add(self, columns: list[pa.Array], rows: int) -> None:
        if rows:
            self._append(self._grouped(pa.table([*columns, pa.repeat(1, rows)], names=[*self._keys, _ROWS])))

    def merge(self, other: _Distinct) -> None:
        for part in other._parts:
            self._append(part)

    def table(self) -> pa.Table:
        """Every distinct row once."""
        if not self._parts:
            return pa.table({_ROWS: pa.array([], pa.int64())})
        if len(self._parts) > 1:
            # Batches may differ in type where one of them holds nothing but missing values.
            self._parts = [self._grouped(pa.concat_tables(self._parts, promote_options="permissive"))]
        self._waiting = 0
        return self._parts[0]

    def different(self) -> pa.ChunkedArray:
        """For each combination of all columns but the last: how many different values the last one has, missing ones not counted."""
        table = self.table()
        if table.num_rows == 0:
            return table[_ROWS]
        keys, last = self._keys[:-1], self._keys[-1]
        if not keys:
            return pa.chunked_array([pa.array([pc.count(table[last]).as_py()], pa.int64())])
        return table.group_by(keys).aggregate([(last, "count")])[f"{last}_count"]

    def keys_with_fewer(self, least: int) -> pa.Table:
        """Combinations of all columns but the last with fewer different values of the last one."""
        table, keys, last = self.table(), self._keys[:-1], self._keys[-1]
        if table.num_rows == 0 or not keys:
            return table.select([])
        counted = table.group_by(keys).aggregate([(last, "count")])
        return counted.filter(pc.less(counted[f"{last}_count"], least)).select(keys)

    def filtered(self, wanted: Callable[[pa.Table], pa.Array], keys: int) -> _Distinct:
        """The rows that a function picks by their first columns."""
        table, found = self.table(), _Distinct(len(self._keys))
        if table.num_rows:
            found._append(table.filter(wanted(table.select(self._keys[:keys]))))
        return found

    def coarsened(self, ways: Sequence[Coarser | None]) -> _Distinct:
        """The same rows by coarser columns; one without a way is left out."""
        table = self.table()
        found = _Distinct(sum(way is not None for way in ways))
        if table.num_rows:
            columns = [way(table[key].combine_chunks()) for key, way in zip(self._keys, ways, strict=True) if way is not None]
            found._append(found._grouped(pa.table([*columns, table[_ROWS]], names=[*found._keys, _ROWS])))
        return found

    def _append(self, part: pa.Table) -> None:
        self._parts.append(part)
        self._waiting += part.num_rows
        # Merged when as many wait as the merged table has: the work stays proportional to what came in.
        if len(self._parts) > 1 and self._waiting > max(_WAITING, 2 * self._parts[0].num_rows):
            self._waiting = self.table().num_rows

    def _grouped(self, table: pa.Table) -> pa.Table:
        if not self._keys:
            return pa.table({_ROWS: [pc.sum(table[_ROWS]).as_py()]})
        grouped = table.group_by(self._keys).aggregate([(_ROWS, "sum")])
        return grouped.rename_columns([_ROWS if name == f"{_ROWS}_sum" else name for name in grouped.column_names]).select([*self._keys, _ROWS])


def _same(column: pa.Array) -> pa.Array:
    return column


def plain(column: pa.Array | pa.ChunkedArray, name: str) -> pa.Array:
    """One array whose equal values are equal to a reader: zeros of either sign, every NaN, text of any storage."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    kind = column.type
    if pa.types.is_dictionary(kind):
        return plain(column.dictionary_decode(), name)
    if pa.types.is_nested(kind):
        raise DataRefused(f"values of type {kind} form no groups", where=f"column '{name}'", advice="declare flat columns")
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if pa.types.is_floating(kind):
        return pc.if_else(pc.is_nan(column), pa.scalar(float("nan"), kind), pc.add(column, pa.scalar(0.0, kind)))
    return column


def smallest_group(table: pa.Table, columns: Sequence[str]) -> int:
    """Rows in the smallest group of equal values in these columns; a missing value equals another missing one. 0 without rows."""
    groups = Groups(columns)
    groups.add(table)
    return groups.sizes()[0]


def require_k(table: pa.Table, columns: Sequence[str], k: int) -> int:
    """The smallest group, if it has at least k rows.

    Raises:
        DataRefused: It has fewer, or there are no rows; the message counts groups and holds no value.
    """
    groups = Groups(columns)
    groups.add(table)
    measured, _ = groups.check(k)
    assert measured is not None  # k was required
    return measured
