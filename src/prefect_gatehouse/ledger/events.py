"""What the ledger can be told: every kind of event with its fields.

A kind has a name and a version, and both are part of what is hashed. A field that has its default is left out, and a reader fills it in: a field
that is added with a default leaves the version as it is; any other change, that of a default too, makes a new one. A kind or a version that this
release does not know, from a newer one, is read as ``UnknownFact``: it can be verified and shown, and nothing is concluded from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, Literal, cast

from pydantic import AwareDatetime, Field, JsonValue, ValidationError

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.ledger.policy_bundle import PolicyBundle
from prefect_gatehouse.manifest.columns import Scheme
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.value import Digest, Value
from prefect_gatehouse.vocabulary import Action, CellName, Ending, Method, QuarantineScope, Role, WorkerKind


class Fact(Value):
    """What one event tells; value-free."""

    kind: ClassVar[str] = ""
    version: ClassVar[int] = 2

    def data(self) -> dict[str, Json]:
        """The fields as the hashed body holds them: those that have not their default."""
        return cast(dict[str, Json], json.loads(self.model_dump_json(by_alias=True, exclude_defaults=True)))


class UnknownFact(Fact):
    """An event of a release that knows more than this one."""

    fields: dict[str, Any] = Field(default_factory=dict)


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


class ApprovalAsked(Fact):
    """A plan was put to people under a key."""

    kind = "approval-asked"
    plan_digest: Digest
    key: str
    nonce: str
    expires: AwareDatetime
    expects: dict[str, str] = Field(default_factory=dict, description="Who may answer, and by which proof, when it was asked.")


class ApprovalReminded(Fact):
    """A reminder that a plan waits was sent, whether or not the block took it; of the plan it has the summary, no data."""

    kind = "approval-reminded"
    plan_digest: Digest
    block: str = Field(description="Prefect's notification block that it was sent through.")
    escalated: bool = Field(False, description="Whether it went to the second group.")


class FormDiffered(Fact):
    """The form in Prefect was not the one that was asked with: somebody changed it there. What it showed binds nobody."""

    kind = "form-differed"
    plan_digest: Digest
    key: str = Field(description="Of the asking.")
    found_by: Literal["run", "show"] = Field(description="Whether the run found it, or somebody who looked.")


class PlanAnswer(Fact):
    """What is told of an answer about a plan."""

    plan_digest: Digest


class SignedAnswer(PlanAnswer):
    """What is told of an authentic answer."""

    person: str
    method: Method
    fingerprint: str = ""
    totp_step: int | None = None
    statement: str
    signature: str = Field("", description="Proves itself to an auditor; a one-time code is spent and proves nothing later.")
    signer: str = Field("", description="The provider's public key (JWK) that an ID token in ``signature`` was verified with.")


class ApprovalGiven(SignedAnswer):
    """An authentic yes to exactly this plan, sealed before anything is submitted."""

    kind = "approval-given"


class ApprovalRejected(SignedAnswer):
    """An authentic no."""

    kind = "approval-rejected"


class LongLivedKeyUsed(Fact):
    """A key of a file without a certificate signed where people are to sign with a proof that ends by itself: break-glass, which counts."""

    kind = "long-lived-key-used"
    act: Literal["request", "approve", "reject"]
    person: str
    fingerprint: str
    tier: str


class AnswerRefused(PlanAnswer):
    """An answer that did not count."""

    kind = "answer-refused"
    reason: str
    advice: str = ""
    claimed: str = Field("", description="Whose answer it claimed to be, where the registry knows that person; unknown where it does not.")
    wrong: bool = Field(False, description="Whether it had a proof that proved nobody; so many of them are judged, and no more.")
    totp_step: int | None = Field(None, description="Of a right one-time code, which is spent although the answer did not count.")
    until: AwareDatetime | None = Field(None, description="Until when no code of that person, or of the run, is judged.")


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


class _Rotation(Fact):
    action: Literal["rotate-keys"]
    block: str
    before: int = Field(alias="from")
    after: int = Field(alias="to")
    environment: str
    rotation: str
    person: str
    key: str
    signature: str


class KeyRotationDecided(_Rotation):
    """Somebody signed that a root key gets one version more."""

    kind = "keys-rotation-decided"


class KeysRotated(_Rotation):
    """The store holds the new version."""

    kind = "keys-rotated"
    store_version: str


# Jobs


class SubmissionIntended(Fact):
    """A job will be made, and its worst price is reserved."""

    kind = "submission-intended"
    key: str
    round: int
    job: int
    fallback: int
    backend: str
    circuits: int
    circuits_digest: Digest
    payload_sha256: Digest
    sealed_sha256: Digest | Literal[""] = Field("", description="Of the payload as the journal keeps it, encrypted.")
    reserved_usd: Decimal
    intended: float = Field(description="Seconds since the epoch.")


class JobSubmitted(Fact):
    """A job exists at its provider."""

    kind = "job-submitted"
    key: str
    backend: str
    job: str
    lease: str = Field("", description="Empty where the admitted manifest names no secret for submitting.")
    environment: str


class SubmissionRefused(Fact):
    """The provider definitely refused; there is no job."""

    kind = "submission-refused"
    key: str
    backend: str
    reason: str


class SubmissionAmbiguous(Fact):
    """Nobody can tell whether the job exists; a person decides."""

    kind = "submission-ambiguous"
    key: str
    backend: str


class ResultReused(Fact):
    """A job was not made: an earlier run's result of the identical request stands for it."""

    kind = "result-reused"
    key: str
    round: int
    job: int
    backend: str
    circuits: int
    circuits_digest: Digest
    payload_sha256: Digest
    result_sha256: Digest
    sealed_sha256: Digest = Field(description="Of the result as the journal keeps it, encrypted.")
    of: str = Field(description="The job that gave it: run:round:job:fallback.")
    given: AwareDatetime = Field(description="When that result was read.")
    intended: float


