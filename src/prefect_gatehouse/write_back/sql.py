"""Publishing rows into a database table: staged, checked, published in one transaction together with a receipt of the run.

The receipt's primary key is the run, so a repeat finds it and changes nothing. Every row carries the run and the label of its
outcome. Staging is a table of the run's own, gone afterwards whatever happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.write_back import merge, receipts, staging
from prefect_gatehouse.write_back.database import WHERE, database, writing
from prefect_gatehouse.write_back.receipts import Receipt
from prefect_gatehouse.write_back.rows import LABEL, RUN, Kind, Rows, rows_of
from prefect_gatehouse.write_back.staging import Staging
from prefect_gatehouse.write_back.target import Mode, Target, look_at, make, problems

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["LABEL", "RUN", "Published", "discard", "publish"]


@dataclass(frozen=True)
class Published:
    """What is in the table now.

    Attributes:
        rows: Rows of this run.
        repeated: An earlier attempt had published them.
    """

    rows: int
    repeated: bool


def publish(
    url: str,
    frame: pd.DataFrame | pa.Table,
    *,
    table: str,
    key: str,
    columns: Sequence[str],
    mode: Mode,
    run_id: str,
    plan_digest: str,
    rows_digest: str,
    label: str,
    data_class: str = "restricted",
) -> Published:
    """Writes a frame, once for a run.

    Args:
        url: SQLAlchemy URL; never repeated in an error.
        frame: One row a key: what a workload returned, or the table that was kept of it.
        table: Target table; made if it is missing.
        key: Column that identifies a row.
        columns: The other columns, in order.
        mode: Whether rows are added, replace all, or are merged by the key.
        run_id: Enters the receipt and every row.
        plan_digest: Enters the receipt.
        rows_digest: Of the rows as they left the workload.
        label: Which backend answered (``vocabulary.Label``).
        data_class: Of the rows; enters the receipt, so that whoever finds the table knows how to treat it.

    Raises:
        DataRefused: The frame or the table does not fit, or the table would not give back what was sent.
        StorageError: The database is full or read-only.
        Tampered: The run has published other rows before.
        Unavailable: The database does not answer.
    """
    with database(url) as engine:
        rows = rows_of(frame, key, [key, *columns], zones=engine.dialect.name == "postgresql")
        receipt = Receipt(run_id, plan_digest, table, len(rows), rows_digest, label, data_class)
        done = _before(engine, receipt)
        if done is not None:
            staging.drop(engine, staging.staging_name(run_id))
            return Published(done, repeated=True)
        with engine.connect() as connection:
            target = _fitting(connection, table, rows.kinds, key, mode)
        staged = staging.staging_for(engine, run_id, rows.kinds, target)
        try:
            staging.fill(engine, staged, rows)
            with writing(engine, table) as connection:
                done = receipts.published(connection, run_id, rows_digest)
                if done is None:
                    # Another run may have made the table meanwhile.
                    if target is None and _fitting(connection, table, rows.kinds, key, mode) is None:
                        make(connection, table, key, rows.kinds, mode)
                    _publish(connection, staged, rows, mode, receipt)
            return Published(len(rows) if done is None else done, repeated=done is not None)
        finally:
            staging.drop(engine, staged.name)


def discard(url: str, *, run_id: str) -> int:
    """Drops the run's staging, if a process died and left it; 1 if there was one.

    Raises:
        Unavailable: The database does not answer.
    """
    with database(url) as engine:
        return staging.drop(engine, staging.staging_name(run_id))


def _before(engine: Engine, receipt: Receipt) -> int | None:
    """The rows that an earlier attempt has published."""
    with writing(engine) as connection:
        receipts.ensure(connection)
        return receipts.published(connection, receipt.run_id, receipt.rows_digest)


def _publish(connection: Connection, staged: Staging, rows: Rows, mode: Mode, receipt: Receipt) -> None:
    staging.refuse_other_rows(connection, staged, rows)
    target = Table(receipt.target, MetaData(), *(Column(each.name, each.bind) for each in staged.columns), Column(RUN, String), Column(LABEL, String))
    merge.move(connection, staged, target, rows.key, mode, receipt.run_id, receipt.label)
    merge.refuse_changed(connection, staged, target, rows.key, receipt.run_id)
    receipts.write(connection, receipt)


def _fitting(connection: Connection, name: str, kinds: Mapping[str, Kind], key: str, mode: Mode) -> Target | None:
    """The table as it is, None if there is none.

    Raises:
        DataRefused: Rows of these kinds can't go into it.
    """
    target = look_at(connection, name, key)
    found = list(problems(target, key, kinds, mode)) if target is not None else []
    if found:
        raise DataRefused(f"the table {name} does not fit: {'; '.join(found)}", where=WHERE, advice="alter the table or name another")
    return target
