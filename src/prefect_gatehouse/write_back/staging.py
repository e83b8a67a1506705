"""Staging: a table of the run's own whose columns have the types of the target's, so that what it gives back is what the target would.

Rows are put there in a transaction of their own, looked at again in the one that publishes, and gone afterwards whatever happened. A
value that the target's type would change comes back as another one, and nothing is published.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import REAL, Boolean, Column, Connection, Engine, Float, MetaData, Numeric, Table, bindparam, cast, insert, inspect, select
from sqlalchemy.schema import CreateTable, DropTable
from sqlalchemy.types import TypeEngine

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.write_back.database import REFUSED, WHERE, writing
from prefect_gatehouse.write_back.rows import BATCH, Kind, Rows, received
from prefect_gatehouse.write_back.target import BINDS, Target, made_type

_ADVICE = "round or convert in the workload, or alter the table"


@dataclass(frozen=True)
class StagedColumn:
    """A column of staging.

    Attributes:
        name: Its name.
        kind: What it holds.
        type: The target's type, or the one that the target will be made with.
        told: That type in the database's words.
        bind: The type that values are sent as and come back in.
        single: Whether the database keeps floats of single precision there.
    """

    name: str
    kind: Kind
    type: TypeEngine[Any]
    told: str
    bind: TypeEngine[Any]
    single: bool

    def sent(self, value: object) -> object:
        """A value as the driver takes it for this column; the database converts it, if at all."""
        if isinstance(self.bind, Numeric) and not isinstance(self.bind, Float):
            return Decimal(repr(value)) if isinstance(value, float) else value
        if self.kind == "decimal" and value is not None:
            return float(str(value))
        return int(value) if self.kind == "boolean" and not isinstance(self.bind, Boolean) and isinstance(value, bool) else value


@dataclass(frozen=True)
class Staging:
    """The table.

    Attributes:
        name: The run's own.
        columns: Those of the output, the key first.
    """

    name: str
    columns: tuple[StagedColumn, ...]

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return [column.name for column in self.columns]

    def table(self) -> Table:
        """For statements: values go and come in the types that they are sent in."""
        return Table(self.name, MetaData(), *(Column(column.name, column.bind) for column in self.columns))

    def definition(self) -> Table:
        """For its creation: the target's types and none of its constraints."""
        return Table(self.name, MetaData(), *(Column(column.name, column.type) for column in self.columns))

    def told(self, names: Iterable[str]) -> str:
        """Columns with their types, in words."""
        wanted = set(names)
        return ", ".join(f"{column.name} ({column.told})" for column in self.columns if column.name in wanted)


def staging_name(run_id: str) -> str:
    """The name of a run's staging."""
    return "_gatehouse_stage_" + "".join(character for character in run_id if character.isalnum())[:32]


def staging_for(engine: Engine, run_id: str, kinds: Mapping[str, Kind], target: Target | None) -> Staging:
    """Staging for rows of these kinds; ``target`` is None where the table is still to be made."""
    exact = engine.dialect.name == "postgresql"
    columns = []
    for name, kind in kinds.items():
        kept = target.columns[name] if target is not None else None
        theirs = kept.stored if kept is not None else made_type(kind, decimals=exact)
        below = kept.type if kept is not None else theirs
        told = kept.told if kept is not None else str(theirs.compile(engine.dialect))
        single = engine.dialect.name == "postgresql" and isinstance(below, REAL)
        columns.append(StagedColumn(name, kind, theirs, told, _bind(kind, below, exact), single))
    return Staging(staging_name(run_id), tuple(columns))


def _bind(kind: Kind, theirs: TypeEngine[Any], exact: bool) -> TypeEngine[Any]:
    if kind in ("float", "decimal"):
        # PostgreSQL rounds a double that becomes a numeric to 15 digits; its shortest form as a decimal is kept whole.
        return BINDS["decimal"] if exact and not isinstance(theirs, Float) else BINDS["float"]
    if kind == "boolean" and not isinstance(theirs, Boolean):
        return BINDS["integer"]
    return BINDS[kind]


