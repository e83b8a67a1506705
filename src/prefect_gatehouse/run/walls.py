"""Walls: a provider's own spending limits of a device, compared with what our journal has for the same time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.ledger.jobs import SpendingDiffered
from prefect_gatehouse.ledger.spending import used_on
from prefect_gatehouse.ledger.store import LEDGER, Ledger
from prefect_gatehouse.providers.interface import LimitsSpending, SpendingLimit
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.usd import UNIT, in_usd, up


@dataclass(frozen=True)
class Wall:
    """A provider's limit beside our figures of the same time.

    Attributes:
        backend: The device, as manifests name it; several names of one device with commas between them.
        limit: The provider's.
        settled: USD that our journal has as billed in the limit's period.
        reserved: USD of the jobs whose bill is not known yet, at worst.
        jobs: That the two are made of.
    """

    backend: str
    limit: SpendingLimit
    settled: Decimal
    reserved: Decimal
    jobs: int

    @property
    def ours(self) -> Decimal:
        """USD that our journal has for the device, settled and reserved."""
        return self.settled + self.reserved

    @property
    def theirs(self) -> Decimal:
        """USD that the provider has, spent and queued."""
        return self.limit.spent + self.limit.queued

    @property
    def differs(self) -> bool:
        """Whether their figure is none that ours can become.

        A job whose bill is not known costs something between nothing and its reservation, and every job of ours was rounded up by less than a unit.
        """
        return not self.settled - self.jobs * UNIT <= self.theirs <= self.ours


def read(ledger: Ledger, name: str, backend: LimitsSpending, lease: CredentialLease, now: datetime | None = None) -> tuple[Wall, ...]:
    """The limits that hold a device now, each beside our figures.

    Raises:
        Unavailable: The provider does not answer.
    """
    now = now or datetime.now(UTC)
    found = []
    for limit in backend.spending_limits(lease):
        if limit.holds(now):
            with ledger.reading() as connection:
                used, jobs = used_on(connection, name, limit.start.timestamp(), limit.end.timestamp())
            found.append(Wall(name, limit, in_usd(used.settled), in_usd(used.reserved), jobs))
    return tuple(found)


def joined(walls: Iterable[Wall]) -> tuple[Wall, ...]:
    """One for each limit: where two blocks name one device, our figures of both stand beside the provider's one."""
    found: dict[str, Wall] = {}
    for wall in walls:
        known = found.get(wall.limit.name)
        if known is not None:
            wall = replace(
                wall,
                backend=f"{known.backend}, {wall.backend}",
                settled=known.settled + wall.settled,
                reserved=known.reserved + wall.reserved,
                jobs=known.jobs + wall.jobs,
            )
        found[wall.limit.name] = wall
    return tuple(found.values())


def note(ledger: Ledger, wall: Wall) -> None:
    """Makes an event of a difference, unless the last one that was noted of this limit is as large: figures move with every job of ours."""
    limit = wall.limit
    fact = SpendingDiffered(backend=wall.backend, limit=limit.name, start=limit.start, end=limit.end, theirs_usd=wall.theirs, ours_usd=wall.ours)
    noted = [event.fact for event in ledger.facts(SpendingDiffered) if event.fact.limit == limit.name]
    if noted and up(noted[-1].theirs_usd) - noted[-1].ours_usd == up(wall.theirs) - wall.ours:
        return
    with ledger.transaction() as tx:
        tx.append(f"spending-differed:{digest(fact.data())[:32]}", LEDGER, fact)