class JobClosed(Fact):
    """A run has ended, and nothing more becomes of its job: what the provider says of it, and what it cost."""

    kind = "job-closed"
    key: str
    backend: str
    job: str = Field("", description="The provider's name of it; empty where none was ever made.")
    outcome: Literal["cancelled", "too-late", "failed", "never-made"] = Field(
        description="Too late: it had its result before it could be cancelled, and nobody reads it."
    )
    cost_usd: Decimal
    basis: Literal["billed", "reserved"] = Field("billed", description="Reserved: the provider does not say, so it counts as its worst case.")


class JobLeft(Fact):
    """A run has ended, and its job is not done with at the provider: an obligation that ``reconcile`` keeps trying."""

    kind = "job-left"
    key: str
    backend: str
    why: str


class JobGone(Fact):
    """Such an obligation is met."""

    kind = "job-gone"
    key: str


class JobUnknown(Fact):
    """A provider has a job of ours that no journal knows, or a second one for a key; it belongs to no run. Nobody touches it."""

    kind = "job-unknown"
    backend: str
    job: str
    key: str = Field(description="As the job is tagged.")
    state: str


class ProviderAsked(Fact):
    """A credential was fetched to ask a provider about the jobs of many runs, or what a device has cost; it belongs to none of them."""

    kind = "provider-asked"
    backend: str
    tenant: str
    environment: str
    block: str
    secret_version: str = Field("", description="At its store, where the store has versions.")
    lease: str
    jobs: int = Field(ge=0, description="How many it was asked about; none where only its figures were wanted.")


class BackendPassedOver(Fact):
    """A round was not offered to a backend; nothing had been intended there."""

    kind = "backend-passed-over"
    round: int
    fallback: int
    backend: str
    because: Literal["offline", "queue", "failures"]
    detail: str = ""


class JobSettled(Fact):
    """A job gave its result and has its price."""

    kind = "job-settled"
    key: str
    result_sha256: Digest
    sealed_sha256: Digest | Literal[""] = Field("", description="Of the result as the journal keeps it, encrypted.")
    cost_usd: Decimal


# People


