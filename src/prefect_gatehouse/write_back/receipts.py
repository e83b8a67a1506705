"""Receipts: one row a run, written in the transaction that publishes its rows; its primary key is why a repeat changes nothing."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from sqlalchemy import BigInteger, Column, Connection, Double, MetaData, String, Table, insert, inspect, select

from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.write_back.database import WHERE

RECEIPTS = "_gatehouse_receipts"


@dataclass(frozen=True)
class Receipt:
    """What one run has published.

    Attributes:
        run_id: The run.
        plan_digest: Of the plan that was approved.
        target: The table.
        rows: How many.
        rows_digest: Of the rows as they left the workload.
        label: Which backend answered (``vocabulary.Label``).
        data_class: Of the rows, so that whoever finds the table knows how to treat it.
    """

    run_id: str
    plan_digest: str
    target: str
    rows: int
    rows_digest: str
    label: str
    data_class: str


def _table() -> Table:
    return Table(
        RECEIPTS,
        MetaData(),
        Column("run_id", String(64), primary_key=True),
        Column("plan_digest", String(64), nullable=False),
        Column("target", String(80), nullable=False),
        Column("rows", BigInteger, nullable=False),
        Column("rows_digest", String(64), nullable=False),
        Column("label", String(20), nullable=False),
        Column("at", Double, nullable=False),
        Column("data_class", String(20)),
    )


def ensure(connection: Connection) -> None:
    """The table of receipts; one that an earlier version made gets the column that it lacks."""
    receipts = _table()
    receipts.create(connection, checkfirst=True)
    if all(column["name"] != "data_class" for column in inspect(connection).get_columns(receipts.name)):
        quote = connection.dialect.identifier_preparer
        connection.exec_driver_sql(f"ALTER TABLE {quote.format_table(receipts)} ADD COLUMN data_class VARCHAR(20)")


def published(connection: Connection, run_id: str, rows_digest: str) -> int | None:
    """How many rows the run has published, None if it has not.

    Raises:
        Tampered: It has published other rows.
    """
    receipts = _table()
    row = connection.execute(select(receipts.c.rows, receipts.c.rows_digest).where(receipts.c.run_id == run_id)).first()
    if row is None:
        return None
    if row.rows_digest != rows_digest:
        raise Tampered("the run has published other rows before", where=WHERE, advice="run: gatehouse verify")
    return int(row.rows)


def write(connection: Connection, receipt: Receipt) -> None:
    """Writes a receipt; it holds only if the transaction ends well."""
    connection.execute(insert(_table()).values(**asdict(receipt), at=time.time()))
