"""What the ledger can be told of what people tried at the command line and might not, and of what they looked at. None of it permits anything.

Nobody has signed these: who it was is what key, certificate and registry of the caller's installation say.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from prefect_gatehouse.ledger.fact import Fact, Permitted
from prefect_gatehouse.value import Digest
from prefect_gatehouse.vocabulary import RefusedAction


class ByHand(Fact):
    """Who was at the command line."""

    person: str = Field(description="By the registry; 'unverified' where it knows nobody of the key.")
    fingerprint: str = Field("", description="Of the key; empty where there was none.")


class ActRefused(ByHand):
    """Somebody may not do what they tried; recorded once an hour for the same person, act, thing and reasons."""

    kind = "act-refused"
    action: RefusedAction
    act: str = Field(description="What would have been signed, such as withdraw-promotion, or the command that looks.")
    about: dict[str, str] = Field(default_factory=dict, description="What it was about, in those names of the act's own event that are no free text.")
    tier: str = Field("", description="Empty where it is about none.")
    environment: str
    reasons: tuple[str, ...] = Field(description="Identifiers of the policy's rules, or of a check of Gatehouse's own in their place.")
    policy_digest: Digest | Literal[""] = Field("", description="Of the policies that refused; empty where a check of Gatehouse's own did.")
    more: bool = Field(
        False, description="Whether it stands for all that this person is refused in the rest of the hour, which had too much already."
    )


class ResultRead(ByHand, Permitted):
    """Somebody is about to see what came of a run; recorded once a day (UTC) for the same run, person and command."""

    kind = "result-read"
    act: Literal["show", "reproduce"] = Field(description="The command that looks.")
