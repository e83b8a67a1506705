"""The second wall: a provider's own spending limit of a device, read, compared with our figure, and set by somebody who may approve."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.ledger.charges import month_of
from prefect_gatehouse.ledger.events import ProviderLimitSet, SpendingDiffered
from prefect_gatehouse.ledger.spending import used_on
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.operate.budgets import amount_of, line_of
from prefect_gatehouse.operate.conformance import leases_of
from prefect_gatehouse.operate.signing import LEDGER, record
from prefect_gatehouse.providers.interface import Connection, LimitsSpending, SpendingLimit
from prefect_gatehouse.providers.registry import block_of, connect
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.store.sealer import NoKey
from prefect_gatehouse.usd import in_usd, up


@dataclass(frozen=True)
class Wall:
    """A provider's limit beside our figure of the same time.

    Attributes:
        limit: The provider's.
        ours: USD that our journal has for the backend in the limit's period.
    """

    limit: SpendingLimit
    ours: Decimal

    @property
    def theirs(self) -> Decimal:
        """USD that the provider has, spent and queued."""
        return self.limit.spent + self.limit.queued

    @property
    def differs(self) -> bool:
        """Whether the two figures are not the same."""
        return up(self.theirs) != up(self.ours)


@dataclass(frozen=True)
class Device:
    """A device with a lease that may ask about its limits.

    Attributes:
        name: As manifests name it.
        backend: The device.
        lease: Revoked by whoever made it.
    """

    name: str
    backend: LimitsSpending
    lease: CredentialLease


@contextmanager
def device_of(settings: Settings, name: str, credential: str) -> Iterator[Device]:
    """A device by its name in a manifest, with a credential of an administrator's.

    Raises:
        InputError: There is no such backend, or its provider has no limits.
        Unavailable: A block is missing, or its server does not answer.
    """
    from prefect_gatehouse.blocks.devices import read_settings

    block = block_of(name)
    if block is None:
        raise InputError("this backend bills nothing", where="BACKEND", advice="name a device, such as braket/NAME")
    backend = connect(name, Connection(settings.folder("providers"), NoKey(), read_settings(block[0])))
    if not isinstance(backend, LimitsSpending):
        raise InputError("this provider has no spending limits", where="BACKEND", advice="keep to the budgets: gatehouse budget set")
    with leases_of(credential, settings) as leases:
        yield Device(name, backend, leases())


def look(ledger: Ledger, device: Device, now: datetime | None = None) -> tuple[Wall, ...]:
    """The limits that hold a device now, each beside our figure; a difference that nobody has noted yet is an event.

    Raises:
        Unavailable: The provider does not answer.
    """
    now = now or datetime.now(UTC)
    walls = []
    for limit in device.backend.spending_limits(device.lease):
        if limit.holds(now):
            with ledger.reading() as connection:
                ours = in_usd(used_on(connection, device.name, limit.start.timestamp(), limit.end.timestamp()))
            walls.append(Wall(limit, ours))
    for wall in walls:
        if wall.differs:
            _note(ledger, device.name, wall)
    return tuple(walls)


def _note(ledger: Ledger, backend: str, wall: Wall) -> None:
    limit = wall.limit
    fact = SpendingDiffered(backend=backend, limit=limit.name, start=limit.start, end=limit.end, theirs_usd=wall.theirs, ours_usd=wall.ours)
    with ledger.transaction() as tx:
        tx.append(f"spending-differed:{digest(fact.data())[:32]}", LEDGER, fact)


def set_wall(settings: Settings, ledger: Ledger, device: Device, *, month_usd: str, reason: str) -> Event[ProviderLimitSet]:
    """Signs what the provider's limit of this month is to be, records it, and has the provider set it.

    Where the provider fails, the decision stands in the ledger, and giving the command again sets the same limit.

    Raises:
        InputError: A value is malformed, or the caller has no usable signing key.
        Denied: The caller's key belongs to nobody who may approve, or the provider refuses.
        Unavailable: The provider does not answer.
    """
    now = datetime.now(UTC)
    start = datetime(now.year, now.month, 1, tzinfo=UTC)
    end = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    amount, act = amount_of(month_usd), str(uuid.uuid4())
    statement = {
        "action": "set-provider-limit",
        "backend": device.name,
        "month": month_of(now.timestamp()),
        "month_usd": str(amount),
        "reason": line_of(reason, "--reason"),
        "environment": settings.environment,
        "limit": act,
    }
    event = record(settings, ledger, ProviderLimitSet, statement, act, "a provider's limit is set")
    device.backend.limit_spending(amount, start, end, device.lease)
    return event
