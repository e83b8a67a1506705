"""What a role of PostgreSQL may do, asked of the catalogue for the writing role by whoever may only look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, text

from prefect_gatehouse.write_back.receipts import RECEIPTS
from prefect_gatehouse.write_back.rows import LABEL, RUN
from prefect_gatehouse.write_back.target import Mode, Target, look_at, unique_alone


def own_role(connection: Connection) -> str:
    """The role that this connection has."""
    return str(connection.scalar(text("SELECT current_user")))


def exists(connection: Connection, role: str) -> bool:
    """Whether there is a role of that name."""
    return bool(connection.scalar(text("SELECT count(*) FROM pg_roles WHERE rolname = :role"), {"role": role}))


def lacking(connection: Connection, role: str, target: Target | None, key: str, columns: Sequence[str], mode: Mode) -> Iterator[str]:
    """The rights that a publication needs and the role has not.

    Args:
        connection: To the database.
        role: Who will write.
        target: The table, None where it is still to be made.
        key: The column that identifies a row.
        columns: The other columns of the output.
        mode: How rows go in.
    """
    for right in ("USAGE", "CREATE"):  # asked for together, one of them would do
        if not connection.scalar(text("SELECT has_schema_privilege(:role, current_schema(), :right)"), {"role": role, "right": right}):
            yield f"{right} on the schema, where staging is made"
    receipts = look_at(connection, RECEIPTS, "run_id")
    if receipts is not None:
        yield from _lacking_columns(connection, role, receipts, {right: list(receipts.columns) for right in ("SELECT", "INSERT")})
    if target is not None:
        needed = {"SELECT": [key, *columns, RUN], "INSERT": [key, *columns, RUN, LABEL], "UPDATE": [*columns, RUN, LABEL]}
        if mode != "upsert":
            del needed["UPDATE"]
        yield from _lacking_columns(connection, role, target, needed)
        yield from _lacking_whole(connection, role, target.name, key, mode)


def _lacking_columns(connection: Connection, role: str, target: Target, needed: dict[str, list[str]]) -> Iterator[str]:
    """Of rights that may be granted for a table or for some of its columns."""
    asked = text("SELECT has_column_privilege(:role, to_regclass(:table), :column, :right)")
    table = connection.dialect.identifier_preparer.quote(target.name)
    for right, columns in needed.items():
        values = [{"role": role, "table": table, "column": name, "right": right} for name in columns if name in target.columns]
        if not all(connection.scalar(asked, each) for each in values):
            yield f"{right} on {target.name}"


def _lacking_whole(connection: Connection, role: str, name: str, key: str, mode: Mode) -> Iterator[str]:
    """Of rights that only a whole table has: to empty it, or to lock it while rows are merged by a key that is not unique."""
    right = "DELETE" if mode == "replace" else "UPDATE" if mode == "upsert" and not unique_alone(connection, name, key) else None
    if right is None:
        return
    values = {"role": role, "table": connection.dialect.identifier_preparer.quote(name), "right": right}
    if not connection.scalar(text("SELECT has_table_privilege(:role, to_regclass(:table), :right)"), values):
        yield f"{right} on the whole of {name}"
