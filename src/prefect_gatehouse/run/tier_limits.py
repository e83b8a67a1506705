"""What a tier limits beside what it demands, as the policy is told it and as people read it: regions of devices, shots, cost, hours, retention."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from prefect_gatehouse.manifest.fields import write_duration
from prefect_gatehouse.manifest.models import Retention
from prefect_gatehouse.policy.interface import Fact
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.providers.registry import LOCAL, region_of, split
from prefect_gatehouse.run.planned import BackendSnapshot
from prefect_gatehouse.run.values import PlanBody
from prefect_gatehouse.usd import micro_at_most
from prefect_gatehouse.workload.summary import CircuitsSummary

NO_CAP = 10**18 - 1
"""What the policy is told as the tier's cap where the tier has none; whatever is even more than that, nobody means."""
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


def shots_of(circuits: CircuitsSummary, rounds: int) -> int:
    """Shots of a whole run: of every circuit of the first round, in as many rounds as the envelope has."""
    return circuits.shots * circuits.count * rounds


def shot_facts(tier: TierRules, shots: int) -> dict[str, Fact]:
    """What a run asks for, and may."""
    return {"shots": shots, "tier_shots": tier.shots if tier.shots is not None else NO_CAP}


def cost_facts(tier: TierRules, cost: Decimal) -> dict[str, Fact]:
    """What an envelope is, and may be."""
    cap = micro_at_most(tier.cost) if tier.cost is not None else NO_CAP
    return {"envelope_microdollars": micro_at_most(cost), "tier_cost_microdollars": cap}


def hour_facts(tier: TierRules, now: datetime) -> dict[str, Fact]:
    """Whether it is an hour in which jobs may be submitted."""
    return {"in_hours": tier.submit_hours is None or tier.submit_hours.is_open(now)}


def retention_facts(tier: TierRules, retention: Retention) -> dict[str, Fact]:
    """How long a manifest keeps encrypted artifacts and evidence, and how long it may and has to; all in seconds."""
    most, least = tier.artifacts_at_most_seconds, tier.evidence_at_least_seconds
    return {
        "artifacts_seconds": int(retention.artifacts.total_seconds()),
        "tier_artifacts_seconds": most if most is not None else NO_CAP,
        "evidence_seconds": int(retention.evidence.total_seconds()),
        "tier_evidence_seconds": least if least is not None else 0,
    }


def in_time(seconds: int | None) -> str:
    """A time as a manifest writes it; empty where there is none."""
    return write_duration(timedelta(seconds=seconds)) if seconds is not None else ""


def limits_in_words(body: PlanBody) -> Iterator[str]:
    """Each limit for people, with what the plan has of it; none where the tier has none."""
    tier = body.tier
    if tier.regions is not None:
        yield f"devices in {', '.join(tier.regions)} only"
    if tier.shots is not None:
        planned = shots_of(body.circuits, body.rounds)
        yield f"at most {tier.shots:,} shots in all; with as many circuits in every round as in the first they are {planned:,}"
    if tier.cost is not None:
        yield f"at most {tier.cost} USD"
    if tier.submit_hours is not None:
        yield f"jobs are submitted {tier.submit_hours.in_words()}"
    if tier.logging in {"warning", "error"}:
        yield f"records less severe than {tier.logging} stay out of Prefect's log"
    if tier.artifacts_at_most_seconds is not None:
        yield f"retention.artifacts at most {in_time(tier.artifacts_at_most_seconds)}"
    if tier.evidence_at_least_seconds is not None:
        yield f"retention.evidence at least {in_time(tier.evidence_at_least_seconds)}"
