"""What a frame that a workload returned has to be, whatever its numbers are: asked in a rehearsal, and again when the jobs are done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.manifest.columns import Tokenise
from prefect_gatehouse.write_back.rows import rows_of
from prefect_gatehouse.write_back.target import problems

if TYPE_CHECKING:
    import pyarrow as pa

    from prefect_gatehouse.manifest.models import Manifest, Output
    from prefect_gatehouse.write_back.rows import Kind
    from prefect_gatehouse.write_back.target import Target


def refuse_other_columns(table: pa.Table, output: Output) -> None:
    """Stops a frame that has not exactly the declared columns, or not one row a key.

    Raises:
        DataRefused: Names the declared columns that are missing; others are counted.
    """
    wanted = {output.key, *output.names}
    found = set(table.column_names)
    if found != wanted:
        raise DataRefused(
            f"the workload's frame has not exactly the declared columns: missing {sorted(wanted - found)}, {len(found - wanted)} more",
            where="output.columns",
            advice="return the key and the columns that the manifest declares",
        )
    if _is_gap_or_repeated(table.column(output.key)):
        raise DataRefused("the key of the workload's frame is empty or repeated", where="output.key", advice="return one row a key")


def _is_gap_or_repeated(key: pa.ChunkedArray) -> bool:
    """Whether a key is missing somewhere, or the same twice: what is not a number is missing, and both zeros are one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(key.type):
        key = key.cast(key.type.value_type)
    if pa.types.is_floating(key.type):
        key = pc.add(key.cast(pa.float64()), 0.0)
        key = pc.if_else(pc.is_nan(key), pa.scalar(None, pa.float64()), key)
    return bool(key.null_count) or len(pc.unique(key)) != len(key)


def refuse_unwritable(table: pa.Table, manifest: Manifest, target: Target | None, *, zones: bool) -> None:
    """Stops a frame whose columns no database holds, or not the table that the rows go to.

    Args:
        table: What the workload returned.
        manifest: Names key and columns.
        target: The table, None where nobody has seen it.
        zones: Whether the database keeps time zones.

    Raises:
        DataRefused: Names the columns.
    """
    output = manifest.output
    rows = rows_of(table, output.key, [output.key, *output.names], zones=zones)
    if target is None:
        return
    # Of a column without any value nobody knows what it would hold.
    kinds: Mapping[str, Kind | None] = {
        name: kind if rows.table.column(name).null_count < len(rows) else None for name, kind in rows.kinds.items()
    } | {output.key: key_kind(manifest) or rows.kinds[output.key]}
    wrong = list(problems(target, output.key, kinds, output.mode))
    if wrong:
        raise DataRefused(
            f"the workload's frame does not fit the table {output.target.table}: {'; '.join(wrong)}",
            where="output.target",
            advice="convert in the workload, or alter the table",
        )


def key_kind(manifest: Manifest) -> Kind | None:
    """What the key holds when its tokens have been turned back; nobody knows before the workload has run what it makes of another column."""
    rule = manifest.data.columns[manifest.output.key]
    if not isinstance(rule, Tokenise):
        return None
    return "integer" if rule.scheme == "permute" else "text"