def fill(engine: Engine, staging: Staging, rows: Rows) -> None:
    """Makes staging and puts the rows there.

    Raises:
        DataRefused: A column does not take every value; it is named with its type.
    """
    try:
        with writing(engine, staging.name) as connection:
            _make(connection, staging)
            for batch in rows.batches():
                _insert(connection, staging, staging.columns, batch)
    except REFUSED:
        names = _refusing(engine, staging, rows)
        if not names:
            raise
        message = f"the database does not take every value of {staging.told(names)}"
        raise DataRefused(message, where=WHERE, advice=_ADVICE) from None


def _make(connection: Connection, staging: Staging) -> None:
    definition = staging.definition()
    connection.execute(DropTable(definition, if_exists=True))
    connection.execute(CreateTable(definition))


def _insert(connection: Connection, staging: Staging, columns: Sequence[StagedColumn], batch: list[dict[str, object]]) -> None:
    values: dict[str, Any] = {}
    for number, column in enumerate(columns):
        value = bindparam(f"v{number}", type_=column.bind)
        # An enumeration or a domain takes no parameter that says that it is text.
        explicit = column.kind == "text" and connection.dialect.name == "postgresql"
        values[column.name] = cast(value, column.type) if explicit else value
    sent = [{f"v{number}": column.sent(row[column.name]) for number, column in enumerate(columns)} for row in batch]
    connection.execute(insert(staging.table()).values(values), sent)


def _refusing(engine: Engine, staging: Staging, rows: Rows) -> list[str]:
    """The columns that alone, too, can't be put into staging; nothing of it stays."""
    refusing = []
    for column in staging.columns:
        try:
            with engine.connect() as connection, connection.begin() as transaction:
                _make(connection, staging)
                for batch in rows.batches():
                    _insert(connection, staging, (column,), batch)
                transaction.rollback()
        except REFUSED:
            refusing.append(column.name)
    return refusing


def refuse_other_rows(connection: Connection, staging: Staging, rows: Rows) -> None:
    """Every row is there as it was sent, once, and no other; nobody changes one until the transaction ends.

    Raises:
        DataRefused: Names the columns whose values came back as other ones.
    """
    table = staging.table()
    postgresql = connection.dialect.name == "postgresql"
    if postgresql:
        connection.exec_driver_sql(f"LOCK TABLE {connection.dialect.identifier_preparer.format_table(table)} IN SHARE MODE")
    # Single precision is told in its shortest form, which may be that of the double that it was made from.
    columns = [cast(table.c[each.name], BINDS["float"]).label(each.name) if each.single else table.c[each.name] for each in staging.columns]
    places = {key: place for place, key in enumerate(rows.table.column(rows.key).to_pylist())}
    other: set[str] = set()
    strange = False
    with connection.execute(select(*columns).execution_options(yield_per=BATCH)) as found:
        for part in found.mappings().partitions():
            back = [received(dict(row), rows.kinds) for row in part]
            known = [(row, places.pop(row[rows.key], None)) for row in back]
            pairs = zip([row for row, place in known if place is not None], rows.at([place for _, place in known if place is not None]), strict=True)
            other.update(name for row, sent in pairs for name in staging.names if row[name] != sent[name])
            strange |= any(place is None for _, place in known)
    if strange or places:
        other.add(rows.key)
    if other:
        message = f"staging has not the rows that were sent: other values in {staging.told(other)}"
        raise DataRefused(message, where=WHERE, advice=f"{_ADVICE}; nothing was written")


def drop(engine: Engine, name: str) -> int:
    """Drops a staging table; 1 if there was one."""
    with writing(engine, name) as connection:
        there = inspect(connection).has_table(name)
        if there:
            connection.execute(DropTable(Table(name, MetaData()), if_exists=True))
        return int(there)
