"""The second wall: a provider's own spending limit of a device, read, compared with our figure, and set by somebody who may approve."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.ledger.acts import ProviderLimitSet
from prefect_gatehouse.ledger.charges import month_of
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.operate.budgets import amount_of, line_of
from prefect_gatehouse.operate.conformance import leases_of
from prefect_gatehouse.operate.signing import record, refuse_nobody
from prefect_gatehouse.providers.interface import Connection, LimitsSpending
from prefect_gatehouse.providers.registry import block_of, connect
from prefect_gatehouse.run.walls import Wall, note, read
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.store.sealer import NoKey


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
    backend = connect(name, Connection(settings.folder("providers"), NoKey(), read_settings(block[0]), prices=settings.prices))
    if not isinstance(backend, LimitsSpending):
        raise InputError("this provider has no spending limits", where="BACKEND", advice="keep to the budgets: gatehouse budget set")
    with leases_of(credential, settings) as leases:
        yield Device(name, backend, leases())


def look(ledger: Ledger, device: Device, now: datetime | None = None) -> tuple[Wall, ...]:
    """The limits that hold a device now, each beside our figure; a difference that nobody has noted yet is an event.

    Raises:
        Unavailable: The provider does not answer.
    """
    walls = read(ledger, device.name, device.backend, device.lease, now)
    for wall in walls:
        if wall.differs:
            note(ledger, wall)
    return walls


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
    event = record(settings, ledger, ProviderLimitSet, statement, act, "a provider's limit is set", refuse_nobody)
    device.backend.limit_spending(amount, start, end, device.lease)
    return event
