"""Target databases of the tests, a file or a real PostgreSQL, with a way to look at them beside the code under test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from prefect_gatehouse.write_back import sql

RUN, OTHER_RUN = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
DIGEST = "d" * 64
# None of these may appear in what an error says.
CANARIES = ("canary-Ünïcode-7391", "canary-secret-pw-5527", "73917391.25")


@dataclass(frozen=True)
class Database:
    """An empty database.

    Attributes:
        url: Its address, with the password where it has one.
        password: What must never be told.
    """

    url: str
    password: str

    @property
    def postgresql(self) -> bool:
        return self.url.startswith("postgresql")

    def execute(self, text: str) -> list[tuple[Any, ...]]:
        """Runs statements of our own, past the code under test."""
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        try:
            with engine.begin() as connection:
                found = connection.execute(sa.text(text))
                return [tuple(row) for row in found] if found.returns_rows else []
        finally:
            engine.dispose()

    def tables(self) -> set[str]:
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        try:
            return set(sa.inspect(engine).get_table_names())
        finally:
            engine.dispose()

    def staging(self) -> set[str]:
        return {name for name in self.tables() if "stage" in name}

    def rows(self, table: str = "predictions") -> list[tuple[Any, ...]]:
        return sorted(self.execute(f"SELECT * FROM {table}"), key=repr)

    def receipts(self) -> list[tuple[Any, ...]]:
        return self.execute("SELECT run_id, target, rows, rows_digest, label FROM _gatehouse_receipts ORDER BY run_id")


def frame(keys: str = "abc", start: float = 0.0) -> pd.DataFrame:
    """One row a letter: a number, a whole number and a text."""
    return pd.DataFrame({"patient": list(keys), "risk": [start + index / 4 for index in range(len(keys))], "class": range(len(keys))}).assign(
        note=[f"note {key}" for key in keys]
    )


def publish(url: str, rows: pd.DataFrame | pa.Table, **changes: Any) -> sql.Published:
    """Publishes with what most tests want."""
    wanted: dict[str, Any] = {
        "table": "predictions",
        "key": "patient",
        "columns": [str(name) for name in (rows.column_names if isinstance(rows, pa.Table) else rows.columns) if name != "patient"],
        "mode": "upsert",
        "run_id": RUN,
        "plan_digest": DIGEST,
        "rows_digest": "1" * 64,
        "label": "primary",
        **changes,
    }
    return sql.publish(url, rows, **wanted)
