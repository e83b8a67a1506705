"""The pre-flight: whether the target will take the rows, asked of its catalogue before anything is paid for.

It reads and never writes: PostgreSQL in a read-only transaction, SQLite opened read-only. What the workload's columns hold is not known
yet; what is checked is what the manifest, the source and the database say.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, text

from prefect_gatehouse.manifest.endpoints import parse
from prefect_gatehouse.write_back import rights
from prefect_gatehouse.write_back.database import looked_at, require_driver
from prefect_gatehouse.write_back.rows import Kind
from prefect_gatehouse.write_back.target import Mode, Target, look_at, problems, updatable


@dataclass(frozen=True)
class Wanted:
    """What a run means to write.

    Attributes:
        table: The table.
        key: The column that identifies a row.
        key_kind: What it holds, None where nobody knows before the workload has run.
        columns: The other columns.
        mode: How rows go in.
        role: The role that will write, None where nobody says.
        as_self: Whether that is the role of the address itself.
    """

    table: str
    key: str
    key_kind: Kind | None
    columns: Sequence[str]
    mode: Mode
    role: str | None = None
    as_self: bool = False


@dataclass
class Found:
    """What the look showed.

    Attributes:
        table_exists: False where the table will be made.
        checks: What is in order, in words.
        problems: What is not.
        target: The table, None where it will be made or nobody could look at it.
    """

    table_exists: bool = False
    checks: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    target: Target | None = None


def look_ahead(url: str, wanted: Wanted) -> Found:
    """Looks at the target.

    Raises:
        InputError: The address is none.
        Unavailable: The driver is not installed, or the database does not answer.
    """
    parsed = parse(url, "preflight")
    require_driver(parsed, "credentials.preflight")
    sqlite = Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None
    found = Found()
    if sqlite is not None:
        found.problems += [*_file_problems(sqlite), *_name_problems(wanted)]
        if found.problems or not sqlite.exists():
            found.checks.append(f"the file is made when the rows are written, and table {wanted.table} in it")
            return found
    with looked_at(url, "preflight") as connection:
        found.checks.append("address and driver work")
        found.problems += _long_names(connection, wanted)
        target = found.target = look_at(connection, wanted.table, wanted.key)
        _look_at_table(connection, wanted, target, found)
        if connection.dialect.name == "postgresql":
            _look_at_rights(connection, wanted, target, found)
    return found


def _file_problems(path: Path) -> Iterator[str]:
    """A SQLite file is written by this machine's user, beside its journal."""
    if path.is_dir() or (path.exists() and not path.is_file()):
        yield "the address names no file"
    elif not path.parent.is_dir():
        yield "the folder of the file does not exist"
    elif not os.access(path.parent, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.R_OK | os.W_OK)):
        yield "this process may not write the file, or not its folder"


def _name_problems(wanted: Wanted) -> Iterator[str]:
    if len({name.lower() for name in (wanted.key, *wanted.columns)}) <= len(wanted.columns):
        yield "to SQLite two of the columns have one name: it does not tell capitals"


def _long_names(connection: Connection, wanted: Wanted) -> Iterator[str]:
    longest = connection.dialect.max_identifier_length
    long = [name for name in (wanted.key, *wanted.columns) if len(name.encode()) > longest]
    if long:
        yield f"the database takes names of {longest} bytes, these are longer: {', '.join(long)}"


def _look_at_table(connection: Connection, wanted: Wanted, target: Target | None, found: Found) -> None:
    if target is None:
        found.checks.append(f"table {wanted.table} is made when the rows are written")
        return
    found.table_exists = True
    kinds: Mapping[str, Kind | None] = {wanted.key: wanted.key_kind, **dict.fromkeys(wanted.columns)}
    wrong = [f"table {wanted.table} {problem}" for problem in problems(target, wanted.key, kinds, wanted.mode)]
    if not updatable(connection, wanted.table):
        wrong.append(f"{wanted.table} is a view that takes no rows")
    found.problems += wrong
    if not wrong:
        found.checks.append(f"table {wanted.table} has the columns, and types that Gatehouse fills")


def _look_at_rights(connection: Connection, wanted: Wanted, target: Target | None, found: Found) -> None:
    if connection.scalar(text("SELECT pg_is_in_recovery()")):
        found.problems.append("the server is a standby, which takes no rows")
    role = wanted.role
    if role is None and wanted.as_self:
        role = rights.own_role(connection)
    if role is None:
        found.checks.append("what the writing role may do was not asked: the system names no role")
    elif not rights.exists(connection, role):
        found.problems.append("the system's role does not exist in the database")
    else:
        missing = list(rights.lacking(connection, role, target, wanted.key, wanted.columns, wanted.mode))
        if missing:
            found.problems.append(f"the writing role lacks {', '.join(missing)}")
        else:
            found.checks.append("the writing role has the rights")
