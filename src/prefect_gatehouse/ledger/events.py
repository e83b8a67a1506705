"""What the ledger can be told of runs, and every kind of event that it takes, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

from pydantic import AwareDatetime, Field, ValidationError

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.ledger.acts import (
    AuthorityChanged,
    BudgetSet,
    ClassesSigned,
    ClassesWithdrawn,
    CommitReviewed,
    ExceptionGranted,
    ExceptionReviewed,
    ExceptionRevoked,
    IdentityProviderChanged,
    KeyAttestedAct,
    PeopleChanged,
    PolicyAccepted,
    PolicySigned,
    PromotionWithdrawn,
    ProviderApproved,
    ProviderLimitSet,
    QuarantineImposed,
    QuarantineReleased,
    RetentionExtended,
    ReviewWithdrawn,
    RootChanged,
    ServiceChanged,
    WorkloadPromoted,
)
from prefect_gatehouse.ledger.answers import (
    AnswerRefused,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalRejected,
    ApprovalReminded,
    FormDiffered,
    LongLivedKeyUsed,
    ReleaseAsked,
    ReleaseGiven,
    ReleaseRejected,
)
from prefect_gatehouse.ledger.by_hand import ActRefused, ResultRead
from prefect_gatehouse.ledger.fact import Fact, Permitted, UnknownFact
from prefect_gatehouse.ledger.jobs import (
    BackendPassedOver,
    JobClosed,
    JobGone,
    JobLeft,
    JobSettled,
    JobSubmitted,
    JobUnknown,
    ProviderAsked,
    ProviderDrifted,
    ResultReused,
    SpendingDiffered,
    SubmissionAmbiguous,
    SubmissionIntended,
    SubmissionRefused,
)
from prefect_gatehouse.manifest.columns import Scheme
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.value import Digest, Value
from prefect_gatehouse.vocabulary import Action, CellName, Ending, WorkerKind

# The way of a run


class ReadFrom(Value):
    """A file or folder that decides something."""

    path: str
    sha256: Digest | Literal[""] = Field("", description="Of its content; empty where it could not be read.")


class RanUnder(Value):
    """What a process ran under."""

    host: str
    user: str = Field(description="Name or number of the operating system's user.")
    python: str = Field(description="Version of the interpreter, and where it is.")
    policies: ReadFrom
    tiers: ReadFrom
    classes: ReadFrom
    people: ReadFrom = Field(description="The registry, without the secrets of one-time codes.")
    bundle: ReadFrom | None = Field(None, description="What makes one signed bundle of them; left out where there is none.")
    settings: dict[str, str] = Field(description="Every other setting that is not its default, without users and passwords of addresses.")
    packages: Digest | Literal[""] = Field("", description="Over the content of everything installed; empty where it could not be read.")


class PackagesInstalled(Fact):
    """What was installed where a process started; told once for each digest, of no run."""

    kind = "packages-installed"
    packages: Digest = Field(description="As ``RanUnder`` names it.")
    versions: tuple[str, ...] = Field(description="Each distribution as name==version.")


class AttemptStarted(Fact):
    """A process took the run's next attempt number; whoever held the one before can no longer write."""

    kind = "attempt-started"
    prefect_flow: str = Field("", description="Prefect's identifier of the flow, by which a server is told from another one.")
    under: RanUnder | None = Field(None, description="What the process ran under; left out where an earlier attempt ran under the same.")
    as_attempt: int | None = Field(None, ge=1, description="That earlier attempt of the run.")


class RunRequested(Fact):
    """What a run was asked for with, as the worker took it the first time; every later process takes it from here."""

    kind = "run-requested"
    manifest: str = Field(description="The manifest's path, links followed.")
    request: dict[str, Any] | None = Field(None, description="The signed request; None where nobody signed.")


class RunTaken(Fact):
    """A worker proved to the process that it forked for an attempt which kind it is; without this event it was started by any other."""

    kind = "run-taken"
    worker: WorkerKind
    fingerprint: str = Field(description="Of the worker's key.")
    warrant: str = Field(description="The signed bytes.")
    signature: str


class OrdersIgnored(Fact):
    """Somebody with Prefect's API asked for something that is not theirs to say."""

    kind = "orders-ignored"
    fields: tuple[str, ...] = Field(description="What was set there, as OBJECT.FIELD; not what it was set to.")
    refused: str = Field("", description="Why the run was not started at all; empty where it went its own way.")


class RunAdmitted(Fact):
    """The request is known, well formed and permitted."""

    kind = "run-admitted"
    pipeline: str
    tenant: str
    environment: str
    tier: str
    ticket: str
    requester: str
    billing_code: str = Field("", description="Who pays, within the tenant; empty in what earlier releases wrote.")


class RequestSpent(Fact):
    """A signed request has started its one run."""

    kind = "request-spent"
    request_id: str


