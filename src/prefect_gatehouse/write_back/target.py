"""The table that rows go into: what it is, and everything that keeps the rows of an output from going into it.

The same look serves the pre-flight, before any job, and the publication. It reads the catalogue only.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Double,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.types import NullType, TypeEngine

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.write_back.rows import LABEL, RUN, Kind

Mode = Literal["append", "replace", "upsert"]

_OWN = {RUN: 36, LABEL: 8}  # the longest text that goes into each: a UUID, "fallback"

# A unique index over the column alone, whole and immediate: what INSERT ... ON CONFLICT takes.
_UNIQUE = {
    "postgresql": """
        SELECT count(*) FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
        WHERE indrelid = to_regclass(:quoted) AND indisunique AND indisvalid AND indimmediate AND indnkeyatts = 1
          AND indpred IS NULL AND indexprs IS NULL AND attname = :key""",
    "sqlite": """
        SELECT count(*) FROM pragma_index_list(:name) AS list WHERE list."unique" AND NOT list.partial
          AND (SELECT count(*) FROM pragma_index_info(list.name)) = 1 AND (SELECT name FROM pragma_index_info(list.name)) = :key""",
}


@dataclass(frozen=True)
class TargetColumn:
    """A column of the table.

    Attributes:
        type: Its type; of a domain, the type below it.
        stored: Its type, the domain where it is one.
        told: The type in the database's words.
        filled: The database fills it where nobody names it: null, a default, an identity.
        writable: Not generated from others, and no identity that is always the database's.
    """

    type: TypeEngine[Any]
    stored: TypeEngine[Any]
    told: str
    filled: bool
    writable: bool


@dataclass(frozen=True)
class Target:
    """The table.

    Attributes:
        name: Its name.
        columns: Its columns by name, in order.
        primary_key: The columns of its primary key.
        unique: Whether the key alone is unique in it.
    """

    name: str
    columns: Mapping[str, TargetColumn]
    primary_key: tuple[str, ...]
    unique: bool


def look_at(connection: Connection, name: str, key: str) -> Target | None:
    """The table of that name, None if there is none.

    Raises:
        Denied: SQLite has it under a name that differs by case.
    """
    inspector = inspect(connection)
    if not inspector.has_table(name):  # a view counts
        return None
    if connection.dialect.name == "sqlite" and name not in (*inspector.get_table_names(), *inspector.get_view_names()):
        message = "the database has the table under a name that differs by case"
        raise Denied(message, where="output.target.table", advice="write it as the database has it")
    primary = tuple(inspector.get_pk_constraint(name)["constrained_columns"])
    sqlite = connection.dialect.name == "sqlite"
    columns = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about types that SQLAlchemy does not know: Gatehouse fills none of them, and says so itself
        described = inspector.get_columns(name)
    for found in described:
        stored = found["type"]
        told = "of no known type" if isinstance(stored, NullType) else str(stored.compile(connection.dialect))
        own = "identity" in found or "computed" in found
        numbered = sqlite and primary == (found["name"],) and told == "INTEGER"  # SQLite's own row number
        always = found.get("identity", {"always": False})["always"]
        kind, may_lack = _below(stored)
        columns[found["name"]] = TargetColumn(
            kind,
            stored,
            told,
            filled=own or numbered or found["default"] is not None or (found["nullable"] and may_lack),
            writable="computed" not in found and not always,
        )
    return Target(name, columns, primary, primary == (key,) or unique_alone(connection, name, key))


def _below(kind: TypeEngine[Any]) -> tuple[TypeEngine[Any], bool]:
    """The type below a domain, and whether the domain lets a column that nobody fills be."""
    may_lack = True
    below: Any = kind
    while below.__visit_name__ == "DOMAIN":  # PostgreSQL's; its dialects take 20 ms to import, which other databases need not wait for
        may_lack &= not below.not_null or below.default is not None
        below = below.data_type
    return below, may_lack


def unique_alone(connection: Connection, name: str, key: str) -> bool:
    """Whether a whole, immediate unique index has the key as its only column."""
    statement = _UNIQUE.get(connection.dialect.name)
    if statement is None:
        return False
    values = {"quoted": connection.dialect.identifier_preparer.quote(name), "name": name, "key": key}
    return bool(connection.scalar(text(statement), {name: value for name, value in values.items() if f":{name}" in statement}))


def problems(target: Target, key: str, kinds: Mapping[str, Kind | None], mode: Mode) -> Iterator[str]:
    """What keeps rows from going into the table.

    Args:
        target: The table.
        key: The column that identifies a row.
        kinds: What each column of the output holds, None where nobody knows yet.
        mode: How the rows go in.
    """
    missing = [name for name in (*kinds, RUN, LABEL) if name not in target.columns]
    if missing:
        yield f"has no columns {', '.join(missing)}"
    for name, kind in kinds.items():
        if name in target.columns:
            yield from _column_problems(name, target.columns[name], kind)
    for name, longest in _OWN.items():
        if name in target.columns and not _takes_text(target.columns[name].type, longest):
            yield f"column {name} is {target.columns[name].told}, it must take texts of {longest} characters"
    unfilled = [name for name, column in target.columns.items() if not column.filled and name not in kinds and name not in _OWN]
    if unfilled:
        yield f"columns {', '.join(unfilled)} must not be null, have no default, and the output does not name them"
    if mode == "upsert" and not target.unique and key in target.primary_key:
        yield f"the key {key} is one of several columns of the primary key, so it identifies no row to update"


def _column_problems(name: str, column: TargetColumn, kind: Kind | None) -> Iterator[str]:
    if not column.writable:
        yield f"column {name} is generated by the database"
    elif kind is not None and not takes(column.type, kind):
        yield f"column {name} is {column.told} and takes no {kind}"
    elif kind is None and not any(takes(column.type, each) for each in BINDS):
        yield f"column {name} is {column.told}, which Gatehouse does not fill"


def takes(theirs: TypeEngine[Any], kind: Kind) -> bool:
    """Whether a column may hold such values; whether it holds each of them exactly is seen when they are staged."""
    if kind in ("timestamp", "timestamp with time zone"):
        return isinstance(theirs, DateTime) and theirs.timezone == (kind != "timestamp")
    wanted: dict[Kind, tuple[type[TypeEngine[Any]], ...]] = {
        "text": (String,),
        "integer": (Integer, Numeric),
        "float": (Numeric,),
        "decimal": (Numeric,),
        "boolean": (Boolean, Integer),
        "date": (Date,),
    }
    return isinstance(theirs, wanted[kind])


def _takes_text(theirs: TypeEngine[Any], longest: int) -> bool:
    return isinstance(theirs, String) and (theirs.length is None or theirs.length >= longest)


BINDS: Mapping[Kind, TypeEngine[Any]] = {
    "text": Text(),
    "integer": BigInteger(),
    "float": Double(),
    "decimal": Numeric(),
    "boolean": Boolean(),
    "timestamp": DateTime(),
    "timestamp with time zone": DateTime(timezone=True),
    "date": Date(),
}
"""The type of a column that holds values of a kind exactly."""


def made_type(kind: Kind, *, decimals: bool) -> TypeEngine[Any]:
    """The type of a column that we make; ``decimals``: the database has exact decimals."""
    return BINDS["float"] if kind == "decimal" and not decimals else BINDS[kind]


def make(connection: Connection, name: str, key: str, kinds: Mapping[str, Kind], mode: Mode) -> None:
    """Makes the table; the key is unique in it where rows are replaced by it."""
    decimals = connection.dialect.name == "postgresql"
    columns: Sequence[Column[Any]] = [
        # A database wants a bounded type under a unique key; PostgreSQL and SQLite take Text as well.
        Column(column, made_type(kind, decimals=decimals), nullable=column != key, unique=column == key and mode != "append")
        for column, kind in kinds.items()
    ]
    Table(name, MetaData(), *columns, Column(RUN, String(64), nullable=False), Column(LABEL, String(20), nullable=False)).create(connection)


def updatable(connection: Connection, name: str) -> bool:
    """Whether rows can be put into it at all: a view may be nothing but a question."""
    if connection.dialect.name == "postgresql":
        quoted = connection.dialect.identifier_preparer.quote(name)
        inserts = 8  # of the bits that PostgreSQL gives: 4 is update, 8 is insert, 16 is delete
        return bool((connection.scalar(select(func.pg_relation_is_updatable(func.to_regclass(quoted), True))) or 0) & inserts)
    return name not in inspect(connection).get_view_names()