class SignedAct(Fact):
    """What somebody of a role, an approver unless said, has signed at the command line."""

    words: ClassVar[str] = ""
    """What it is, for people."""
    named_by: ClassVar[str] = "act"
    """The field that names the act, which its event is named after: a signature serves one event."""
    role: ClassVar[Role | None] = "approver"
    """Whose it is to sign; None where something else than a role of the registry says who may."""
    unsigned: ClassVar[bool] = False
    """Whether it may be without a signature, which is told wherever it is shown."""
    person: str
    key: str = Field(description="Fingerprint of the key that signed.")
    signature: str

    @property
    def statement(self) -> dict[str, Json]:
        """What was signed: all but by whom."""
        return cast(dict[str, Json], json.loads(self.model_dump_json(exclude=set(SignedAct.model_fields))))


RegistryAct = Literal[
    "add-person", "revoke-person", "revoke-key", "accept-registry",
    "add-authority", "remove-authority", "revoke-certificate",
    "add-provider", "remove-provider", "add-subject", "remove-subject",
]  # fmt: skip


class PeopleChanged(SignedAct):
    """Somebody changed who may ask, approve or read; written before it takes effect. Signed where whoever did it has a key."""

    kind = "people-changed"
    words = "registry's change"
    named_by = "change"
    unsigned = True
    person: str = Field("", description="Who did it, where the key that signed is somebody's in the registry before it.")
    key: str = Field("", description="Fingerprint of the key that signed; empty where nobody signed.")
    signature: str = ""
    action: RegistryAct
    whom: str = Field("", description="Whose entry changed.")
    roles: tuple[str, ...] = ()
    clearance: str = ""
    fingerprint: str = Field("", description="Of the key that was added or revoked.")
    totp: bool = Field(False, description="Whether one-time codes were made.")
    valid_after: str = ""
    valid_before: str = ""
    reason: str = ""
    host: str
    user: str = Field(description="The operating system's.")
    registry: str = Field(description="Where the registry is, links followed.")
    before: Digest = Field(description="Of the registry, without secrets.")
    after: Digest
    environment: str
    change: str = Field(description="Names this act, so that its signature serves no other.")

    @property
    def gives(self) -> bool:
        """Whether somebody gets something: a person, or what proves people (an authority, an identity provider, who is who there)."""
        return self.action.startswith("add-")

    @property
    def takes(self) -> bool:
        """Whether it only takes away."""
        return self.action.startswith(("revoke-", "remove-"))


class AuthorityChanged(PeopleChanged):
    """Somebody changed whose certificates prove people; ``fingerprint`` is the authority's key."""

    kind = "authority-changed"
    names: str = Field("", description="Patterns of those whom its certificates may name.")
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="Principals that are groups, with their roles.")
    serial: int | None = Field(None, description="Of the certificate that was revoked.")
    revoked_key: str = Field("", description="Fingerprint of the key whose certificates were.")


class IdentityProviderChanged(PeopleChanged):
    """Somebody changed whose ID tokens prove people, or who is who there."""

    kind = "identity-provider-changed"
    issuer: str = ""
    audience: str = ""
    jwks: Digest | Literal[""] = Field("", description="Of the keys that the registry holds; empty where the issuer is asked.")
    groups_claim: str = ""
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    subject: str = Field("", description="What the provider calls the person.")
    without_auth_time: bool = Field(False, description="Whether its tokens need not say when the person signed in.")


# The bundle of policies


class PolicyAct(SignedAct):
    """Somebody said something about a bundle of policies; what it comes to, ``policy/bundles.py`` says."""

    reason: str
    environment: str
    act: str = Field(description="Names this act, so that its signature serves no other.")


class PolicySigned(PolicyAct):
    """A person signed a bundle, in whichever role the bundle that stands gives them."""

    kind = "policy-signed"
    words = "signature of the policies"
    role = None
    action: Literal["sign-policy"]
    bundle: PolicyBundle


