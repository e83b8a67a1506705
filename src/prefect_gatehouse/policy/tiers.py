"""The tiers: a file that says how many approvers, by what method, for which data and backends, and how long things wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from prefect_gatehouse.canonical import EXACT
from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.manifest.fields import BackendName, DataClass, Duration, Strict
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.manifest.treatment import Treatment
from prefect_gatehouse.policy.hours import SubmitHours
from prefect_gatehouse.policy.limits import Region, Shots, Usd
from prefect_gatehouse.policy.rules import RunClasses, TierRules
from prefect_gatehouse.policy.yaml_file import read_rules
from prefect_gatehouse.vocabulary import CellName, LogDepth, Method, Role, TicketProof, TierName, WorkerKind

_Window = Annotated[Duration, Field(ge=timedelta(minutes=1))]


class _Tier(Strict):
    approvers: Annotated[int, Field(ge=1, le=20)]
    weakest_method: Method
    unverified_requests: bool
    unverified_class: DataClass = DataClass.PUBLIC
    unverified_alone: DataClass = DataClass.PUBLIC
    service_alone: DataClass = DataClass.PUBLIC
    highest_class: DataClass
    backends: Annotated[tuple[BackendName, ...], Field(min_length=1)]
    approval_window: _Window
    resume_window: _Window
    synthetic_only: bool
    # A file that does not say it asks for the most.
    preflight: Literal["required", "optional", "never"] = "required"
    # None means no cap, which only the prototype tier may leave open.
    leaving_bits: Annotated[int, Field(ge=1, le=EXACT)] | None = None
    rehearsal: Literal["required", "optional"] = "required"
    provider_limit: Literal["required", "optional"] = "required"
    worker: WorkerKind = "gatehouse"
    cell: CellName = "bubblewrap"
    fallback: Literal["allowed", "forbidden"] = "forbidden"
    reuse: Literal["allowed", "forbidden"] = "forbidden"
    classification: Literal["required", "optional"] = "required"
    promotion: Literal["required", "optional"] = "required"
    promotion_runs: Annotated[int, Field(ge=1, le=1000)] = 1
    promotion_fallback_percent: Annotated[int, Field(ge=0, le=100)] = 10
    simulated_first: Literal["required", "optional"] = "required"
    # Not every installation keeps its workloads in git, or runs in an image: who wants it says so.
    reviewed_commit: Literal["required", "optional"] = "optional"
    signed_image: Literal["required", "optional"] = "optional"
    image_scan_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    drift: Literal["stop", "tell"] = "stop"
    ticket: TicketProof = "system"
    wrong_per_person: Annotated[int, Field(ge=1, le=100)] = 3
    wrong_per_run: Annotated[int, Field(ge=1, le=100)] = 6
    wrong_window: _Window = timedelta(hours=1)
    request_age: _Window = timedelta(minutes=10)
    approval_age: _Window = timedelta(days=7)
    long_lived_keys: Literal["allowed", "reported", "refused"] = "reported"
    attested_keys: Literal["required", "optional"] = "optional"
    proof_life: _Window = timedelta(days=1)
    write_back_approvers: Annotated[int, Field(ge=0, le=20)] = 0
    logging: LogDepth = "info"
    # What an installation does not limit is not limited.
    regions: Annotated[tuple[Region, ...], Field(min_length=1)] | None = None
    shots: Shots | None = None
    cost: Usd | None = None
    submit_hours: SubmitHours | None = None
    approver_roles: Annotated[tuple[Role, ...], Field(min_length=1)] | None = None
    artifacts_at_most: Duration | None = None
    evidence_at_least: Duration | None = None


@cache
def _form() -> TypeAdapter[dict[TierName, _Tier]]:
    return TypeAdapter(dict[TierName, _Tier])


def load_tiers(path: Path) -> Mapping[TierName, TierRules]:
    """The tiers of a file.

    Raises:
        InputError: The file is missing or malformed, or a tier is not defined.
    """
    tiers = read_rules(path, _form(), "the tiers", "GATEHOUSE_TIERS")
    missing = {"prototype", "integration", "business"} - set(tiers)
    if missing:
        raise InputError(f"tiers are missing: {', '.join(sorted(missing))}", where=str(path), advice="define all three")
    unbounded = sorted(name for name, tier in tiers.items() if tier.leaving_bits is None and name != "prototype")
    if unbounded:
        raise InputError(
            "only the prototype tier may leave open how many bits circuits may carry",
            where=f"{path}: {unbounded[0]}.leaving_bits",
            advice="set it; the plan of a run says how many bits its circuits could carry",
        )
    if tiers["business"].cell == "none":
        raise InputError("the tier takes workloads without a cell", where=f"{path}: business.cell", advice="ask for landlock or bubblewrap")
    typed = sorted(name for name, tier in tiers.items() if tier.ticket == "none" and name != "prototype")
    if typed:
        advice = "ask for system, or for file where the installation's own file of tickets is enough"
        raise InputError("only the prototype tier takes tickets that nobody checked", where=f"{path}: {typed[0]}.ticket", advice=advice)
    return {name: _rules(name, tier) for name, tier in tiers.items()}


def _rules(name: TierName, tier: _Tier) -> TierRules:
    """As runs keep them: a time in seconds, under a name that says so; without what the file leaves open."""
    return TierRules(name=name, **dict(_in_seconds(field, value) for field, value in tier if value is not None))


def _in_seconds(field: str, value: Any) -> tuple[str, Any]:
    return (f"{field}_seconds", int(value.total_seconds())) if isinstance(value, timedelta) else (field, value)


def one_more(tier: TierRules, requester: Requester, classes: RunClasses) -> bool:
    """Whether somebody more is asked: whoever started a run that nobody signed, or that a service signed, may be among those who answer."""
    if requester.method == "unverified":
        return classes.output_class.rank > tier.unverified_alone.rank
    return requester.service and classes.output_class.rank > tier.service_alone.rank


def approvers_needed(tier: TierRules, requester: Requester, classes: RunClasses) -> int:
    """How many people have to approve."""
    return tier.approvers + one_more(tier, requester, classes)


def releases_needed(tier: TierRules, requester: Requester, classes: RunClasses) -> int:
    """How many people have to release what comes of it, where any have to."""
    return tier.write_back_approvers + one_more(tier, requester, classes) if tier.write_back_approvers else 0


def refuse_unrehearsed(manifest: Manifest, tier: TierRules) -> None:
    """Stops a manifest that switches the rehearsal off in a tier that demands it.

    Raises:
        Denied: So it is.
    """
    if contradicts(manifest, tier):
        raise Denied(f"the tier {tier.name} demands a rehearsal", where="execution.rehearsal", advice="write required, or leave it out")


def refuse_fallback(manifest: Manifest, tier: TierRules) -> None:
    """Stops a manifest with more than one backend in a tier that forbids a fallback.

    Raises:
        Denied: So it is.
    """
    if falls_back(manifest, tier):
        raise Denied(f"the tier {tier.name} forbids a fallback", where="execution.backends", advice="name one backend")


def refuse_long_lived(method: str, tier: TierRules, where: str) -> None:
    """Stops a signature with a key of a file that has no end in a tier that takes none.

    Args:
        method: How somebody proved who they are.
        tier: The tier.
        where: What was signed.

    Raises:
        Denied: So it is.
    """
    if method == "ssh" and tier.long_lived_keys == "refused":
        advice = "sign with a certificate that ends by itself, KEY-cert.pub beside the key"
        raise Denied(f"the tier {tier.name} takes no signature of a long-lived key", where=where, advice=advice)


def is_like_a_file(method: str, attested: bool, tier: TierRules) -> bool:
    """Whether a FIDO key counts as a key of a file: nobody has attested it, and the tier wants to know that no software plays the authenticator.

    Args:
        method: What its signature would prove.
        attested: Whether its vendor's authenticator has.
        tier: The tier.
    """
    return method == "ssh-fido" and not attested and tier.attested_keys == "required"


def is_reported(method: str, tier: TierRules) -> bool:
    """Whether the use of such a key is told as one."""
    return method == "ssh" and tier.long_lived_keys == "reported"


def refuse_reuse(manifest: Manifest, tier: TierRules) -> None:
    """Stops a manifest that would have earlier results answer in a tier that wants each asked for.

    Raises:
        Denied: So it is.
    """
    if reuses(manifest, tier):
        raise Denied(f"the tier {tier.name} forbids earlier results", where="execution.reuse", advice="leave it out")


def reuses(manifest: Manifest, tier: TierRules) -> bool:
    """Whether a manifest would have earlier results answer, which its tier forbids."""
    return tier.reuse == "forbidden" and manifest.execution.reuse is not None


def falls_back(manifest: Manifest, tier: TierRules) -> bool:
    """Whether a manifest names more backends than its tier allows."""
    return tier.fallback == "forbidden" and len(manifest.execution.backends) > 1


def contradicts(manifest: Manifest, tier: TierRules) -> bool:
    """Whether a manifest switches off what its tier demands."""
    return tier.rehearsal == "required" and manifest.execution.rehearsal == "skip"


def effective_class(treatments: Sequence[Treatment]) -> DataClass:
    """The class of what leaves: a kept column counts with its class, a tokenised or generalised one counts one class lower."""
    ladder = list(DataClass)
    rank = 0
    for item in treatments:
        if item.rule == "keep":
            rank = max(rank, item.data_class.rank)
        elif item.rule != "drop":
            rank = max(rank, item.data_class.rank - 1)
    return ladder[rank]
