"""The quarantines that hold, and who may have signed what gives something: by registry and policy of now, whatever run it is about."""

from __future__ import annotations

from collections.abc import Collection

from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.policy.acts import Facts, Signatories, signatories
from prefect_gatehouse.policy.quarantine import Quarantines, quarantines_in
from prefect_gatehouse.run.bundle import policy_that_counts
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import QuarantineScope


def holding(settings: Settings, source: Facts) -> Quarantines:
    """Those that hold, by a ledger or a transaction of one; with who may sign, as ``signatories``.

    No run's tier is asked: what a quarantine is released by is the signed policy, where one stands, in the prototype tier too.
    """
    return quarantines_in(source, People(settings.people_folder()), settings.environment, policy_that_counts(settings, source))


def signing(settings: Settings, source: Facts) -> Signatories:
    """Who may have signed the acts of a ledger, or of a transaction of one, by registry and policy of now; no quarantine is looked at."""
    return signatories(source, People(settings.people_folder()), settings.environment, policy_that_counts(settings, source))


def why_stopped(held: Quarantines, run: RunRow, backends: Collection[str] = ()) -> list[str]:
    """What of a run is in quarantine, a sentence each.

    Args:
        held: The quarantines that hold.
        run: The run; whether it has ended is not asked.
        backends: Those that it concerns.
    """
    scopes: list[tuple[QuarantineScope, str]] = [("tenant", run.tenant), ("pipeline", run.pipeline), ("principal", run.requester)]
    scopes += [("backend", name) for name in backends]
    found = [each for scope, name in scopes if (each := held.of(scope, name)) is not None]
    return list(dict.fromkeys(f"{each.name} is in quarantine [{each.event.seq}]" for each in found))
