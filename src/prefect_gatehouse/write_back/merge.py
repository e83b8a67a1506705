"""Moving staged rows into the table, in the transaction that publishes them: added, instead of all others, or merged by key.

Merging updates the columns of the output and nothing else: columns that the manifest does not name, rows of other tables that hang on
the row, and its identity stay.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, delete, func, insert, literal, select, update

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.write_back.database import WHERE
from prefect_gatehouse.write_back.rows import LABEL, RUN
from prefect_gatehouse.write_back.staging import Staging
from prefect_gatehouse.write_back.target import Mode, unique_alone


def move(connection: Connection, staging: Staging, target: Table, key: str, mode: Mode, run_id: str, label: str) -> None:
    """Puts the staged rows into the table."""
    if mode == "replace":
        connection.execute(delete(target))
    if mode == "upsert":
        _merge(connection, staging, target, key, run_id, label)
        return
    rows = select(*staging.table().c, literal(run_id), literal(label))
    connection.execute(insert(target).from_select([*staging.names, RUN, LABEL], rows))


def _merge(connection: Connection, staging: Staging, target: Table, key: str, run_id: str, label: str) -> None:
    """Rows whose key is there are updated, the others inserted.

    Two statements: one INSERT ... ON CONFLICT DO UPDATE would fire the table's triggers for insertion, and use up its sequences, for rows
    that are there. Whoever inserts the same key meanwhile is met by ON CONFLICT, or, where the key is not unique, kept out by a lock.
    """
    staged = staging.table()
    is_postgresql = connection.dialect.name == "postgresql"
    unique = unique_alone(connection, target.name, key)
    if is_postgresql and not unique:
        connection.exec_driver_sql(f"LOCK TABLE {connection.dialect.identifier_preparer.format_table(target)} IN SHARE ROW EXCLUSIVE MODE")
    others = [name for name in staging.names if name != key]
    marks: dict[str, ColumnElement[str]] = {RUN: literal(run_id), LABEL: literal(label)}
    connection.execute(update(target).where(target.c[key] == staged.c[key]).values({**{name: staged.c[name] for name in others}, **marks}))
    new = select(*staged.c, *marks.values()).select_from(staged.outerjoin(target, target.c[key] == staged.c[key])).where(target.c[key].is_(None))
    if is_postgresql and unique:
        from sqlalchemy.dialects import postgresql  # which other databases need not wait for

        statement = postgresql.insert(target).from_select([*staging.names, RUN, LABEL], new)
        mine = {name: statement.excluded[name] for name in (*others, RUN, LABEL)}
        connection.execute(statement.on_conflict_do_update(index_elements=[key], set_=mine))
    else:
        connection.execute(insert(target).from_select([*staging.names, RUN, LABEL], new))


def refuse_changed(connection: Connection, staging: Staging, target: Table, key: str, run_id: str) -> None:
    """Every staged row stands in the table as it was staged: no trigger, rule or type of the table has changed it.

    Raises:
        DataRefused: Says how many do not, and in which columns.
    """
    staged = staging.table()
    mine = and_(target.c[key] == staged.c[key], target.c[RUN] == run_id)
    others = [name for name in staging.names if name != key]
    whole = and_(mine, *(_equal(target.c[name], staged.c[name]) for name in others))
    missing = select(func.count()).select_from(staged.outerjoin(target, whole)).where(target.c[RUN].is_(None))
    number = int(connection.scalar(missing) or 0)
    if number:
        other = [name for name in others if connection.scalar(_differing(staged, target, mine, name))]
        told = f"other values in {staging.told(other)}" if other else "rows that are not there"
        raise DataRefused(
            f"the table has {number} of the rows otherwise than they were sent: {told}",
            where=WHERE,
            advice="look at its triggers, rules and types; nothing was written",
        )


def _equal(theirs: Column[Any], ours: Column[Any]) -> ColumnElement[bool]:
    return theirs.is_not_distinct_from(ours)


def _differing(staged: Table, target: Table, mine: ColumnElement[bool], name: str) -> Any:
    return select(func.count()).select_from(staged.join(target, mine)).where(target.c[name].is_distinct_from(staged.c[name]))
