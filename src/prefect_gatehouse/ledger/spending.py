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


_OPEN = case((charges.c.settled.is_(None), charges.c.reserved), else_=0)
# PostgreSQL adds whole numbers up to a decimal one.
_SUMS = [cast(func.coalesce(func.sum(each), 0), BigInteger) for each in (_OPEN, charges.c.settled)]


def used(connection: Connection, month: str, tenant: str, billing_code: str = "") -> Used:
    """What a tenant, or one of its billing codes, has used of a month."""
    where = (charges.c.month == month) & (charges.c.tenant == tenant)
    if billing_code:
        where &= charges.c.billing_code == billing_code
    reserved, settled = connection.execute(select(*_SUMS).where(where)).one()
    return Used(reserved, settled)


def used_on(connection: Connection, backend: str, start: float, end: float) -> tuple[Used, int]:
    """What jobs on a backend that were intended in a period have used, and how many jobs those are."""
    here = (submissions.c.backend == backend) & (submissions.c.intended >= start) & (submissions.c.intended < end)
    joined = charges.join(submissions, submissions.c.key == charges.c.key)
    reserved, settled, jobs = connection.execute(select(*_SUMS, func.count()).select_from(joined).where(here)).one()
    return Used(reserved, settled), jobs


def devices_used(connection: Connection, month: str) -> dict[str, str]:
    """Backends on which jobs that may cost something were intended in a month, each with the run of the newest of them."""
    here = (charges.c.month == month) & (charges.c.reserved > 0)
    newest = func.max(submissions.c.intended)
    query = select(submissions.c.backend, submissions.c.run_id, newest).join(charges, submissions.c.key == charges.c.key).where(here)
    rows = connection.execute(query.group_by(submissions.c.backend, submissions.c.run_id).order_by(newest))
    return {row.backend: row.run_id for row in rows}
