"""What the ledger can be told of asking people and of what they answer: what was put to them, each yes and no, and what was no answer at all."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from prefect_gatehouse.ledger.fact import Fact, Permitted
from prefect_gatehouse.value import Digest
from prefect_gatehouse.vocabulary import Method, Role


class Asked(Fact):
    """What is told of an asking: it was put to people under a key."""

    plan_digest: Digest
    key: str
    nonce: str
    expires: AwareDatetime
    expects: dict[str, str] = Field(default_factory=dict, description="Who may answer, and by which proof, when it was asked.")
    outcome_digest: Digest | Literal[""] = Field("", description="Of the outcome that it is about; empty where it is the plan.")


class ApprovalAsked(Asked):
    """A plan was put to people."""

    kind = "approval-asked"


class ReleaseAsked(Asked):
    """What is to be written back of a plan was put to people."""

    kind = "release-asked"


class ApprovalReminded(Fact):
    """A reminder that a plan or an outcome waits was sent, whether or not the block took it; it has the summary, no data."""

    kind = "approval-reminded"
    plan_digest: Digest
    outcome_digest: Digest | Literal[""] = Field("", description="Of the outcome that waits; empty where it is the plan.")
    block: str = Field(description="Prefect's notification block that it was sent through.")
    escalated: bool = Field(False, description="Whether it went to the second group.")


class FormDiffered(Fact):
    """The form in Prefect was not the one that was asked with: somebody changed it there. What it showed binds nobody."""

    kind = "form-differed"
    plan_digest: Digest
    key: str = Field(description="Of the asking.")
    found_by: Literal["run", "show"] = Field(description="Whether the run found it, or somebody who looked.")


class PlanAnswer(Fact):
    """What is told of an answer about a plan, or about what came of one."""

    plan_digest: Digest
    outcome_digest: Digest | Literal[""] = Field("", description="Of the outcome that it is about; empty where it is the plan.")


class SignedAnswer(PlanAnswer):
    """What is told of an authentic answer."""

    person: str
    method: Method
    fingerprint: str = ""
    totp_step: int | None = None
    statement: str
    signature: str = Field("", description="Proves itself to an auditor; a one-time code is spent and proves nothing later.")
    signer: str = Field("", description="The provider's public key (JWK) that an ID token in ``signature`` was verified with.")


class Consent(SignedAnswer, Permitted):
    """What is told of an authentic yes: sealed before anything is done by it."""

    roles: tuple[Role, ...] = Field((), description="Of the person, as the registry had them when the answer was judged.")


class Rejection(SignedAnswer):
    """What is told of an authentic no."""


class ApprovalGiven(Consent):
    """An authentic yes to exactly this plan, sealed before anything is submitted."""

    kind = "approval-given"


class ApprovalRejected(Rejection):
    """An authentic no to a plan."""

    kind = "approval-rejected"


class ReleaseGiven(Consent):
    """An authentic yes to writing back exactly this outcome, sealed before a row is written."""

    kind = "release-given"


class ReleaseRejected(Rejection):
    """An authentic no to writing an outcome back."""

    kind = "release-rejected"


class LongLivedKeyUsed(Fact):
    """A key of a file without a certificate signed where people are to sign with a proof that ends by itself: break-glass, which counts."""

    kind = "long-lived-key-used"
    act: Literal["request", "approve", "reject", "write_back", "withhold"]
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
