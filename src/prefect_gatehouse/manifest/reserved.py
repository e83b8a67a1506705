"""Names of tables and columns that a manifest may not give, because a database or Gatehouse itself keeps them."""

from __future__ import annotations

from collections.abc import Sequence

_OURS = "_gatehouse_"  # receipts, staging, and the two columns of every target
_OF_SQLITE = "sqlite_"  # https://www.sqlite.org/fileformat2.html, section 2.6: internal schema objects
_OF_POSTGRESQL = "pg_"  # a table of the catalog comes before ours of the same name
_CATALOGS = frozenset({"information_schema"})
# PostgreSQL, section 5.6: system columns that every table has.
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
_LONGEST = 63  # bytes of a name in PostgreSQL, which cuts longer ones in silence


def free_table(name: str) -> str:
    """The name of a table, if nobody keeps it; the same on every database, so that a manifest can move.

    Raises:
        ValueError: Somebody does.
    """
    lower = name.lower()
    if lower.startswith(_OURS):
        raise ValueError("names that begin with _gatehouse_ are Gatehouse's own; name another table")
    if lower.startswith((_OF_SQLITE, _OF_POSTGRESQL)) or lower in _CATALOGS:
        raise ValueError("this name belongs to the database; name another table")
    return name


def about_column(name: str, dialect: str) -> str | None:
    """Why a column of a table can't have a name, None where it can."""
    if name.lower().startswith(_OURS):
        return "names that begin with _gatehouse_ are Gatehouse's own; rename the column"
    if dialect == "postgresql" and name.lower() in _SYSTEM_COLUMNS:
        return "every table of PostgreSQL has a column of this name already; rename the column"
    if dialect == "postgresql" and len(name.encode()) > _LONGEST:
        return f"a name in PostgreSQL has at most {_LONGEST} bytes; shorten it"
    return None


def alike(names: Sequence[str], dialect: str) -> str | None:
    """A name that the database can't tell from an earlier one, because it does not see case; None where there is none."""
    if dialect == "postgresql":
        return None
    seen: dict[str, str] = {}
    return next((name for name in names if seen.setdefault(name.casefold(), name) != name), None)
