"""One answer of the policy, as the ledger keeps it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from prefect_gatehouse.ledger.events import PolicyDecided
from prefect_gatehouse.value import Digest, Value
from prefect_gatehouse.vocabulary import Action


class Decision(Value):
    """One answer of the policy."""

    action: Action
    allowed: bool
    reasons: tuple[str, ...] = Field(description="Identifiers of the policies that decided.")
    policy_digest: Digest

    def permits(self) -> dict[str, Any]:
        """What an event of its own kind tells of the answer that permitted it: the fields of ``Permitted``."""
        return {"permitted_by": self.reasons, "policy_digest": self.policy_digest}

    def fact(self) -> PolicyDecided:
        """The decision as an event of the ledger."""
        return PolicyDecided.model_validate(self.model_dump())
