"""What a plan is made of: backends as they were found, what is set for them, credentials, files, and on whose word it stands.

Each is a part of the plan's body (``run/values.py``), so its digest covers it and people approve it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import AwareDatetime, Field, JsonValue

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.manifest.models import Manifest, Purpose
from prefect_gatehouse.value import Digest, Value
from prefect_gatehouse.workload.summary import Capacity


class Setting(Value):
    """What an administrator has set for a backend."""

    name: str
    value: JsonValue
    shown: bool = Field(description="Whether people read it by itself before they approve.")


class ProviderLimit(Value):
    """A provider's own cap on a device, when the plan was made."""

    amount: Decimal = Field(description="USD.")
    left: Decimal = Field(description="USD that the provider still lets pass.")
    until: AwareDatetime


class Preparation(Value):
    """How the first round is prepared for a backend, and what it is then."""

    settings: dict[str, JsonValue] = Field(description="Transpiler, level, seed, basis, digest of the coupling; the same for every later round.")
    circuits_digest: Digest = Field(description="SHA-256 over the plain form of the circuits as they will be sent, shots left aside.")
    depth_before: int = Field(description="Of the deepest circuit, as the workload yielded it.")
    depth_after: int = Field(description="Of the deepest circuit, as it will be sent.")
    two_qubit_before: int = Field(description="Gates on two qubits or more, of the circuit that has most of them.")
    two_qubit_after: int
    quality: float | None = Field(description="Estimated chance that a shot is free of error, worst circuit; None where no calibration tells.")


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
    cost_basis: str = Field("", description="How the first round's cost was reckoned, with source and date; empty where nothing is billed.")
    limits: tuple[ProviderLimit, ...] = Field((), description="The provider's own caps that hold this device now.")
    settings: tuple[Setting, ...] = Field((), description="Of its block: device, region, bucket, and whatever else is set there.")
    prepared: Preparation | None = Field(None, description="None only where nobody prepared anything, and then nothing is submitted.")
    cost_apart: Decimal | None = Field(
        None, description="USD, were each circuit of the first round a job of its own; None where that is all there is."
    )

    @property
    def place(self) -> tuple[tuple[str, str], ...]:
        """Where its jobs go, as people read it: name and value of a setting."""
        return tuple((each.name, str(each.value)) for each in self.settings if each.shown and each.value is not None)

    def as_set(self) -> dict[str, Json]:
        """Its settings, as the provider takes them."""
        return {each.name: each.value for each in self.settings}


class CredentialNeed(Value):
    """A purpose and the block that serves it."""

    purpose: Purpose
    block: str | None = Field(description="None where the purpose needs no secret.")
    service: str = Field("", description="The service as which it is fetched; empty where the installation names none.")


def needs_of(manifest: Manifest) -> tuple[CredentialNeed, ...]:
    """What a manifest says of credentials, of each purpose; results are read with the sign-in that submits unless it names another."""
    purposes = [each for each in Purpose if each is not Purpose.RETRIEVE or manifest.credentials.retrieve is not None]
    return tuple(CredentialNeed(purpose=each, block=manifest.credentials.of(each)) for each in purposes)


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


class SourceFile(Value):
    """A file of the workload."""

    path: str = Field(description="Below the workload's folder.")
    sha256: Digest


class Since(Value):
    """What has become of the workload's files since a plan of the same pipeline was approved last."""

    plan_digest: Digest | Literal[""] = Field("", description="Of that plan; empty where there is none, and then nothing is compared.")
    run_id: str = ""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


class SignedBundle(Value):
    """The version of policies, tiers, classes and registry that a run is under, and who signed it."""

    version: int
    digest: Digest
    signers: tuple[str, ...] = Field(description="Each person with the role.")


class PlannedException(Value):
    """An exception to the policy that a run may use."""

    exception: str
    rule: str
    owner: str
    granted_by: str
    ticket: str
    residual_risk: str
    compensating_control: str
    expires: AwareDatetime


class PlannedPromotion(Value):
    """Who promoted the workload into the tier, on what."""

    promotion: str
    promoted_by: str
    ticket: str
    at: str
    below: str
    runs: int
    jobs: int
    fallbacks: int


class PlannedClasses(Value):
    """Who signed the classes of the source."""

    classification: str
    signed_by: str
    at: str


class PlannedReview(Value):
    """The commit that the workload is of: who signed it, who has read it."""

    review: str
    commit: str
    author: str
    author_key: str = Field(description="Fingerprint of the key that signed the commit.")
    committed: AwareDatetime
    reviewed_by: str
    at: str


class PlannedImage(Value):
    """What is signed about the image that the worker says to run in, as far as the tier asks."""

    signed_by: str = Field(description="Name of the key; empty where nobody has, or the tier does not ask.")
    scanned_by: str = Field(description="Name of the key that signed the newest scan; empty where nobody has, or the tier does not ask.")
    scanned_at: AwareDatetime | None = Field(description="When that ended.")


class Leaving(Value):
    """How much could leave, in bits at most (``run/leaving.py``)."""

    circuits: Capacity = Field(description="Of the first round.")
    round_bits: int = Field(ge=1, description="Most that the circuits of any round may carry to the provider.")
    frame_bits: int | None = Field(description="Most that the frame could carry to the target; None where nothing bounds it.")
