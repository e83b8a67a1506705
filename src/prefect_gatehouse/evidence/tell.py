"""Tells whoever is to be told outside, as the settings say; nobody waits for it and nothing fails by it."""

from __future__ import annotations

from contextlib import suppress

from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.evidence.outbox import Drained, drain
from prefect_gatehouse.evidence.ship.interface import Shipper
from prefect_gatehouse.evidence.ship.noop import Noop
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.settings import Settings


def tell_outside(settings: Settings, ledger: Ledger) -> Drained | None:
    """Tells the receiver of lineage what is new; None where the ledger can't be read, which others have told of."""
    with suppress(GatehouseError, OSError):
        return drain(ledger, _lineage(settings, ledger), settings.folder("lineage"))
    return None


def _lineage(settings: Settings, ledger: Ledger) -> Shipper:
    if settings.lineage == "none":
        return Noop()
    from prefect_gatehouse.evidence.ship.openlineage import OpenLineage

    return OpenLineage(settings, ledger)
