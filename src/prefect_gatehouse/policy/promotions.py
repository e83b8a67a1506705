"""Promotions: a workload, by its digest, may run in a tier; evaluated here and nowhere else.

A promotion counts where everything about it is right at the time of asking: signed by an approver in the registry who is neither the requester nor in
quarantine, for this environment, and nobody has withdrawn it. A withdrawal counts whatever is wrong with it. What does not count is as if it were not
there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prefect_gatehouse.ledger.acts import PromotionAct, PromotionWithdrawn, WorkloadPromoted
from prefect_gatehouse.ledger.store import Event
from prefect_gatehouse.policy.given import judged
from prefect_gatehouse.policy.quarantine import Quarantines


@dataclass(frozen=True)
class Promotion:
    """A promotion that somebody has signed.

    Attributes:
        event: Who signed it, and for what.
        void: Why it does not count; empty where it does.
    """

    event: Event[WorkloadPromoted]
    void: str

    def covers(self, tenant: str, pipeline: str, workload: str, tier: str, environment: str, requester: str) -> bool:
        """Whether a run stands on it; nobody's own promotion serves their own runs, nor one that nobody signed for, where ``requester`` is empty."""
        fact = self.event.fact
        same = (fact.tenant, fact.pipeline, fact.workload, fact.tier, fact.environment) == (tenant, pipeline, workload, tier, environment)
        return same and requester not in {"", fact.person} and not self.void


def promotions(acts: Iterable[Event[PromotionAct]], held: Quarantines) -> list[Promotion]:
    """Every promotion that was ever signed, oldest first, with why it does not count.

    Raises:
        Tampered: The registry can't be read.
    """
    return judged(acts, WorkloadPromoted, PromotionWithdrawn, "withdrawn", held, Promotion)
