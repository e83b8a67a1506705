"""The chain of types: what each gate takes and returns.

A value carries references and digests (URI, sha256, row count), never rows and never secrets, so what the ledger keeps is
harmless by construction. Each holds the value before it, so the last one tells the whole way of the run.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from prefect_gatehouse.manifest.columns import Scheme
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.models import Manifest, Purpose

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256, 64 hexadecimal digits."""

Label = Literal["primary", "fallback"]
"""Whether the first backend of the manifest answered every round."""


class Value(BaseModel):
    """Base of the chain: frozen, closed, JSON both ways."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, ser_json_inf_nan="strings")


class Requester(Value):
    """Who asked."""

    person: str = Field(description="Identifier in the registry of people; 'unverified' where nobody signed.")
    method: Literal["ssh", "unverified"]
    fingerprint: str = Field("", description="SHA256 fingerprint of the key that signed.")
    request_id: str = ""
    clearance: DataClass = Field(DataClass.PUBLIC, description="Highest class that they might read when the run was admitted.")


class Decision(Value):
    """One answer of the policy."""

    action: Literal["request", "submit", "read_secret", "read_source", "write_back", "re_identify"]
    allowed: bool
    reasons: tuple[str, ...] = Field(description="Identifiers of the policies that decided.")
    policy_digest: Digest


class TierRules(Value):
    """What the tier demanded when the run was admitted."""

    name: Literal["prototype", "integration", "business"]
    approvers: int = Field(ge=1)
    weakest_method: Literal["totp", "ssh", "ssh-fido"]
    unverified_requests: bool
    unverified_class: DataClass = Field(DataClass.PUBLIC, description="Highest class that a request which nobody signed may read.")
    highest_class: DataClass
    backends: tuple[str, ...]
    approval_window_seconds: int = Field(ge=60)
    resume_window_seconds: int = Field(ge=60)
    synthetic_only: bool = Field(False, description="Whether the tier takes only sources whose digest is recorded as synthetic.")
    preflight: Literal["required", "optional", "never"] = Field("required", description="Whether the target is looked at before the plan is shown.")


class ClassRules(Value):
    """What a class of data demanded when the run was admitted."""

    data_class: DataClass
    readers: tuple[Literal["requester", "approver", "auditor"], ...] = Field(description="Roles that may read it, if the person is cleared.")
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


class AdmittedRun(Value):
    """Gate 1: the request is known, well formed and permitted."""

    run_id: str
    manifest: Manifest
    manifest_digest: Digest
    folder: str = Field(description="The manifest's folder, as the deployment names it.")
    file: str = Field(description="The manifest's file name in that folder.")
    requester: Requester
    tier: TierRules
    classes: RunClasses
    decision: Decision
    at: datetime


class Artifact(Value):
    """An encrypted table of one run: a file, or a folder of files that hold its rows one after the other."""

    uri: str = Field(description="artifact:<run>/<name>, below the artifact store.")
    sha256: Digest = Field(description="Of the encrypted bytes; of several files, of the RFC 8785 list of their digests.")
    rows: int = Field(ge=0)
    columns: tuple[str, ...]
    bytes: int = Field(ge=0)


class Treatment(Value):
    """How one column was treated."""

    column: str
    data_class: DataClass
    rule: Literal["drop", "keep", "tokenise", "generalise", "shift_dates", "constant"]
    detail: str = Field("", description="The rule's setting in words, such as 'siv' or 'year'.")
    declared: bool = Field(True, description="False for a column of the source that the manifest does not name.")


class MinimisedData(Value):
    """Gate 2: only allow-listed columns are left, tokenised and generalised, in an encrypted artifact."""

    admitted: AdmittedRun
    artifact: Artifact
    source_sha256: Digest
    source_rows: int
    data_digest: Digest = Field(description="Of the minimised content (plain, before encryption): the data that the approval names.")
    treatments: tuple[Treatment, ...]
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


class CheckResult(Value):
    """One expectation's outcome: nothing of the data."""

    type: str
    column: str | None
    success: bool
    errored: bool
    engine: Literal["gatehouse", "arrow", "great-expectations"] = Field(
        "gatehouse", description="What computed it: a check of our own, record batches, or Great Expectations on a frame."
    )


class SuiteReport(Value):
    """A suite's outcome, free of values."""

    suite: str
    suite_sha256: Digest
    rows: int
    declared: int
    loaded: int
    results: tuple[CheckResult, ...]
    success: bool


class ValidatedData(Value):
    """Gate 3: the minimised data passed its suite."""

    minimised: MinimisedData
    report: SuiteReport


class CircuitsSummary(Value):
    """What a round's circuits amount to."""

    count: int = Field(ge=1)
    digest: Digest = Field(description="SHA-256 over the circuits as lists of gates and numbers.")
    qubits: int = Field(description="Of the widest circuit.")
    depth: int = Field(description="Of the deepest circuit.")
    shots: int = Field(description="Per circuit.")


class BackendSnapshot(Value):
    """A backend as the provider described it when the plan was made."""

    name: str
    provider: str
    version: str
    qubits: int
    simulator: bool
    jobs: int = Field(description="Jobs that the first round needs here.")
    cost_first_round: Decimal = Field(description="USD.")
    cost_worst_case: Decimal = Field(description="USD, over the whole envelope.")


