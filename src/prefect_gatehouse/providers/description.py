"""What a provider is like, item by item, to be compared with what people approved: what it says of a device, and what the table says it costs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from prefect_gatehouse.canonical import Json, canonical
from prefect_gatehouse.ledger.jobs import Drift
from prefect_gatehouse.money.prices import Prices
from prefect_gatehouse.providers.interface import Backend, Described
from prefect_gatehouse.providers.registry import LOCAL, split
from prefect_gatehouse.secrets.lease import CredentialLease


def may_change(backend: str) -> bool:
    """Whether a backend is anybody else's: a simulator on this machine is what is installed, which a plan covers."""
    return split(backend)[0] != LOCAL


def describe(backend: Backend, prices: Path, lease: CredentialLease) -> dict[str, Json]:
    """The items.

    Args:
        backend: The backend.
        prices: The price table.
        lease: For submitting.

    Raises:
        InputError: The price table is malformed.
        Unavailable: The provider does not answer.
    """
    facts = backend.facts(lease)
    found: dict[str, Json] = {
        "provider": facts.provider,
        "version": facts.version,
        "qubits": facts.qubits,
        "circuits in a job": facts.circuits_per_job,
    }
    if isinstance(backend, Described):
        found |= backend.described(lease)
    price = Prices(prices).get(facts.priced_as) if facts.priced_as else None
    if price is not None:
        found |= {f"price: {name}": value for name, value in json.loads(price.model_dump_json(exclude_none=True)).items()}
    return found


def compare(approved: Mapping[str, Json], found: Mapping[str, Json]) -> tuple[Drift, ...]:
    """What is another one now, by item; a list item by item of its own: what came and what went."""
    changed = sorted(name for name in {*approved, *found} if canonical(approved.get(name)) != canonical(found.get(name)))
    drifts = []
    for name in changed:
        before, now = approved.get(name), found.get(name)
        if isinstance(before, list) and isinstance(now, list):
            gone, come = [each for each in before if each not in now], [each for each in now if each not in before]
            if gone or come:
                before, now = gone, come
        drifts.append(Drift(item=name, approved=before, found=now))
    return tuple(drifts)
