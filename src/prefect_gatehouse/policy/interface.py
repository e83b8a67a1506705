"""The seam to the policy engine: one question, one decision, never a guess.

An implementation answers ``ask`` with a Decision whose ``allowed`` is True only where the policy says so without any error, and
names the policies that decided. ``cedar.py`` is the one that ships.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.policy.decision import Decision
from prefect_gatehouse.vocabulary import Action

Fact = str | int | bool | tuple[str, ...]
"""What the policy is told: a string, a whole number, a truth value, or a set of strings."""


@dataclass(frozen=True)
class Question:
    """May this person's run do this, or may this person sign this?

    Attributes:
        action: What is asked for.
        person: The requester's identifier.
        authentic: Whether the requester's signature was checked.
        clearance: Highest class of data that the requester may read, as the registry says now.
        pipeline: Name, tenant, environment and tier of the pipeline; an act that is about none has no name, and is about the installation.
        context: What the action's schema demands.
        roles: Of whoever signs an act; None for a run, which has a requester.
    """

    action: Action
    person: str
    authentic: bool
    clearance: DataClass
    pipeline: str
    tenant: str
    environment: str
    tier: str
    context: Mapping[str, Fact]
    roles: frozenset[str] | None = None


class Policy(Protocol):
    """A loaded policy."""

    @property
    def digest(self) -> str:
        """SHA-256 over every policy file's name and bytes."""

    def ask(self, question: Question) -> Decision:
        """Decides; an error in the policy is a no."""

    def permits_without(self, question: Question, rules: Collection[str]) -> bool:
        """Whether the answer were yes if these rules, by their identifiers, were not there; of those only that may be excepted."""

    def explain(self, reason: str) -> str:
        """A policy's sentence for people, by its identifier."""

    def advise(self, reason: str) -> str:
        """What to do about a policy's no, by its identifier, with names in braces for the question's own; empty where nobody wrote it."""

    def has_rule(self, reason: str) -> bool:
        """Whether it has a rule of this identifier."""

    def may_be_excepted(self, reason: str) -> bool:
        """Whether the policy's author lets a rule be excepted, by its identifier."""
