"""The ledger's tables: one append-only chain of events, and what is derived from it or must commit together with it."""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    event,
)

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
    Column("run_id", String(64), primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("status", String(20), nullable=False),
    Column("ending", String(20)),
    Column("pipeline", String(80), nullable=False, default=""),
    Column("tenant", String(80), nullable=False, default=""),
    Column("environment", String(80), nullable=False, default=""),
    Column("tier", String(20), nullable=False, default=""),
    Column("ticket", String(40), nullable=False, default=""),
    Column("requester", String(200), nullable=False, default=""),
    Column("started", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("wait_until", Float),
    Column("message", Text, nullable=False, default=""),
)

# Beside the runs' table: a beat then waits for no transaction that holds its run's row, and an older ledger gains a table, not a column.
heartbeats = Table(
    "gatehouse_heartbeats",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("at", Float, nullable=False),
)

submissions = Table(
    "gatehouse_submissions",
    metadata,
    Column("key", String(120), primary_key=True),
    Column("run_id", String(64), nullable=False, index=True),
    Column("round", Integer, nullable=False),
    Column("job", Integer, nullable=False),
    Column("fallback", Integer, nullable=False),
    Column("backend", String(80), nullable=False),
    Column("state", String(20), nullable=False),
    Column("circuits", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("payload_sha256", String(64), nullable=False),
    Column("circuits_digest", String(64), nullable=False),
    Column("handle", String(300)),
    Column("result", LargeBinary),
    Column("reserved", Numeric(12, 4), nullable=False),
    Column("settled", Numeric(12, 4)),
    Column("intended", Float, nullable=False),
)

artifacts = Table(
    "gatehouse_artifacts",
    metadata,
    Column("uri", String(300), primary_key=True),
    Column("run_id", String(64), nullable=False, index=True),
    Column("owner", String(200), nullable=False),
    Column("retain_until", Float, nullable=False),
    Column("deleted_at", Float),
)

outbox = Table(
    "gatehouse_outbox",
    metadata,
    Column("topic", String(40), primary_key=True),
    # The last event that the receiver was told of.
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
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