class PolicyAccepted(PolicyAct):
    """Somebody made an installation's first bundle stand, which all of its own roles have signed; every later one is judged by the one before."""

    kind = "policy-accepted"
    words = "acceptance of the policies"
    unsigned = True
    person: str = Field("", description="Who did it, where the key that signed is somebody's in the registry.")
    key: str = Field("", description="Fingerprint of the key that signed; empty where nobody signed.")
    signature: str = ""
    action: Literal["accept-policy"]
    bundle: Digest
    of_version: int
    host: str
    user: str = Field(description="The operating system's.")


# Money


class BudgetSet(SignedAct):
    """Somebody signed how much a tenant, or one of its billing codes, may spend in a month; the newest one counts."""

    kind = "budget-set"
    words = "budget"
    named_by = "budget"
    action: Literal["set-budget"]
    tenant: str
    billing_code: str = Field("", description="Empty where it is the whole tenant's.")
    month_usd: Decimal = Field(description="For every month, until the next one is set.")
    reason: str
    environment: str
    budget: str = Field(description="Names this act, so that its signature serves no other.")


class ProviderLimitSet(SignedAct):
    """Somebody signed what a provider's own spending limit of a device is to be for a month; it is set after this."""

    kind = "provider-limit-set"
    words = "provider's limit"
    named_by = "limit"
    action: Literal["set-provider-limit"]
    backend: str
    month: str
    month_usd: Decimal
    reason: str
    environment: str
    limit: str = Field(description="Names this act, so that its signature serves no other.")


class SpendingDiffered(Fact):
    """A provider's own figure of what a device has cost in a limit's period is not ours."""

    kind = "spending-differed"
    backend: str
    limit: str = Field(description="The provider's name of its limit.")
    start: AwareDatetime
    end: AwareDatetime
    theirs_usd: Decimal = Field(description="Spent and queued.")
    ours_usd: Decimal = Field(description="Settled, and reserved where nothing is settled yet.")


# Providers


class ProviderApproved(SignedAct):
    """Somebody signed what a backend's provider was like when they looked; the newest one counts."""

    kind = "provider-approved"
    words = "provider's approval"
    action: Literal["approve-provider"]
    backend: str
    items: dict[str, JsonValue] = Field(description="Service model, capabilities, gates, price: each by name, large ones by their digest.")
    reason: str
    environment: str
    act: str = Field(description="Names this act, so that its signature serves no other.")


class Drift(Value):
    """One thing about a provider that is not as it was approved."""

    item: str
    approved: JsonValue = Field(None, description="None where it was not there.")
    found: JsonValue = Field(None, description="None where it is not there any more.")


class ProviderDrifted(Fact):
    """A backend's provider is not as it was approved."""

    kind = "provider-drifted"
    backend: str
    act: str = Field(description="Of the approval that it was compared with.")
    items: tuple[Drift, ...]


# Exceptions to the policy


class ExceptionAct(SignedAct):
    """Somebody signed something about an exception."""

    exception: str = Field(description="Names the exception.")
    reason: str
    environment: str


class ExceptionGranted(ExceptionAct):
    """One rule does not stop the runs of a tenant or pipeline until a day; whether it counts, ``policy/exceptions.py`` says."""

    kind = "exception-granted"
    words = "exception"
    named_by = "exception"
    action: Literal["grant-exception"]
    rule: str
    tenant: str
    pipeline: str = Field("", description="Empty where it is for all of the tenant's.")
    owner: str
    ticket: str
    residual_risk: str
    compensating_control: str
    expires: AwareDatetime


class ExceptionRevoked(ExceptionAct):
    """It is over."""

    kind = "exception-revoked"
    words = "revocation of an exception"
    action: Literal["revoke-exception"]
    act: str = Field(description="Names this act, so that its signature serves no other.")


class ExceptionReviewed(ExceptionAct):
    """Another person has looked at it, and it stays."""

    kind = "exception-reviewed"
    words = "review of an exception"
    action: Literal["review-exception"]
    act: str = Field(description="Names this act, so that its signature serves no other.")


# Classes of data


class ClassesAct(SignedAct):
    """A data owner signed something about the classes of a source."""

    role = "data-owner"
    classification: str = Field(description="Names the classification.")
    reason: str
    environment: str


