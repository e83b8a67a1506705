"""The chain of types: what each gate takes and returns.

A value carries references and digests (URI, sha256, row count), never rows and never secrets, so what the ledger keeps is
harmless by construction. In memory each holds the value before it, so the last one tells the whole way of the run; in the ledger it names it by
digest (``run/chain.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from prefect_gatehouse.canonical import Json, digest
from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.manifest.columns import Column
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.manifest.treatment import Treatment, undeclared
from prefect_gatehouse.policy.classes import features_of, outputs_of
from prefect_gatehouse.policy.decision import Decision
from prefect_gatehouse.policy.rules import ClassedColumn, RunClasses, TierRules
from prefect_gatehouse.policy.tiers import approvers_needed, releases_needed
from prefect_gatehouse.run.gate_value import GateValue, Reading, Writing
from prefect_gatehouse.run.planned import (
    BackendSnapshot,
    CredentialNeed,
    Leaving,
    PlannedClasses,
    PlannedException,
    PlannedImage,
    PlannedPromotion,
    PlannedReview,
    Preflight,
    SignedBundle,
    Since,
    SourceFile,
    SystemAddress,
    needs_of,
)
from prefect_gatehouse.run.rehearsed import Rehearsal
from prefect_gatehouse.store.artifact import Artifact, Deletion
from prefect_gatehouse.tickets.check import TicketCheck
from prefect_gatehouse.validation.report import CheckResult, SuiteReport
from prefect_gatehouse.value import Digest, Value
from prefect_gatehouse.vocabulary import CellName, Ending, Label, Method, Role
from prefect_gatehouse.workload.summary import CircuitsSummary


def run_name(manifest: Manifest) -> str:
    """What a run is called in Prefect's pages: its pipeline and its ticket."""
    return f"{manifest.name} {manifest.ticket}"


