"""The ledger's tables: one append-only chain of events, and what is derived from it or must commit together with it."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    event,
)

from prefect_gatehouse.ledger.cell import Cell

metadata = MetaData()

events = Table(
    "gatehouse_events",
    metadata,
    # Given by the writer inside its transaction, never by the database: a gap would be a missing event.
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("event_id", String(200), nullable=False, unique=True),
    Column("run_id", String(64), nullable=False, index=True),
    Column("kind", String(40), nullable=False, index=True),
    Column("body", Text, nullable=False),
    Column("leaf", String(64), nullable=False),
)

heads = Table(
    "gatehouse_heads",
    metadata,
    Column("size", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
    Column("frontier", Text, nullable=False),
)

runs = Table(
    "gatehouse_runs",
    metadata,
    Column("run_id", Cell("gatehouse_runs.run_id", String(64), str), primary_key=True),
    Column("attempt", Cell("gatehouse_runs.attempt", Integer(), int), nullable=False),
    Column("status", Cell("gatehouse_runs.status", String(20), str), nullable=False),
    Column("ending", Cell("gatehouse_runs.ending", String(20), str)),
    Column("pipeline", Cell("gatehouse_runs.pipeline", String(80), str), nullable=False, default=""),
    Column("tenant", Cell("gatehouse_runs.tenant", String(80), str), nullable=False, default=""),
    Column("environment", Cell("gatehouse_runs.environment", String(80), str), nullable=False, default=""),
    Column("tier", Cell("gatehouse_runs.tier", String(20), str), nullable=False, default=""),
    Column("ticket", Cell("gatehouse_runs.ticket", String(40), str), nullable=False, default=""),
    Column("requester", Cell("gatehouse_runs.requester", String(200), str), nullable=False, default=""),
    Column("started", Cell("gatehouse_runs.started", Float(), float, int), nullable=False),
    Column("updated", Cell("gatehouse_runs.updated", Float(), float, int), nullable=False),
    Column("wait_until", Cell("gatehouse_runs.wait_until", Float(), float, int)),
    Column("message", Cell("gatehouse_runs.message", Text(), str), nullable=False, default=""),
)

# Beside the runs' table: a beat then waits for no transaction that holds its run's row, and an older ledger gains a table, not a column.
heartbeats = Table(
    "gatehouse_heartbeats",
    metadata,
    Column("run_id", Cell("gatehouse_heartbeats.run_id", String(64), str), primary_key=True),
    Column("attempt", Cell("gatehouse_heartbeats.attempt", Integer(), int), nullable=False),
    Column("at", Cell("gatehouse_heartbeats.at", Float(), float, int), nullable=False),
)

submissions = Table(
    "gatehouse_submissions",
    metadata,
    Column("key", Cell("gatehouse_submissions.key", String(120), str), primary_key=True),
    Column("run_id", Cell("gatehouse_submissions.run_id", String(64), str), nullable=False, index=True),
    Column("round", Cell("gatehouse_submissions.round", Integer(), int), nullable=False),
    Column("job", Cell("gatehouse_submissions.job", Integer(), int), nullable=False),
    Column("fallback", Cell("gatehouse_submissions.fallback", Integer(), int), nullable=False),
    Column("backend", Cell("gatehouse_submissions.backend", String(80), str), nullable=False),
    Column("state", Cell("gatehouse_submissions.state", String(20), str), nullable=False),
    Column("circuits", Cell("gatehouse_submissions.circuits", Integer(), int), nullable=False),
    Column("payload", Cell("gatehouse_submissions.payload", LargeBinary(), bytes), nullable=False),
    Column("payload_sha256", Cell("gatehouse_submissions.payload_sha256", String(64), str), nullable=False),
    Column("circuits_digest", Cell("gatehouse_submissions.circuits_digest", String(64), str), nullable=False),
    Column("handle", Cell("gatehouse_submissions.handle", String(300), str)),
    Column("result", Cell("gatehouse_submissions.result", LargeBinary(), bytes)),
    Column("reserved", Cell("gatehouse_submissions.reserved", Numeric(12, 4), Decimal), nullable=False),
    Column("settled", Cell("gatehouse_submissions.settled", Numeric(12, 4), Decimal)),
    Column("intended", Cell("gatehouse_submissions.intended", Float(), float, int), nullable=False),
)

charges = Table(
    "gatehouse_charges",
    metadata,
    Column("key", Cell("gatehouse_charges.key", String(120), str), primary_key=True),
    Column("run_id", Cell("gatehouse_charges.run_id", String(64), str), nullable=False, index=True),
    Column("tenant", Cell("gatehouse_charges.tenant", String(80), str), nullable=False),
    Column("billing_code", Cell("gatehouse_charges.billing_code", String(200), str), nullable=False),
    Column("month", Cell("gatehouse_charges.month", String(7), str), nullable=False),
    # Whole ten-thousandths of a dollar: SQLite would add decimals up as floats.
    Column("reserved", Cell("gatehouse_charges.reserved", BigInteger(), int), nullable=False),
    Column("settled", Cell("gatehouse_charges.settled", BigInteger(), int)),
    Index("gatehouse_charges_of_a_month", "tenant", "month"),
)

artifacts = Table(
    "gatehouse_artifacts",
    metadata,
    Column("uri", Cell("gatehouse_artifacts.uri", String(300), str), primary_key=True),
    Column("run_id", Cell("gatehouse_artifacts.run_id", String(64), str), nullable=False, index=True),
    Column("owner", Cell("gatehouse_artifacts.owner", String(200), str), nullable=False),
    Column("retain_until", Cell("gatehouse_artifacts.retain_until", Float(), float, int), nullable=False),
    Column("deleted_at", Cell("gatehouse_artifacts.deleted_at", Float(), float, int)),
)

outbox = Table(
    "gatehouse_outbox",
    metadata,
    Column("topic", Cell("gatehouse_outbox.topic", String(40), str), primary_key=True),
    # The last event that the receiver was told of.
    Column("seq", Cell("gatehouse_outbox.seq", BigInteger().with_variant(Integer, "sqlite"), int), nullable=False),
)

for _verb in ("UPDATE", "DELETE"):
    for _table in (events, heads):
        event.listen(
            _table,
            "after_create",
            DDL(  # type: ignore[no-untyped-call]
                f"CREATE TRIGGER {_table.name}_no_{_verb.lower()} BEFORE {_verb} ON {_table.name} "
                "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
            ).execute_if(dialect="sqlite"),
        )
# INSERT OR REPLACE deletes the row in its way without firing a DELETE trigger.
_TAKEN = {
    events: "NEW.seq <= (SELECT max(seq) FROM gatehouse_events) OR EXISTS (SELECT 1 FROM gatehouse_events WHERE event_id = NEW.event_id)",
    heads: "NEW.size <= (SELECT max(size) FROM gatehouse_heads)",
}
for _table, _condition in _TAKEN.items():
    event.listen(
        _table,
        "after_create",
        DDL(  # type: ignore[no-untyped-call]
            f"CREATE TRIGGER {_table.name}_no_replace BEFORE INSERT ON {_table.name} WHEN {_condition} "
            "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        ).execute_if(dialect="sqlite"),
    )
_POSTGRESQL = """
CREATE OR REPLACE FUNCTION {name}_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$;
CREATE TRIGGER {name}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {name}
FOR EACH STATEMENT EXECUTE FUNCTION {name}_refuse();
"""
for _table in (events, heads):
    event.listen(_table, "after_create", DDL(_POSTGRESQL.format(name=_table.name)).execute_if(dialect="postgresql"))  # type: ignore[no-untyped-call]
