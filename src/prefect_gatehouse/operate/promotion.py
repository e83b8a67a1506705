"""Promotions by hand: an approver looks at what a workload did in the tier below and signs that it may run in the next one."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.errors import Denied, InputError, Tampered
from prefect_gatehouse.evidence.examine import examine, trusted_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.acts import PromotionAct, PromotionWithdrawn, WorkloadPromoted
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.operate.acts import numbered, record_end
from prefect_gatehouse.operate.budgets import line_of
from prefect_gatehouse.operate.signing import record
from prefect_gatehouse.policy.promotions import Promotion, promotions
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.policy.tiers import load_tiers
from prefect_gatehouse.run.apart import workload_beside
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.refused_acts import recorded_if_refused, tried_by_caller
from prefect_gatehouse.run.standing import Record, record_of
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import TierName

_SEE = "gatehouse promotions list"


@dataclass(frozen=True)
class Candidate:
    """A workload on its way into its manifest's tier.

    Attributes:
        manifest: That names the tier.
        workload: Digest of its files as they are now.
        below: The tier that it comes from.
        record: What it did there.
        missing: What speaks against it, a sentence each; empty where it may be promoted.
    """

    manifest: Manifest
    workload: str
    below: TierName
    record: Record
    missing: tuple[str, ...]


def candidate(settings: Settings, ledger: Ledger, file: Path) -> Candidate:
    """Looks at what a manifest's workload did in the tier below, by this ledger.

    Args:
        settings: The installation.
        ledger: The open ledger.
        file: A manifest that names the tier to come into.

    Raises:
        InputError: The manifest is malformed, of another environment, or names the lowest tier.
        Tampered: The ledger is not what was signed, or a run's values are not.
    """
    manifest = load_manifest(file).manifest
    if manifest.environment != settings.environment:
        advice = f"promote it where GATEHOUSE_ENVIRONMENT is {manifest.environment}"
        raise InputError("the manifest names another environment than the one this process runs in", where=f"{file}: environment", advice=advice)
    order: tuple[TierName, ...] = get_args(TierName)
    place = order.index(manifest.tier)
    if not place:
        raise InputError(f"nothing is promoted into {manifest.tier}, the lowest tier", where=f"{file}: tier", advice=f"name {order[1]}")
    _require_sound(settings, ledger)
    workload, below = workload_beside(settings, manifest, file).digest, order[place - 1]
    record_ = record_of(ledger, manifest.tenant, manifest.name, workload, below, settings.environment)
    return Candidate(manifest, workload, below, record_, tuple(_missing(record_, load_tiers(settings.tiers)[manifest.tier], below)))


def _missing(found: Record, tier: TierRules, below: str) -> list[str]:
    missing = list(found.findings)
    if len(found.runs) < tier.promotion_runs:
        missing.insert(
            0, f"{len(found.runs)} of {tier.promotion_runs} completed runs of exactly these files in the tier {below}, signed for, with jobs"
        )
    if found.fallbacks * 100 > found.jobs * tier.promotion_fallback_percent:
        missing.append(f"{found.fallbacks} of {found.jobs} jobs ran on another backend than the first, more than {tier.promotion_fallback_percent} %")
    return missing


def _require_sound(settings: Settings, ledger: Ledger) -> None:
    if not examine(settings, ledger, trusted_key(settings)).ok:
        raise Tampered("the ledger is not what was signed, so nothing can rest on it", where="ledger", advice="run: gatehouse verify")


def promote(settings: Settings, ledger: Ledger, file: Path, ticket: str, reason: str) -> Event[WorkloadPromoted]:
    """Signs with the caller's own key that a workload may run in its manifest's tier, and records it with what that rests on.

    Raises:
        InputError: As of ``candidate``; or a value is malformed, or the caller has no usable signing key.
        Denied: Something is missing; the caller may not approve, is not the owner whom the manifest names, or has asked for one of the runs.
        Tampered: As of ``candidate``.
    """
    found = candidate(settings, ledger, file)
    manifest, rests = found.manifest, found.record
    named = {"pipeline": manifest.name, "tenant": manifest.tenant}
    with recorded_if_refused(ledger, tried_by_caller(settings, "promote", "promote", named, manifest.tier)):
        if found.missing:
            advice = f"run it in the tier {found.below} first, and see to what is left open"
            raise Denied("; ".join(found.missing), where="promotion", advice=advice, rules=("evidence-missing",))
    statement: dict[str, Json] = {
        "action": "promote",
        "promotion": str(uuid.uuid4()),
        "tenant": manifest.tenant,
        "pipeline": manifest.name,
        "workload": found.workload,
        "tier": manifest.tier,
        "below": found.below,
        "owner": manifest.owner,
        "ticket": line_of(ticket or manifest.ticket, "--ticket"),
        "runs": list(rests.runs),
        "jobs": rests.jobs,
        "fallbacks": rests.fallbacks,
        "checks": rests.checks,
        "reason": line_of(reason, "--reason"),
        "environment": settings.environment,
    }
    owner = People(settings.people_folder()).get(manifest.owner)

    def refuse(fact: WorkloadPromoted) -> None:
        if owner is not None and fact.person != owner.person:
            advice = f"have it done by {owner.person}"
            raise Denied("a workload is promoted by its owner, whom the manifest names", where="owner", advice=advice, rules=("not-the-owner",))
        if fact.person in rests.requesters:
            advice = "have another approver promote it"
            raise Denied("whoever asked for a run does not promote what it shows", where="promotion", advice=advice, rules=("own-run",))

    return record(settings, ledger, WorkloadPromoted, statement, str(statement["promotion"]), "a workload is promoted", refuse)


def withdraw(settings: Settings, ledger: Ledger, number: str, reason: str) -> Event[PromotionWithdrawn]:
    """Signs that a promotion is over, at once; any approver may.

    Raises:
        InputError: There is none of this number, it was ended already, or the caller has no usable signing key.
        Denied: The caller may not approve, or is in quarantine.
    """
    given = numbered(ledger, WorkloadPromoted, number, _SEE)
    return record_end(settings, ledger, given, PromotionWithdrawn, "withdraw-promotion", reason, "a promotion is withdrawn", _SEE)


def known(settings: Settings, ledger: Ledger) -> list[Promotion]:
    """Every promotion, newest first."""
    return promotions(ledger.facts(PromotionAct), holding(settings, ledger))[::-1]