class AdmittedRun(GateValue):
    """Gate 1: the request is known, well formed and permitted."""

    gate = "admit"

    run_id: str
    manifest: Manifest
    manifest_digest: Digest
    folder: str = Field(description="The manifest's folder, as the deployment names it.")
    file: str = Field(description="The manifest's file name in that folder.")
    requester: Requester
    workload_digest: str = Field("", description="Of the workload's files at admission, which a signed request is about.")
    tier: TierRules
    classes: RunClasses
    decision: Decision
    ticket: TicketCheck | None = Field(None, description="What was found of the ticket; None where the tier takes it as it is typed.")
    at: datetime

    @property
    def approvers_needed(self) -> int:
        """How many people have to approve."""
        return approvers_needed(self.tier, self.requester, self.classes)

    @property
    def releases_needed(self) -> int:
        """How many people have to release what comes of it."""
        return releases_needed(self.tier, self.requester, self.classes)

    @field_serializer("classes", mode="wrap")
    def _by_name(self, classes: RunClasses, whole: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
        """In the ledger the columns' names alone, in their order, where the classes follow from the manifest beside them."""
        written = whole(classes)
        if isinstance(info.context, Writing):
            known = {each.column: each for each in features_of(self.manifest.data)}
            pairs = zip(classes.features, written["features"], strict=True)
            written["features"] = [one.column if known.get(one.column) == one else each for one, each in pairs]
            if classes.outputs == outputs_of(self.manifest.data, self.manifest.output, classes.features):
                del written["outputs"]
        return written

    @field_validator("classes", mode="before")
    @classmethod
    def _from_names(cls, classes: Any, info: ValidationInfo) -> Any:
        if not isinstance(info.context, Reading) or not isinstance(classes, dict) or "manifest" not in info.data:
            return classes
        manifest: Manifest = info.data["manifest"]
        known = {each.column: each for each in features_of(manifest.data)}
        features = [known[each] if isinstance(each, str) and each in known else ClassedColumn.model_validate(each) for each in classes["features"]]
        return {"outputs": outputs_of(manifest.data, manifest.output, features), **classes, "features": features}


def _declared(columns: Mapping[str, Column], name: object) -> dict[str, Any]:
    """What the manifest says of a column."""
    column = columns.get(str(name))
    return {} if column is None else {"data_class": column.data_class, "rule": column.rule}


def _short(columns: Mapping[str, Column], treatment: Treatment, written: dict[str, Any]) -> str | dict[str, Any]:
    """A treatment as the ledger holds it: without what the manifest says."""
    if treatment == undeclared(treatment.column):
        return treatment.column
    said = _declared(columns, treatment.column)
    return {name: value for name, value in written.items() if name not in said or said[name] != value}


def _kept(treatments: tuple[Treatment, ...]) -> tuple[str, ...]:
    """The columns that leave."""
    return tuple(each.column for each in treatments if each.rule != "drop")


class MinimisedData(GateValue):
    """Gate 2: only allow-listed columns are left, tokenised and generalised, in an encrypted artifact."""

    gate = "minimise"

    admitted: AdmittedRun
    treatments: tuple[Treatment, ...] = Field(
        description="In the ledger class and rule are left out where they are the manifest's; a bare name is a column that it does not name."
    )
    artifact: Artifact = Field(description="In the ledger its columns are left out: those that were not dropped.")
    source_sha256: Digest
    source_rows: int
    data_digest: Digest = Field(description="Of the minimised content (plain, before encryption): the data that the approval names.")
    highest_class: DataClass = Field(description="Highest class among the columns that leave.")
    k: int | None = Field(description="Smallest group measured over the quasi-identifiers.")
    l: int | None = Field(  # noqa: E741 the measure's own letter
        None, description="Fewest distinct values of a sensitive column measured within a group."
    )
    quarantined_rows: int = Field(0, description="Rows that were set aside because they could not be read or treated.")
    suppressed_rows: int = Field(0, description="Rows that were left out because their group was smaller than k or had too few sensitive values.")
    suppressed_groups: int = Field(0, description="Groups that they formed.")
    token_key_version: int | None = Field(
        None, description="Version of the root key that made the tokens; those of ff1 and permuted numbers have no room for it."
    )
    synthetic: bool = Field(False, description="Whether the source's digest is recorded in the ledger as synthetic.")

    @field_serializer("artifact", mode="wrap")
    def _without_columns(self, artifact: Artifact, whole: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
        written = whole(artifact)
        if isinstance(info.context, Writing) and artifact.columns == _kept(self.treatments):
            del written["columns"]
        return written

    @field_validator("artifact", mode="before")
    @classmethod
    def _with_columns(cls, artifact: Any, info: ValidationInfo) -> Any:
        if isinstance(info.context, Reading) and isinstance(artifact, dict) and "treatments" in info.data:
            return {"columns": _kept(info.data["treatments"]), **artifact}
        return artifact

    @field_serializer("treatments", mode="wrap")
    def _names(self, treatments: tuple[Treatment, ...], whole: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
        written = whole(treatments)
        if not isinstance(info.context, Writing):
            return written
        columns = self.admitted.manifest.data.columns
        return [_short(columns, one, each) for one, each in zip(treatments, written, strict=True)]

    @field_validator("treatments", mode="before")
    @classmethod
    def _from_names(cls, treatments: Any, info: ValidationInfo) -> Any:
        if not isinstance(info.context, Reading) or not isinstance(treatments, list) or "admitted" not in info.data:
            return treatments
        columns = info.data["admitted"].manifest.data.columns
        return [undeclared(each) if isinstance(each, str) else {**_declared(columns, each.get("column")), **each} for each in treatments]


class ValidatedData(GateValue):
    """Gate 3: the minimised data passed its suite."""

    gate = "validate_input"

    minimised: MinimisedData
    report: SuiteReport


class PlanBody(Value):
    """What the plan digest covers; any change voids the approvals."""

    run_id: str
    manifest_digest: Digest
    data_digest: Digest
    workload_digest: Digest = Field(description="Over the workload's files.")
    files: tuple[SourceFile, ...] = Field(description="The workload's files: its code, and what else lies beside it.")
    since: Since
    lock_digest: Digest | None = Field(description="SHA-256 of the lock file; None where there is none.")
    image_digest: str = ""
    packages_digest: Digest = Field(description="Over the content of everything that is installed.")
    circuits: CircuitsSummary = Field(description="Of the first round.")
    leaving: Leaving
    backends: tuple[BackendSnapshot, ...]
    rounds: int
    jobs: int
    cost: Decimal
    deadline_seconds: int
    policy_digest: Digest
    tier: TierRules
    registry: str = Field(description="Folder of the registry of people. People come and go in it; another one knows other people.")
    input_suite_sha256: Digest
    output_suite_sha256: Digest
    credentials: tuple[CredentialNeed, ...]
    classes: RunClasses
    systems: tuple[SystemAddress, ...] = Field(description="Every declared system.")
    preflight: Preflight
    exceptions: tuple[PlannedException, ...] = Field((), description="Every exception to the policy that the run may use; no later one counts.")
    source_classes: PlannedClasses | None = Field(None, description="A data owner's word on the source's columns; None where there is none.")
    promotion: PlannedPromotion | None = Field(None, description="That the run stands on; None where its tier asks for none.")
    image: PlannedImage | None = Field(None, description="What is signed about the image; None where nothing is, or its tier does not ask.")
    review: PlannedReview | None = Field(None, description="Of the commit that the workload is of; None where there is none.")
    cell: CellName = Field("none", description="Where the workload runs, in this and in every later round.")
    bundle: SignedBundle | None = Field(None, description="The signed bundle of policies; None in the prototype tier where nobody has signed it.")

    def digest(self) -> str:
        """The plan digest, 64 hexadecimal digits: over the RFC 8785 form of every field."""
        return digest(json.loads(self.model_dump_json(by_alias=True)))

    def backend(self, name: str) -> BackendSnapshot | None:
        """A backend by its name; None where the plan has no such."""
        return next((each for each in self.backends if each.name == name), None)

    def settings_of(self, backend: str) -> dict[str, Json]:
        """What is set for a backend; nothing where the plan has no such."""
        found = self.backend(backend)
        return found.as_set() if found is not None else {}

    def endpoint(self, system: str) -> str:
        """Where a declared system is, as it was approved."""
        return next(item.endpoint for item in self.systems if item.name == system)


def repeated(validated: ValidatedData) -> dict[str, Any]:
    """What a plan's body takes over from the values before it, by field."""
    admitted = validated.minimised.admitted
    manifest, envelope = admitted.manifest, admitted.manifest.execution.envelope
    return {
        "run_id": admitted.run_id,
        "manifest_digest": admitted.manifest_digest,
        "data_digest": validated.minimised.data_digest,
        "rounds": envelope.rounds,
        "jobs": envelope.jobs,
        "cost": envelope.cost,
        "deadline_seconds": int(envelope.deadline.total_seconds()),
        "policy_digest": admitted.decision.policy_digest,
        "tier": admitted.tier,
        "input_suite_sha256": validated.report.suite_sha256,
        "credentials": needs_of(manifest),
        "classes": admitted.classes,
    }


class Plan(GateValue):
    """Gate 4: exactly what would leave, and its digest."""

    gate = "plan"

    validated: ValidatedData
    body: PlanBody
    digest: Digest = Field(description="SHA-256 over the RFC 8785 form of the body.")
    made_at: datetime
    rehearsal: Rehearsal = Field(Rehearsal(), description="Evidence: what it was about, the digest covers.")
    first_round: Artifact | None = Field(None, description="The circuits whose digest the body has; None where the workload is asked for them.")

    @field_serializer("body", mode="wrap")
    def _only_new(self, body: PlanBody, whole: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
        """In the ledger a body holds what the values before it do not; the plan digest is over all of it."""
        written = whole(body)
        if isinstance(info.context, Writing):
            before = repeated(self.validated)
            # Compared as they are written: amounts that are equal can be spelled in two ways, and the digest is over the spelling.
            same = whole(body.model_copy(update=before))
            return {name: value for name, value in written.items() if name not in before or value != same.get(name)}
        return written

    @field_validator("body", mode="before")
    @classmethod
    def _all_of_it(cls, body: Any, info: ValidationInfo) -> Any:
        if isinstance(info.context, Reading) and isinstance(body, dict) and "validated" in info.data:
            return {**repeated(info.data["validated"]), **body}
        return body

    @model_validator(mode="after")
    def _as_approved(self, info: ValidationInfo) -> Plan:
        if isinstance(info.context, Reading) and self.body.digest() != self.digest:
            raise ValueError("the body does not have the plan's digest")
        return self

    @property
    def admitted(self) -> AdmittedRun:
        """The admitted run at the start of the chain."""
        return self.validated.minimised.admitted


class Approval(Value):
    """One authentic approval, by reference to its ledger event."""

    event_id: str
    person: str
    method: Method
    at: datetime
    roles: tuple[Role, ...] = Field((), description="Of the person, as the registry had them when the answer was judged.")


class ApprovedPlan(GateValue):
    """Gate 5: enough authentic approvals of exactly this plan are in the ledger."""

    gate = "await_approval"

    plan: Plan
    approvals: Annotated[tuple[Approval, ...], Field(min_length=1)]
    decided_at: datetime


class Job(Value):
    """One job at a provider."""

    key: str = Field(description="run:round:job:fallback")
    backend: str
    handle: str = Field(description="The provider's name of it; empty where none was made and an earlier result stands for it.")
    circuits: int


class Submission(GateValue):
    """Gate 7: every job of the round exists once at its provider."""

    gate = "submit"

    run_id: str
    plan_digest: Digest
    round: int
    circuits: CircuitsSummary
    leaving_bits: int = Field(description="Most that they could carry.")
    jobs: Annotated[tuple[Job, ...], Field(min_length=1)]
    reserved: Decimal = Field(description="USD, worst case.")
    label: Label

    @property
    def passage(self) -> str:
        """One for each round."""
        return f"{self.gate}:{self.round}"


class RoundOutcome(GateValue):
    """Gate 8: one round's counts, sealed in the journal, in Qiskit bit order."""

    gate = "collect"

    submission: Submission
    counts_digest: Digest
    shots: int
    queue_seconds: float = 0.0
    run_seconds: float
    calibration_sha256: str = Field("", description="Of the calibration at execution, where the backend has one.")
    cost: Decimal = Field(description="USD, as the provider settled it.")

    @property
    def passage(self) -> str:
        """One for each round."""
        return f"{self.gate}:{self.submission.round}"


class RawOutcome(GateValue):
    """The workload returned: its frame and every round."""

    gate = "conclude"

    approved: ApprovedPlan
    rounds: Annotated[tuple[RoundOutcome, ...], Field(min_length=1)]
    frame: Artifact
    label: Label

    @property
    def backends(self) -> tuple[str, ...]:
        """Where results of it came from."""
        return tuple(sorted({job.backend for each in self.rounds for job in each.submission.jobs}))


class FrameColumn(Value):
    """A column of what the workload returned."""

    name: str
    type: str = Field(description="Arrow's name of it.")


class FrameShape(Value):
    """What can be said of what the workload returned without a value of it."""

    columns: tuple[FrameColumn, ...]
    rows_digest: Digest = Field(description="Of the rows as they left the workload, keyed by token.")
    checked_at: AwareDatetime = Field(description="From when on people can release it.")


class ValidatedOutcome(GateValue):
    """Gate 9: what came back passed the quantum-shaped checks and the output suite."""

    gate = "validate_output"

    raw: RawOutcome
    checks: tuple[CheckResult, ...]
    report: SuiteReport
    shape: FrameShape | None = Field(None, description="For those who release it; None where the tier asks for nobody's release.")

    @property
    def releases_needed(self) -> int:
        """How many people have to release it."""
        return self.raw.approved.plan.admitted.releases_needed


class ReleasedOutcome(GateValue):
    """Between gates 9 and 10: enough authentic releases of exactly this outcome are in the ledger, where the tier asks for any."""

    gate = "await_release"

    outcome: ValidatedOutcome
    outcome_digest: Digest | Literal[""] = Field("", description="Empty where nobody was asked.")
    releases: tuple[Approval, ...] = ()


class WriteBackReceipt(GateValue):
    """Gate 10: rows were published in one transaction."""

    gate = "write_back"

    run_id: str
    plan_digest: Digest
    system: str
    table: str
    rows: int
    rows_digest: Digest = Field(description="Of the rows as they left the workload, keyed by token.")
    mode: Literal["append", "replace", "upsert"]
    label: Label
    data_class: DataClass = Field(description="Of the rows.")
    because: tuple[str, ...] = Field(description="Columns of the source whose class the rows have.")
    repeated: bool = Field(False, description="True where an earlier attempt had already published.")
    at: datetime


class CleanupReceipt(GateValue):
    """Gate 11: what the run held is gone."""

    gate = "clean_up"

    run_id: str
    ending: Ending
    leases_revoked: int = 0
    jobs_cancelled: int = 0
    key_shredded: bool
    deletions: tuple[Deletion, ...]
    obligations: tuple[str, ...] = Field((), description="Provider-side copies that could not be deleted.")
    at: datetime