class GateFact(Fact):
    """What is told of a gate, and of a round where it has one."""

    gate: str
    round: int | None = None


class GateEntered(GateFact):
    """A gate's function is about to run."""

    kind = "gate-entered"


class GateLeft(GateFact):
    """What is told of the end of a passage."""

    entered: int = Field(0, ge=0, description="Number of the event that told that the gate was entered; 0 where nothing did.")


class GatePassed(GateLeft):
    """A gate returned; a resumed run takes the value from here."""

    kind = "gate-passed"
    value: Any = Field(None, description="Of a gate: its value, where the values before it are named by digest. Of a credential: its record.")


class GateFailed(GateLeft):
    """A gate raised."""

    kind = "gate-failed"
    error: str
    message: str
    where: str = ""
    advice: str = ""
    retry: bool = False
    job_id: str | None = None


class RunSuspended(Fact):
    """The process ends here, and the run waits for people."""

    kind = "run-suspended"
    until: float = Field(description="Seconds since the epoch.")
    message: str = Field("waits for approval", description="For what.")


class RunQueued(Fact):
    """The process ends here, and the run waits for jobs at their provider, for a device or for an hour: ``reconcile`` resumes it."""

    kind = "run-queued"
    status: ClassVar[str] = "queued"
    message: str = Field(description="What it waits for.")
    backend: str = Field("", description="Where; empty where it waits for no backend.")
    jobs: int = Field(0, ge=0, description="How many jobs it waits for.")
    position: int | None = Field(None, ge=0, description="Jobs before them in the queue, where the provider says.")
    resume_at: float | None = Field(None, description="When it goes on, seconds since the epoch; left out where jobs decide that.")
    until: float = Field(description="Until when it waits, seconds since the epoch.")


class RunInterrupted(Fact):
    """Nothing goes on by itself: an operational failure, a process that died, or somebody suspended the run by hand."""

    kind = "run-interrupted"
    status: Literal["failed", "suspended"]
    message: str
    until: float = Field(description="Until when it can be resumed, seconds since the epoch.")


class RunRescheduled(Fact):
    """Somebody resumed the run; no process has taken it up yet."""

    kind = "run-rescheduled"
    until: float = Field(description="Until when one has to, seconds since the epoch.")


class EndingDecided(Fact):
    """How the run ends; cleaning up comes next, and again if it fails."""

    kind = "ending-decided"
    ending: Ending
    reason: str = ""


class RunEnded(Fact):
    """The run is closed."""

    kind = "run-ended"
    ending: Ending


# Who permitted what


class PolicyDecided(Fact):
    """An answer of the policy, sealed before what it permits."""

    kind = "policy-decided"
    action: Action
    allowed: bool
    reasons: tuple[str, ...]
    policy_digest: Digest | Literal[""] = Field("", description="Empty where it is the policy by which the run was admitted.")


class PolicyDenied(Fact):
    """A no of the policy, which permits nothing and so needs no seal."""

    kind = "policy-denied"
    action: Action
    reasons: tuple[str, ...]
    message: str = Field(description="Each rule's sentence with its identifier.")
    advice: str = Field("", description="What would satisfy them.")
    policy_digest: Digest


class TicketChecked(Fact):
    """What was found of a run's ticket; of its text nothing."""

    kind = "ticket-checked"
    gate: str
    round: int | None = None
    ticket: str
    source: str = Field("", description="The system that was asked; empty where none is set up.")
    at: AwareDatetime
    unchecked: str = Field("", description="Why it could not be checked; empty where it was.")
    state: str = ""
    open: bool = False
    approved: bool = False
    names_pipeline: bool = False
    in_window: bool = False
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None
    block: str | None = None
    credential_version: str = ""


# Credentials


class LeaseNotRevoked(Fact):
    """A store did not revoke a lease; it ends by itself."""

    kind = "lease-not-revoked"
    lease_id: str
    purpose: str
    block: str | None
    expires_at: str


class WorkersReadKeys(Fact):
    """Other processes read the root key by themselves to make tokens."""

    kind = "workers-read-keys"
    engine: str
    workers: int
    root_key: bool
    block: str


class WorkloadRan(Fact):
    """A workload ran, to its first circuits, in a rehearsal or for its jobs; its words stayed where it was."""

    kind = "workload-ran"
    step: Literal["plan", "rehearsal", "rounds"]
    cell: CellName
    suppressed_lines: int | None = Field(None, ge=0, description="Lines that it wrote to its streams; None where nobody counts.")


class ReIdentified(Fact):
    """One act of turning a column's tokens back; written down before any value is made."""

    kind = "re-identified"
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


