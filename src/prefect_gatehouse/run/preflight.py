"""The look at the target before anybody is asked: what can be known of the write-back is known before a job is paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.manifest.endpoints import endpoint_of
from prefect_gatehouse.manifest.models import Manifest, Purpose
from prefect_gatehouse.policy.classes import target_of
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.credentials import Fetch
from prefect_gatehouse.run.planned import Preflight
from prefect_gatehouse.run.returned import key_kind
from prefect_gatehouse.run.values import AdmittedRun
from prefect_gatehouse.write_back.preflight import Wanted, look_ahead

if TYPE_CHECKING:
    from prefect_gatehouse.write_back.target import Target


def refuse_unlooked(manifest: Manifest, tier: TierRules) -> None:
    """Stops a run whose target nobody can look at, in a tier that wants it looked at.

    Raises:
        Denied: The tier demands a pre-flight, and the manifest names no credential for it.
    """
    if tier.preflight == "required" and manifest.credentials.preflight is None:
        raise Denied(
            f"the tier {tier.name} demands a pre-flight, and the manifest names no credential for it",
            where="credentials.preflight",
            advice="name a block with the target's address, for a user that need only read the catalogue",
        )


def preflight(attempt: Attempt, admitted: AdmittedRun, endpoint: str, fetch: Fetch) -> tuple[Preflight, Target | None]:
    """Looks at the target, read-only, under a credential of its own.

    Args:
        attempt: The attempt.
        admitted: The run.
        endpoint: Where the target is, as the plan will say.
        fetch: Fetches the credential.

    Returns:
        What the plan tells of it; and the table, None where nobody has seen one.

    Raises:
        Denied: The address is not the declared system, or the target can't take the rows.
        InputError: The address is none.
        Unavailable: The driver is not installed, or the database does not answer.
    """
    manifest = admitted.manifest
    if admitted.tier.preflight == "never":
        return Preflight(looked=False, because=f"the tier {admitted.tier.name} never looks"), None
    if manifest.credentials.preflight is None:
        return Preflight(looked=False, because="the manifest names no credentials.preflight"), None
    with fetch(attempt, admitted, Purpose.PREFLIGHT) as lease:
        url = lease.reveal(Purpose.PREFLIGHT)
        system = target_of(manifest)
        if endpoint_of(url, "preflight") != endpoint:
            advice = "correct the block or the manifest"
            raise Denied("the pre-flight address is not the declared system", where=f"systems.{system.name}", advice=advice)
        found = look_ahead(url, _wanted(manifest))
    if found.problems:
        raise Denied("; ".join(found.problems), where="output.target", advice="alter the table, the rights or the manifest, then start a new run")
    return Preflight(looked=True, table_exists=found.table_exists, checks=tuple(found.checks)), found.target


def _wanted(manifest: Manifest) -> Wanted:
    output, credentials = manifest.output, manifest.credentials
    return Wanted(
        table=output.target.table,
        key=output.key,
        key_kind=key_kind(manifest),
        columns=output.names,
        mode=output.mode,
        role=target_of(manifest).role,
        as_self=credentials.preflight == credentials.write_back,
    )
