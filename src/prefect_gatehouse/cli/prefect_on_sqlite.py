"""Prefect's own command for a server on SQLite: transactions wait for each other instead of failing with "database is locked".

Prefect begins most of its transactions as readers. One that has read and then wants to write, while another wrote in between, can
never be granted the lock: SQLite fails it at once, whatever its busy timeout (https://www.sqlite.org/rescode.html#busy_snapshot),
and the server answers 503. On a busy machine people's answers to forms were lost that way. A transaction that begins as a
writer waits for its turn.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from prefect.server.database import dependencies
from prefect.server.database.configurations import SQLITE_BEGIN_MODE, AioSqliteConfiguration
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction


class PatientSqlite(AioSqliteConfiguration):
    """Prefect's SQLite with every transaction begun as a writer."""

    @asynccontextmanager
    async def begin_transaction(self, session: AsyncSession, with_for_update: bool = False) -> AsyncGenerator[AsyncSessionTransaction, None]:
        """Begins a transaction that holds the writer's lock from its start.

        At once, not with its first statement, and with the mode set no longer than that: whatever task is started inside a transaction
        inherits the mode, and would take the lock for each thing that it only reads, for as long as it reads.
        """
        async with session.begin() as transaction:
            mode = SQLITE_BEGIN_MODE.set("IMMEDIATE")
            try:
                await session.connection()
            finally:
                SQLITE_BEGIN_MODE.reset(mode)
            yield transaction


def main() -> None:
    """Runs Prefect's command line with this database."""
    from prefect.cli import app

    dependencies.MODELS_DEPENDENCIES["database_config"] = PatientSqlite(connection_url=PREFECT_API_DATABASE_CONNECTION_URL.value())
    app()


if __name__ == "__main__":
    main()