class KeyRotation(Permitted):
    """A root key gets one version more, as somebody signed it."""

    action: Literal["rotate-keys"]
    block: str
    before: int = Field(alias="from")
    after: int = Field(alias="to")
    environment: str
    rotation: str
    person: str
    key: str
    signature: str

    @property
    def statement(self) -> dict[str, Json]:
        """What was signed: the same in both events, and neither by whom nor what the store says."""
        signed = {"action", "block", "before", "after", "environment", "rotation"}
        return cast(dict[str, Json], json.loads(self.model_dump_json(by_alias=True, include=signed)))


class KeyRotationDecided(KeyRotation):
    """Somebody signed that a root key gets one version more."""

    kind = "keys-rotation-decided"


class KeysRotated(KeyRotation):
    """The store holds the new version."""

    kind = "keys-rotated"
    store_version: str


# What is kept


class ArtifactStored(Fact):
    """An artifact has an owner and an end."""

    kind = "artifact-stored"
    uri: str
    owner: str
    retain_until: float = Field(
        description="Seconds since the epoch. Of an encrypted artifact, which goes with its run: no earlier than this, unless the run ends."
    )


class ArtifactsDeleted(Fact):
    """Artifacts are gone."""

    kind = "artifacts-deleted"
    uris: tuple[str, ...]
    at: float = Field(description="Seconds since the epoch.")


class ReportWritten(Fact):
    """A gate's page was written: a suite's or the plan's."""

    kind = "report-written"
    gate: str
    path: str
    sha256: Digest
    owner: str
    retain_days: int


class ReportDeleted(Fact):
    """A gate's page has reached its end."""

    kind = "report-deleted"
    gate: str
    sha256: Digest


class RunReproduced(Fact):
    """What was kept of a run was run again on a model of its devices and compared."""

    kind = "run-reproduced"
    verdict: Literal["expected", "drift", "incident"]
    jobs: int
    distance: float = Field(description="Total variation, mean over the circuits.")
    low: float = Field(description="Where chance alone puts it: from")
    high: float = Field(description="to")


class SyntheticRecorded(Fact):
    """The digest of a file that counts as synthetic."""

    kind = "synthetic-recorded"
    sha256: Digest = Field(description="Of the file's bytes.")
    rows: int = Field(ge=1)
    source_sha256: Digest
    report_sha256: Digest = Field(description="Over the RFC 8785 form of the report.")
    generator: str
    made_at: AwareDatetime
    fingerprint: str = Field("", description="Of the key that signed, empty where there was none.")
    signature: str = Field("", max_length=16 * 1024)


KINDS: Mapping[str, type[Fact]] = {
    each.kind: each
    for each in (
        RunRequested, RequestSpent, RunTaken, OrdersIgnored, PackagesInstalled,
        AttemptStarted, RunAdmitted, GateEntered, GatePassed, GateFailed, RunSuspended, RunQueued,
        RunInterrupted, RunRescheduled, EndingDecided, RunEnded,
        PolicyDecided, PolicyDenied, TicketChecked, ApprovalAsked, ApprovalReminded, FormDiffered, ApprovalGiven, ApprovalRejected, AnswerRefused,
        ReleaseAsked, ReleaseGiven, ReleaseRejected, LongLivedKeyUsed, AuthorityChanged, IdentityProviderChanged, ServiceChanged,
        KeyAttestedAct, RootChanged,
        LeaseNotRevoked, WorkersReadKeys, WorkloadRan, ReIdentified, KeyRotationDecided, KeysRotated,
        SubmissionIntended, JobSubmitted, SubmissionRefused, SubmissionAmbiguous, JobSettled, ResultReused,
        JobClosed, JobLeft, JobGone, JobUnknown, ProviderAsked, BackendPassedOver,
        PeopleChanged, PolicySigned, PolicyAccepted, BudgetSet, ProviderLimitSet, SpendingDiffered, ProviderApproved, ProviderDrifted,
        QuarantineImposed, QuarantineReleased, ExceptionGranted, ExceptionRevoked, ExceptionReviewed,
        WorkloadPromoted, PromotionWithdrawn, ClassesSigned, ClassesWithdrawn, CommitReviewed, ReviewWithdrawn,
        RetentionExtended,
        ArtifactStored, ArtifactsDeleted, ReportWritten, ReportDeleted, RunReproduced, SyntheticRecorded,
        ActRefused, ResultRead,
    )
}  # fmt: skip
"""Every kind that is written, by name."""


def read_fact(kind: str, version: int, data: Mapping[str, Any], where: str) -> Fact:
    """The fact that an event's body holds.

    Raises:
        Tampered: The fields are not those of the kind.
    """
    known = KINDS.get(kind)
    if known is None or version > known.version:
        return UnknownFact(fields=dict(data))
    if version < known.version:
        raise Tampered("an event is of an earlier release than this one reads", where=where, advice="verify it with the release that wrote it")
    try:
        return known.model_validate_json(json.dumps(data))
    except (ValidationError, ValueError):
        raise Tampered("an event has not the fields of its kind", where=where, advice="run: gatehouse verify") from None
