"""What becomes of jobs at their providers, and of the providers themselves."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import AwareDatetime, Field, JsonValue

from prefect_gatehouse.ledger.fact import Fact
from prefect_gatehouse.value import Digest, Value

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
    service: str = Field("", description="As which it was fetched; empty where the installation names none.")
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


class SpendingDiffered(Fact):
    """A provider's own figure of what a device has cost in a limit's period is not ours."""

    kind = "spending-differed"
    backend: str
    limit: str = Field(description="The provider's name of its limit.")
    start: AwareDatetime
    end: AwareDatetime
    theirs_usd: Decimal = Field(description="Spent and queued.")
    ours_usd: Decimal = Field(description="Settled, and reserved where nothing is settled yet.")


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
