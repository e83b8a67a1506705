"""What has been used of a month, summed from the charges in the ledger's database."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Connection, case, cast, func, select

from prefect_gatehouse.ledger.tables import charges, submissions


@dataclass(frozen=True)
class Used:
    """What jobs have taken of a month, in ten-thousandths of a dollar.

    Attributes:
        reserved: Worst cases of jobs that have not been billed yet, or of which nobody knows whether they exist.
        settled: As billed.
    """

    reserved: int
    settled: int

    @property
    def in_all(self) -> int:
        """What is not to be had any more."""
        return self.reserved + self.settled


def used(connection: Connection, month: str, tenant: str, billing_code: str = "") -> Used:
    """What a tenant, or one of its billing codes, has used of a month."""
    where = (charges.c.month == month) & (charges.c.tenant == tenant)
    if billing_code:
        where &= charges.c.billing_code == billing_code
    open_ = case((charges.c.settled.is_(None), charges.c.reserved), else_=0)
    # PostgreSQL adds whole numbers up to a decimal one.
    sums = [cast(func.coalesce(func.sum(each), 0), BigInteger) for each in (open_, charges.c.settled)]
    reserved, settled = connection.execute(select(*sums).where(where)).one()
    return Used(reserved, settled)


def used_on(connection: Connection, backend: str, start: float, end: float) -> int:
    """What jobs on a backend that were intended in a period have used, in ten-thousandths of a dollar: settled, and reserved where they are not."""
    where = (submissions.c.backend == backend) & (submissions.c.intended >= start) & (submissions.c.intended < end)
    amount = func.coalesce(charges.c.settled, charges.c.reserved)
    query = select(cast(func.coalesce(func.sum(amount), 0), BigInteger)).select_from(charges.join(submissions, submissions.c.key == charges.c.key))
    return int(connection.scalar(query.where(where)) or 0)
