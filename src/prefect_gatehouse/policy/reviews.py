"""Reviews of commits: somebody else has read what would run; evaluated here and nowhere else.

A review counts where everything about it is right at the time of asking: signed by somebody in the registry who has neither signed the commit nor
asked for the run and is not in quarantine, for exactly these files, in this environment, and nobody has withdrawn it. It ends with whoever signed the
commit, too. A withdrawal counts whatever is wrong with it. What does not count is as if it were not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from prefect_gatehouse.identity.person import owner_among
from prefect_gatehouse.ledger.acts import CommitReviewed, ReviewAct, ReviewWithdrawn
from prefect_gatehouse.ledger.store import Event
from prefect_gatehouse.policy.given import judged
from prefect_gatehouse.policy.quarantine import Quarantines

SKEW = timedelta(minutes=5)
"""How far the clock that a commit was made by may be ahead of ours."""


@dataclass(frozen=True)
class Review:
    """A review that somebody has signed.

    Attributes:
        event: Who signed it, and of what.
        void: Why it does not count; empty where it does.
    """

    event: Event[CommitReviewed]
    void: str

    def is_about(self, tenant: str, pipeline: str, environment: str) -> bool:
        """Whether it is of this pipeline, whatever its files are now."""
        fact = self.event.fact
        return (fact.tenant, fact.pipeline, fact.environment) == (tenant, pipeline, environment)

    def why_not(self, content: str, requester: str) -> str:
        """Why it does not serve a run of these files; empty where it does. ``requester`` is empty where nobody signed the request."""
        if self.event.fact.content != content:
            return "files changed since"
        if not requester:
            return "the request is not signed, so it could be the reviewer's"
        return self.void or ("the reviewer asked for the run" if requester == self.event.fact.person else "")


def reviews(acts: Iterable[Event[ReviewAct]], held: Quarantines) -> list[Review]:
    """Every review that was ever signed, oldest first, with why it does not count.

    Raises:
        Tampered: The registry can't be read.
    """

    def of_its_author(event: Event[CommitReviewed]) -> str:
        fact = event.fact
        if fact.author == fact.person or fact.author_key == fact.key:
            return "the reviewer has signed the commit"
        if fact.committed > event.when + SKEW:
            return "the commit is from the future"
        for moment in (fact.committed, event.when):  # by its own word, which its author chose, and when somebody saw it
            owner = owner_among(held.signatories.everybody, fact.author_key, moment)
            if owner is None or owner.person != fact.author:
                return "the commit's key is not its author's, or was not valid"
            if owner.service is not None:
                return "the commit is signed by a service, and people sign commits"
        if held.signatories.came_back(event.seq, fact.author, fact.author_key):
            return "the commit's author or key was revoked since"
        return "the commit's author is in quarantine" if held.of("principal", fact.author) is not None else ""

    return judged(acts, CommitReviewed, ReviewWithdrawn, "withdrawn", held, Review, of_its_author)