class ClassesSigned(ClassesAct):
    """Which class each column of a source has; the newest of a source counts, where it does (``policy/classifications.py``)."""

    kind = "classes-signed"
    words = "classification"
    named_by = "classification"
    action: Literal["classify"]
    tenant: str
    source: Digest = Field(description="Over what the manifest says of where the rows come from.")
    named: str = Field(description="The source, for people.")
    columns: dict[str, DataClass]


class ClassesWithdrawn(ClassesAct):
    """It is over: every column of the source is restricted."""

    kind = "classes-withdrawn"
    words = "withdrawal of a classification"
    action: Literal["withdraw-classification"]
    act: str = Field(description="Names this act, so that its signature serves no other.")


# Promotions


class PromotionAct(SignedAct):
    """Somebody signed something about a promotion."""

    promotion: str = Field(description="Names the promotion.")
    reason: str
    environment: str


class WorkloadPromoted(PromotionAct):
    """A workload may run in a tier, on what it did in the tier below; whether that counts, ``policy/promotions.py`` says."""

    kind = "workload-promoted"
    words = "promotion"
    named_by = "promotion"
    action: Literal["promote"]
    tenant: str
    pipeline: str
    workload: Digest = Field(description="Over the workload's files.")
    tier: str
    below: str = Field(description="The tier that the evidence is of.")
    owner: str = Field(description="Who the manifest says the pipeline's is.")
    ticket: str
    runs: tuple[str, ...] = Field(description="Runs of it in the tier below that were completed.")
    jobs: int = Field(ge=0, description="Of these runs.")
    fallbacks: int = Field(ge=0, description="Of these jobs, those on another backend than the first.")
    checks: int = Field(ge=0, description="Expectations that the data and the results of these runs met.")


class PromotionWithdrawn(PromotionAct):
    """It is over."""

    kind = "promotion-withdrawn"
    words = "withdrawal of a promotion"
    action: Literal["withdraw-promotion"]
    act: str = Field(description="Names this act, so that its signature serves no other.")


# Emergencies


class QuarantineAct(SignedAct):
    """Somebody signed that something is to stop, or may go on."""

    quarantine: str = Field(description="Names the quarantine.")
    reason: str
    environment: str


class QuarantineImposed(QuarantineAct):
    """Nothing more is admitted, approved, submitted or written back for it."""

    kind = "quarantine-imposed"
    words = "quarantine"
    named_by = "quarantine"
    action: Literal["quarantine"]
    scope: QuarantineScope
    name: str


class QuarantineReleased(QuarantineAct):
    """Another person signed that a quarantine is over; whether it counts, ``policy/quarantine.py`` says."""

    kind = "quarantine-released"
    words = "release from quarantine"
    action: Literal["release-quarantine"]
    act: str = Field(description="Names this act, so that its signature serves no other.")


# What is kept


class ArtifactStored(Fact):
    """An artifact has an owner and an end."""

    kind = "artifact-stored"
    uri: str
    owner: str
    retain_until: float = Field(description="Seconds since the epoch.")


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
        LongLivedKeyUsed, AuthorityChanged, IdentityProviderChanged,
        LeaseNotRevoked, WorkersReadKeys, WorkloadRan, ReIdentified, KeyRotationDecided, KeysRotated,
        SubmissionIntended, JobSubmitted, SubmissionRefused, SubmissionAmbiguous, JobSettled, ResultReused,
        JobClosed, JobLeft, JobGone, JobUnknown, ProviderAsked, BackendPassedOver,
        PeopleChanged, PolicySigned, PolicyAccepted, BudgetSet, ProviderLimitSet, SpendingDiffered, ProviderApproved, ProviderDrifted,
        QuarantineImposed, QuarantineReleased, ExceptionGranted, ExceptionRevoked, ExceptionReviewed,
        WorkloadPromoted, PromotionWithdrawn, ClassesSigned, ClassesWithdrawn,
        ArtifactStored, ArtifactsDeleted, ReportWritten, ReportDeleted, RunReproduced, SyntheticRecorded,
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
