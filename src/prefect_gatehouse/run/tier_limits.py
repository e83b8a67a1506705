"""What a tier limits beside what it demands, as the policy is told it of a plan and as people read it: the regions of devices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prefect_gatehouse.policy.interface import Fact
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.providers.registry import LOCAL, region_of, split
from prefect_gatehouse.run.planned import BackendSnapshot

UNKNOWN = "unknown"
"""A region that no setting says, as the policy is told it."""


def region_facts(tier: TierRules, backends: Iterable[BackendSnapshot]) -> dict[str, Fact]:
    """Where jobs may go: whoever is no simulator of this machine is in a region, and one that nobody knows is none of the tier's."""
    found = [region_of(each.name, each.as_set()) for each in backends if split(each.name)[0] != LOCAL]
    within = tier.regions is None or set(found) <= set(tier.regions)
    return {"regions": tuple(sorted({each or UNKNOWN for each in found})), "regions_in_tier": within}


def supposed_region_facts(tier: TierRules) -> dict[str, Fact]:
    """The same where nobody has looked at the devices' blocks: as the tier wants it."""
    return {"regions": tier.regions or (), "regions_in_tier": True}


def limits_in_words(tier: TierRules) -> Iterator[str]:
    """Each limit for people; none where the tier has none."""
    if tier.regions is not None:
        yield f"devices in {', '.join(tier.regions)} only"
