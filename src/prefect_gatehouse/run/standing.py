"""What is known of a workload, by its digest: whether it was promoted into a tier, what it did there, and whether a simulator has seen it.

With it goes what is known of the source: which of its columns have a class that no data owner has signed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.identity.requester import NOBODY, Requester
from prefect_gatehouse.ledger.acts import PromotionAct, WorkloadPromoted
from prefect_gatehouse.ledger.jobs import JobSubmitted
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.policy.promotions import promotions
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.classified import unsigned_columns
from prefect_gatehouse.run.content import Content, content_planned
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.image import unsigned_image
from prefect_gatehouse.run.open_jobs import left
from prefect_gatehouse.run.planned import PlannedPromotion
from prefect_gatehouse.run.proven import problems_of
from prefect_gatehouse.run.reviewed import review_of
from prefect_gatehouse.run.values import AdmittedRun, Plan
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import TierName


@dataclass(frozen=True)
class Standing:
    """What the policy is told of a workload and its source.

    Attributes:
        promoted: It was promoted into the tier, or the tier asks for none.
        simulated: Every backend is a simulator, or a run of it on simulators alone was completed, or the tier asks for none.
        unsigned: Columns with a class that no data owner has signed; none where the tier asks for none.
        unreviewed: Why no signed commit of it counts as reviewed; empty where one does, or the tier asks for none.
        image_unsigned: Why the worker's image is not signed; empty where it is, or the tier does not ask.
        image_unscanned: The same of its last scan.
    """

    promoted: bool
    simulated: bool
    unsigned: tuple[str, ...]
    unreviewed: str = ""
    image_unsigned: str = ""
    image_unscanned: str = ""


@dataclass(frozen=True)
class Record:
    """What a workload did in a tier.

    Attributes:
        runs: Its completed runs that are sound, that somebody had asked for by name and that made jobs, newest first.
        jobs: Of these.
        fallbacks: Of these jobs, those on another backend than the plan's first.
        checks: Expectations that data and results met.
        findings: What somebody still has to see to, a sentence each.
        requesters: Who asked for these runs.
    """

    runs: tuple[str, ...]
    jobs: int
    fallbacks: int
    checks: int
    findings: tuple[str, ...]
    requesters: frozenset[str]


@dataclass(frozen=True)
class Named:
    """The acts that a plan names, each empty where it names none.

    No other carries its run: whoever approved did not know of it, and whoever signed it may be among them.

    Attributes:
        promotion: Of its workload.
        classification: Of its source.
        review: Of its commit.
    """

    promotion: str
    classification: str
    review: str


def named_by(plan: Plan) -> Named:
    """The acts on which the run of a plan stands."""
    body = plan.body
    return Named(
        promotion=body.promotion.promotion if body.promotion is not None else "",
        classification=body.source_classes.classification if body.source_classes is not None else "",
        review=body.review.review if body.review is not None else "",
    )


def promotion_of(
    settings: Settings, history: Ledger, manifest: Manifest, tier: TierRules, workload: str, requester: Requester, named: str | None = None
) -> Event[WorkloadPromoted] | None:
    """The newest promotion of a workload into its manifest's tier that counts for this requester, and rests on what it says.

    Of a run with a plan only the one that it names, ``named``, which is empty where it names none.
    """
    acts = history.facts(PromotionAct)
    if not acts:
        return None
    scope = (manifest.tenant, manifest.name, workload, manifest.tier, settings.environment, requester.signed_by)
    found = promotions(acts, holding(settings, history))
    mine = (each.event for each in reversed(found) if named in {None, each.event.fact.promotion} and each.covers(*scope))
    return next((event for event in mine if _rests(history, event.fact, tier)), None)


def _rests(history: Ledger, fact: WorkloadPromoted, tier: TierRules) -> bool:
    """Whether the runs that a promotion names are what it says: whoever signs may have written it without the command that looks."""
    order: tuple[str, ...] = get_args(TierName)
    if fact.below != order[max(0, order.index(tier.name) - 1)] or len(set(fact.runs)) < tier.promotion_runs:
        return False
    record = record_of(history, fact.tenant, fact.pipeline, fact.workload, fact.below, fact.environment, frozenset(fact.runs))
    within = record.fallbacks * 100 <= record.jobs * tier.promotion_fallback_percent
    return set(fact.runs) == set(record.runs) and within and fact.person not in record.requesters


def planned_promotion(settings: Settings, history: Ledger, admitted: AdmittedRun, workload: str) -> PlannedPromotion | None:
    """What people are shown of it before they approve."""
    found = promotion_of(settings, history, admitted.manifest, admitted.tier, workload, admitted.requester)
    if found is None:
        return None
    fact = found.fact
    return PlannedPromotion(
        promotion=fact.promotion,
        promoted_by=fact.person,
        ticket=fact.ticket,
        at=found.at,
        below=fact.below,
        runs=len(fact.runs),
        jobs=fact.jobs,
        fallbacks=fact.fallbacks,
    )


def standing_to_ask(
    settings: Settings,
    history: Ledger,
    manifest: Manifest,
    tier: TierRules,
    folder: Path,
    workload: str,
    content: Callable[[], Content],
    who: Requester,
    named: Named | None = None,
) -> Standing:
    """What is known when a run is about to be admitted; no simulator is asked for yet.

    Args:
        settings: The installation.
        history: The ledger.
        manifest: What would be run.
        tier: Its tier.
        folder: Where the manifest lies.
        workload: Digest of the workload's files.
        content: Gives the files, where the tier wants a reviewed commit of them.
        who: Asks.
        named: The acts that the run's plan names; None where there is none yet, and then whichever count.
    """
    promotion, classification, review = (named.promotion, named.classification, named.review) if named is not None else (None, None, None)
    promoted = tier.promotion == "optional" or promotion_of(settings, history, manifest, tier, workload, who, promotion) is not None
    unsigned = () if tier.classification == "optional" else unsigned_columns(settings, history, manifest, folder, who, classification)
    unreviewed = "" if tier.reviewed_commit == "optional" else review_of(settings, history, manifest, content(), who, review).missing
    image = unsigned_image(settings, history, tier)
    return Standing(promoted, simulated=True, unsigned=unsigned, unreviewed=unreviewed, image_unsigned=image[0], image_unscanned=image[1])


def standing_of(settings: Settings, history: Ledger, plan: Plan) -> Standing:
    """What is known now of the workload of a plan, and of its source, by the acts that it names."""
    admitted, tier, workload = plan.admitted, plan.body.tier, plan.body.workload_digest

    def content() -> Content:
        return content_planned(settings, admitted, plan.body)

    now = standing_to_ask(settings, history, admitted.manifest, tier, Path(admitted.folder), workload, content, admitted.requester, named_by(plan))
    simulated = tier.simulated_first == "optional" or all(each.simulator for each in plan.body.backends)
    return replace(now, simulated=simulated or _simulated(history, admitted.manifest, workload))


def record_of(history: Ledger, tenant: str, pipeline: str, workload: str, tier: str, environment: str, only: frozenset[str] | None = None) -> Record:
    """What a workload did in a tier, by the ledger; of all of its runs, or only of some.

    Raises:
        Tampered: The ledger does not have what led to one of its runs.
    """
    chosen = [row for row in _runs(history, tenant, pipeline, workload, environment, only) if row.tier == tier]
    jobs = fallbacks = checks = 0
    completed: dict[str, str] = {}
    open_keys, findings = left(history), []
    for row in chosen:
        made = [event.fact for event in history.facts(JobSubmitted, run_id=row.run_id)]
        owed = sum(fact.key in open_keys for fact in made)
        if row.ending is None:
            findings.append(f"run {row.run_id} has not ended")
        if owed:
            findings.append(f"run {row.run_id} is not done with {owed} of its jobs at their provider")
        if not made or row.requester == NOBODY:  # answered by earlier results, or anybody's
            continue
        plan = _completed(history, row)
        if plan is None or not _is_sound(history, row):
            continue
        completed[row.run_id] = row.requester
        jobs += len(made)
        fallbacks += sum(fact.backend != plan.body.backends[0].name for fact in made)
        checks += _checks(history, row.run_id)
    return Record(tuple(completed), jobs, fallbacks, checks, tuple(findings), frozenset(completed.values()))


def _checks(history: Ledger, run_id: str) -> int:
    """Expectations that its suites held, of every validation that it passed."""
    found = 0
    for event in history.events(run_id, "gate-passed"):
        value = event.data.get("value")
        if event.data.get("gate") in {"validate_input", "validate_output"} and isinstance(value, dict):
            found += len(value.get("report", {}).get("results", ()))
    return found


def _simulated(history: Ledger, manifest: Manifest, workload: str) -> bool:
    """Whether a completed run of the workload had all of its jobs, and at least one, on simulators."""
    for row in _runs(history, manifest.tenant, manifest.name, workload, manifest.environment):
        plan = _completed(history, row)
        simulators = {each.name for each in plan.body.backends if each.simulator} if plan is not None else set()
        used = {event.fact.backend for event in history.facts(JobSubmitted, run_id=row.run_id)}
        if used and used <= simulators and _is_sound(history, row):
            return True
    return False


def _completed(history: Ledger, row: RunRow) -> Plan | None:
    """The plan of a run that was completed; of any other None, and of one whose plan is not what was stored."""
    try:
        return Chain(history, row.run_id).read(Plan.gate, Plan) if row.ending == "completed" else None
    except Tampered:
        return None


def _is_sound(history: Ledger, row: RunRow) -> bool:
    """Whether `gatehouse verify` would say nothing of a run: any other is evidence of nothing. It looks at every signature, so it is asked last."""
    return not problems_of(history, row.run_id)


def _runs(history: Ledger, tenant: str, pipeline: str, workload: str, environment: str, only: frozenset[str] | None = None) -> Iterator[RunRow]:
    """Runs of a workload, newest first."""
    for row in history.runs():
        if (only is None or row.run_id in only) and (row.tenant, row.pipeline, row.environment) == (tenant, pipeline, environment):
            admitted = Chain(history, row.run_id).read(AdmittedRun.gate, AdmittedRun)
            if admitted is not None and admitted.workload_digest == workload:
                yield row
