"""An installation with a ledger, an attempt and a journal, on each of the two databases."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.settings import Settings

RUN = "3f0d5a3e-0000-4000-8000-000000000002"
CANARY = b"CANARY-payload"
PENNY = Decimal("0.0001")


class Desk:
    """One installation whose ledger may be on either database."""

    def __init__(self, home: Path, url: str = "", run_id: str = RUN) -> None:
        self.settings = Settings(home=home, ledger_url=url)
        self.settings.folder("")
        self.ledger = Ledger(self.settings.ledger())
        self.attempt = self.next_attempt(run_id)

    def next_attempt(self, run_id: str = RUN) -> Attempt:
        return Attempt(self.settings, self.ledger, run_id, lambda block: SecretText(""))

    def events(self, kind: str) -> list[Event]:
        return self.ledger.events(self.attempt.run_id, kind)

    def spent(self, run_id: str = RUN) -> Decimal:
        with self.ledger.transaction() as tx:
            return journal.spent(tx, run_id)

    def used(self) -> int:
        with self.ledger.transaction() as tx:
            return journal.used_jobs(tx, RUN)

    def everything(self) -> tuple[list[journal.Entry], int]:
        """All that a refused act must leave as it was."""
        return journal.entries(self.attempt), self.ledger.size()


def intend(attempt: Attempt, *prices: str, round_number: int = 0, number: int = 0, cap: str = "100", jobs_cap: int = 100) -> list[journal.Entry]:
    """One job for each price, its payload told by its place."""
    payloads = [(CANARY + f"-{round_number}-{job}".encode(), job + 1, f"{job:064x}") for job in range(len(prices))]
    return journal.intend(
        attempt,
        payloads,
        round_number=round_number,
        fallback=number,
        backend="aer",
        prices=[Decimal(price) for price in prices],
        cap=Decimal(cap),
        jobs_cap=jobs_cap,
    )