class CredentialNeed(Value):
    """A purpose and the block that serves it."""

    purpose: Purpose
    block: str | None = Field(description="None where the purpose needs no secret.")


class SystemAddress(Value):
    """Where a declared system is."""

    name: str
    endpoint: str = Field(description="As declared; the path of a SQLite file is whole, links followed.")


class Preflight(Value):
    """What a look at the target found before anybody was asked: that the rows can go there, or why nobody looked."""

    looked: bool
    because: str = Field("", description="Why nobody looked.")
    table_exists: bool = Field(False, description="False where the table is made when the rows are written.")
    checks: tuple[str, ...] = Field((), description="What was found in order.")


class PlanBody(Value):
    """What the plan digest covers; any change voids the approvals."""

    run_id: str
    manifest_digest: Digest
    data_digest: Digest
    workload_digest: Digest = Field(description="Over the workload's source files.")
    lock_digest: str = Field(description="SHA-256 of the lock file, or 'none'.")
    image_digest: str
    circuits: CircuitsSummary = Field(description="Of the first round.")
    backends: tuple[BackendSnapshot, ...]
    rounds: int
    jobs: int
    cost: Decimal
    deadline_seconds: int
    policy_digest: Digest
    input_suite_sha256: Digest
    output_suite_sha256: Digest
    credentials: tuple[CredentialNeed, ...]
    classes: RunClasses
    systems: tuple[SystemAddress, ...] = Field(description="Every declared system.")
    preflight: Preflight

    def endpoint(self, system: str) -> str:
        """Where a declared system is, as it was approved."""
        return next(item.endpoint for item in self.systems if item.name == system)


class Plan(Value):
    """Gate 4: exactly what would leave, and its digest."""

    validated: ValidatedData
    body: PlanBody
    digest: Digest = Field(description="SHA-256 over the RFC 8785 form of the body.")
    made_at: datetime

    @property
    def admitted(self) -> AdmittedRun:
        """The admitted run at the start of the chain."""
        return self.validated.minimised.admitted


class Approval(Value):
    """One authentic approval, by reference to its ledger event."""

    event_id: str
    person: str
    method: Literal["totp", "ssh", "ssh-fido"]
    at: datetime


class ApprovedPlan(Value):
    """Gate 5: enough authentic approvals of exactly this plan are in the ledger."""

    plan: Plan
    approvals: Annotated[tuple[Approval, ...], Field(min_length=1)]
    decided_at: datetime


class LeaseRecord(Value):
    """What may be known of a lease: all but the secret."""

    purpose: Purpose
    block: str | None
    version: str = Field("", description="The secret's version at its store, where the store has versions.")
    lease_id: str
    environment: str
    tenant: str
    expires_at: datetime


class Job(Value):
    """One job at a provider."""

    key: str = Field(description="run:round:job:attempt")
    backend: str
    handle: str
    circuits: int


class Submission(Value):
    """Gate 7: every job of the round exists once at its provider."""

    run_id: str
    plan_digest: Digest
    round: int
    circuits: CircuitsSummary
    jobs: Annotated[tuple[Job, ...], Field(min_length=1)]
    reserved: Decimal = Field(description="USD, worst case.")
    label: Label


class RoundOutcome(Value):
    """Gate 8: one round's counts, sealed in the journal, in Qiskit bit order."""

    submission: Submission
    counts_digest: Digest
    shots: int
    queue_seconds: float
    run_seconds: float
    calibration_sha256: str = Field("", description="Of the calibration at execution, where the backend has one.")
    cost: Decimal = Field(description="USD, as the provider settled it.")


class RawOutcome(Value):
    """The workload returned: its frame and every round."""

    approved: ApprovedPlan
    rounds: Annotated[tuple[RoundOutcome, ...], Field(min_length=1)]
    frame: Artifact
    label: Label


class ValidatedOutcome(Value):
    """Gate 9: what came back passed the quantum-shaped checks and the output suite."""

    raw: RawOutcome
    checks: tuple[CheckResult, ...]
    report: SuiteReport


class ReIdentification(Value):
    """One act of turning a column's tokens back; in the ledger before any value is made."""

    block: str | None = Field(description="The secret block that the root key came from.")
    lease_id: str
    column: str
    scheme: Scheme
    tokens: int = Field(ge=0, description="Tokens that are turned back; missing ones do not count.")
    key_versions: tuple[int, ...] = Field(description="Versions of the key that made them.")
    system: str
    table: str
    data_class: DataClass = Field(description="Of the values.")
    person: str = Field(description="Whose run it is.")


class WriteBackReceipt(Value):
    """Gate 10: rows were published in one transaction."""

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
    repeated: bool = Field(description="True where an earlier attempt had already published.")
    at: datetime


Ending = Literal["completed", "denied", "rejected", "expired", "cancelled", "abandoned"]


class Deletion(Value):
    """One artifact's end."""

    uri: str
    deleted: bool
    note: str = ""


class CleanupReceipt(Value):
    """Gate 11: what the run held is gone."""

    run_id: str
    ending: Ending
    leases_revoked: int
    jobs_cancelled: int
    key_shredded: bool
    deletions: tuple[Deletion, ...]
    obligations: tuple[str, ...] = Field((), description="Provider-side copies that could not be deleted.")
    at: datetime
