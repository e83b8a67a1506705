"""What people sign at the command line: who may what, under which rules, for how much money, and what is stopped at once."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import ClassVar, Literal, cast

from pydantic import AwareDatetime, Field, JsonValue

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.ledger.fact import Permitted
from prefect_gatehouse.ledger.kept_uri import kind_of
from prefect_gatehouse.ledger.policy_bundle import PolicyBundle
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.value import Digest
from prefect_gatehouse.vocabulary import ActAction, KeptKind, QuarantineScope

# People


class SignedAct(Permitted):
    """What somebody has signed at the command line."""

    words: ClassVar[str] = ""
    """What it is, for people."""
    named_by: ClassVar[str] = "act"
    """The field that names the act, which its event is named after: a signature serves one event."""
    asks: ClassVar[ActAction | None] = None
    """What the policy is asked before it is recorded; None where something else says who may."""
    unsigned: ClassVar[bool] = False
    """Whether it may be without a signature, which is told wherever it is shown."""
    person: str
    key: str = Field(description="Fingerprint of the key that signed.")
    signature: str

    @property
    def statement(self) -> dict[str, Json]:
        """What was signed: all but by whom, and what permitted it."""
        return cast(dict[str, Json], json.loads(self.model_dump_json(exclude=set(SignedAct.model_fields))))


RegistryAct = Literal[
    "add-person", "revoke-person", "revoke-key", "accept-registry",
    "add-authority", "remove-authority", "revoke-certificate",
    "add-provider", "remove-provider", "add-subject", "remove-subject", "add-service", "add-root", "remove-root",
]  # fmt: skip


class PeopleChanged(SignedAct):
    """Somebody changed who may ask, approve or read; written before it takes effect. Signed where whoever did it has a key."""

    kind = "people-changed"
    words = "registry's change"
    named_by = "change"
    unsigned = True
    by_registrar: ClassVar[bool] = True
    """Whether one signature of a registrar takes it into the signed bundle that stands; otherwise it waits for the next version."""
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


class KeyAttestedAct(PeopleChanged):
    """Somebody added a person's FIDO key with the word of the authenticator that holds it."""

    kind = "key-attested"
    root: Digest = Field(description="Of the vendor's root certificate that it led to.")
    aaguid: str = Field(description="Which model of authenticator.")
    attestation: Digest = Field(description="Of the file that was checked.")
    challenge: Digest = Field(description="Of what the authenticator was asked.")


class RootChanged(PeopleChanged):
    """Somebody changed whose authenticators are believed; ``root`` is the certificate's fingerprint."""

    kind = "root-changed"
    by_registrar = False
    root: Digest


class ServiceChanged(PeopleChanged):
    """Somebody added a service, or gave one more; it is revoked as people are."""

    kind = "service-changed"
    duties: tuple[str, ...] = Field((), description="That it was named for.")
    tenants: tuple[str, ...] = Field((), description="Whose.")
    blocks: tuple[str, ...] = Field((), description="Patterns of what it may fetch.")


class AuthorityChanged(PeopleChanged):
    """Somebody changed whose certificates prove people; ``fingerprint`` is the authority's key."""

    kind = "authority-changed"
    by_registrar = False
    names: str = Field("", description="Patterns of those whom its certificates may name.")
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="Principals that are groups, with their roles.")
    serial: int | None = Field(None, description="Of the certificate that was revoked.")
    revoked_key: str = Field("", description="Fingerprint of the key whose certificates were.")


class IdentityProviderChanged(PeopleChanged):
    """Somebody changed whose ID tokens prove people, or who is who there."""

    kind = "identity-provider-changed"
    by_registrar = False
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
    asks = "change_policy"
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
    asks = "set_budget"
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
    asks = "set_budget"
    words = "provider's limit"
    named_by = "limit"
    action: Literal["set-provider-limit"]
    backend: str
    month: str
    month_usd: Decimal
    reason: str
    environment: str
    limit: str = Field(description="Names this act, so that its signature serves no other.")


# Providers


class ProviderApproved(SignedAct):
    """Somebody signed what a backend's provider was like when they looked; the newest one counts."""

    kind = "provider-approved"
    asks = "approve_provider"
    words = "provider's approval"
    action: Literal["approve-provider"]
    backend: str
    items: dict[str, JsonValue] = Field(description="Service model, capabilities, gates, price: each by name, large ones by their digest.")
    reason: str
    environment: str
    act: str = Field(description="Names this act, so that its signature serves no other.")


# Exceptions to the policy


class ExceptionAct(SignedAct):
    """Somebody signed something about an exception."""

    asks = "grant_exception"
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

    asks = "classify"
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

    asks = "promote"
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


# Reviews


class ReviewAct(SignedAct):
    """Somebody of the registry signed something about a commit of a workload."""

    asks = "review"
    review: str = Field(description="Names the review.")
    reason: str
    environment: str


class CommitReviewed(ReviewAct):
    """Somebody has read a signed commit of another person's; whether that counts, ``policy/reviews.py`` says."""

    kind = "commit-reviewed"
    words = "review of a commit"
    named_by = "review"
    action: Literal["review"]
    tenant: str
    pipeline: str
    commit: str = Field(pattern="^([0-9a-f]{40}|[0-9a-f]{64})$")
    content: Digest = Field(description="Over what was read: the manifest's digest, and path and SHA-256 of workload and suites.")
    author: str = Field(description="Whose key signed the commit.")
    author_key: str = Field(description="Its fingerprint.")
    committed: AwareDatetime = Field(description="When, as the commit says.")


class ReviewWithdrawn(ReviewAct):
    """It is over."""

    kind = "review-withdrawn"
    words = "withdrawal of a review"
    action: Literal["withdraw-review"]
    act: str = Field(description="Names this act, so that its signature serves no other.")


# What is kept


class RetentionExtended(SignedAct):
    """What is kept of a run stays until a later day; whether that counts, ``run/extended.py`` says."""

    kind = "retention-extended"
    asks = "extend_retention"
    words = "extension of a retention"
    named_by = "extension"
    action: Literal["extend-retention"]
    extension: str = Field(description="Names the extension.")
    run: str
    tenant: str
    pipeline: str
    tier: str
    requester: str
    data_class: DataClass = Field(description="Of everything that the run made.")
    kept: tuple[str, ...] = Field(description="URIs of what stays; what is kept later is not among them.")
    until: AwareDatetime
    ticket: str
    reason: str
    environment: str

    @property
    def kinds(self) -> tuple[KeptKind, ...]:
        """What it is about, each kind once."""
        return tuple(sorted({kind for uri in self.kept if (kind := kind_of(uri)) is not None}))


# Emergencies


class QuarantineAct(SignedAct):
    """Somebody signed that something is to stop, or may go on."""

    quarantine: str = Field(description="Names the quarantine.")
    reason: str
    environment: str


class QuarantineImposed(QuarantineAct):
    """Nothing more is admitted, approved, submitted or written back for it."""

    kind = "quarantine-imposed"
    asks = "quarantine"
    words = "quarantine"
    named_by = "quarantine"
    action: Literal["quarantine"]
    scope: QuarantineScope
    name: str


class QuarantineReleased(QuarantineAct):
    """Another person signed that a quarantine is over; whether it counts, ``policy/quarantine.py`` says."""

    kind = "quarantine-released"
    asks = "release"
    words = "release from quarantine"
    action: Literal["release-quarantine"]
    act: str = Field(description="Names this act, so that its signature serves no other.")
