"""What the tier and the classes of data demanded when the run was admitted."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field

from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.policy.hours import SubmitHours
from prefect_gatehouse.value import Value
from prefect_gatehouse.vocabulary import CellName, LogDepth, Method, Role, TicketProof, TierName, WorkerKind


class TierRules(Value):
    """What the tier demanded when the run was admitted."""

    name: TierName
    approvers: int = Field(ge=1)
    weakest_method: Method
    unverified_requests: bool
    unverified_class: DataClass = Field(DataClass.PUBLIC, description="Highest class that a request which nobody signed may read.")
    unverified_alone: DataClass = Field(DataClass.PUBLIC, description="Highest class of such a run that needs no approver more than another.")
    service_alone: DataClass = Field(DataClass.PUBLIC, description="Highest class of a service's run that needs no approver more than a person's.")
    highest_class: DataClass
    backends: tuple[str, ...]
    approval_window_seconds: int = Field(ge=60)
    resume_window_seconds: int = Field(ge=60)
    synthetic_only: bool = Field(False, description="Whether the tier takes only sources whose digest is recorded as synthetic.")
    preflight: Literal["required", "optional", "never"] = Field("required", description="Whether the target is looked at before the plan is shown.")
    leaving_bits: int | None = Field(None, ge=1, description="Most bits that the circuits of a run may carry; None where the tier has no cap.")
    rehearsal: Literal["required", "optional"] = Field("required", description="Whether a manifest may say that its workload is not rehearsed.")
    provider_limit: Literal["required", "optional"] = Field(
        "required", description="Whether a device that bills needs a spending limit of its provider's behind our budgets."
    )
    worker: WorkerKind = Field("gatehouse", description="The weakest worker that may start a run's processes.")
    cell: CellName = Field("bubblewrap", description="The weakest cell that a workload may run in.")
    fallback: Literal["allowed", "forbidden"] = Field("allowed", description="Whether a manifest may name more than one backend.")
    reuse: Literal["allowed", "forbidden"] = Field("forbidden", description="Whether an earlier result may answer an identical request.")
    classification: Literal["required", "optional"] = Field("required", description="Whether a column has the class that its data owner signed.")
    promotion: Literal["required", "optional"] = Field("required", description="Whether a workload has to be promoted into the tier.")
    promotion_runs: int = Field(1, ge=1, description="Fewest runs in the tier below that a promotion rests on.")
    promotion_fallback_percent: int = Field(10, ge=0, le=100, description="Most of their jobs that may have run on another backend than the first.")
    simulated_first: Literal["required", "optional"] = Field("required", description="Whether hardware takes only what ran on a simulator before.")
    reviewed_commit: Literal["required", "optional"] = Field(
        "optional", description="Whether a workload is of a signed commit that somebody else read."
    )
    signed_image: Literal["required", "optional"] = Field("optional", description="Whether the worker's image is one that somebody signed.")
    image_scan_days: int | None = Field(None, ge=1, description="How old its last scan may be; None where the tier does not ask.")
    drift: Literal["stop", "tell"] = Field("stop", description="What comes of a provider that is not as somebody approved it.")
    ticket: TicketProof = Field("none", description="The weakest that says a run's ticket is in order; none takes the key as it is typed.")
    wrong_per_person: int = Field(3, ge=1, description="Most wrong answers in somebody's name within the window; then no code of theirs is judged.")
    wrong_per_run: int = Field(6, ge=1, description="The same of a run.")
    wrong_window_seconds: int = Field(3600, ge=60)
    request_age_seconds: int = Field(600, ge=60, description="Longest that a signed request may be good for.")
    approval_age_seconds: int = Field(7 * 86_400, ge=60, description="How old an approval may be when something is submitted under it.")
    long_lived_keys: Literal["allowed", "reported", "refused"] = Field(
        "allowed", description="What comes of a signature with a key of a file that has no certificate."
    )
    attested_keys: Literal["required", "optional"] = Field(
        "optional", description="Whether a FIDO key counts as one only where its vendor's authenticator has attested it."
    )
    proof_life_seconds: int = Field(86_400, ge=60, description="Longest that a certificate may be good for that somebody signs with.")
    regions: tuple[str, ...] | None = Field(None, description="Regions that devices may be used in; None where the tier does not say.")
    shots: int | None = Field(None, ge=1, description="Most shots that a run may ask for in all; None where the tier has no cap.")
    cost: Decimal | None = Field(None, ge=0, description="USD, most that an envelope may be; None where the tier has no cap.")
    submit_hours: SubmitHours | None = Field(None, description="When jobs may be submitted; None for at any time.")
    approver_roles: tuple[Role, ...] | None = Field(
        None, description="Roles that those who approve have between them; None where their number is enough."
    )
    logging: LogDepth = Field(
        "info", description="The least severe records of a run's own processes that reach Prefect's log and the worker's output."
    )
    artifacts_at_most_seconds: int | None = Field(None, ge=1, description="Longest `retention.artifacts`; None where the tier has no cap.")
    evidence_at_least_seconds: int | None = Field(None, ge=1, description="Shortest `retention.evidence`; None where the tier does not say.")
    write_back_approvers: int = Field(0, ge=0, description="How many people, none of whom approved the plan, have to release what is written back.")


class ClassRules(Value):
    """What a class of data demanded when the run was admitted."""

    data_class: DataClass
    readers: tuple[Role, ...] = Field(description="Roles that may read it, if the person is cleared.")
    artifacts_seconds: int = Field(ge=1, description="Longest that artifacts of this class stay.")
    evidence_seconds: int = Field(ge=1, description="Longest that the ledger's entries about it must stay.")
    write_back: bool = Field(description="Whether it may be written into a system at all.")


class ClassedColumn(Value):
    """A column with the class that it inherits."""

    column: str
    data_class: DataClass
    because: tuple[str, ...] = Field(description="Columns of the source that it was made from and that have this class.")


class RunClasses(Value):
    """The class of everything that a run makes, with reasons."""

    features: tuple[ClassedColumn, ...] = Field(description="What the workload sees.")
    outputs: tuple[ClassedColumn, ...] = Field(description="What is written back.")
    output_class: DataClass
    because: tuple[str, ...] = Field(description="Columns of the source whose class the output has.")
    rules: ClassRules = Field(description="Of the output's class.")
