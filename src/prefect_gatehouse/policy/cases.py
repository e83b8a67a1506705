"""Expected decisions of the policy, as a table that people review: a question, and the rules that are to decide it.

A file names for each action a question in which everything is in order, and then cases that change something of it. A case expects the identifiers
of all rules that decide: ``permitted``, or each forbid that applies, or ``no-permit``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

from pydantic import Field, TypeAdapter

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.fields import DataClass, Line, Strict
from prefect_gatehouse.policy.act_questions import ABOUT_NO_PIPELINE
from prefect_gatehouse.policy.interface import Fact, Policy, Question
from prefect_gatehouse.policy.yaml_file import read_rules
from prefect_gatehouse.vocabulary import ActAction, Action, Role, TierName

NAME = "cases.yaml"
"""Of the file, in the policies' folder."""

_Context = dict[str, Fact]
_YES = ("permitted", "act-permitted")


class _Asker(Strict):
    authentic: bool
    clearance: DataClass
    environment: Line
    tier: TierName
    roles: tuple[Role, ...] = ()


class _Change(Strict):
    authentic: bool | None = None
    clearance: DataClass | None = None
    environment: Line | None = None
    tier: TierName | None = None
    roles: tuple[Role, ...] | None = None


class Case(Strict):
    """A question, as a change of the action's question in order, and the rules that are to decide it."""

    case: Line
    action: Action
    context: _Context = Field(default_factory=dict, alias="with")
    asker: _Change = Field(default_factory=_Change)
    expect: Annotated[tuple[str, ...], Field(min_length=1)]


class Cases(Strict):
    """A file of cases."""

    asker: _Asker
    in_order: dict[Action, _Context]
    cases: Annotated[tuple[Case, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Failure:
    """A case that was decided otherwise.

    Attributes:
        case: Which.
        allowed: What was decided.
        decided: The rules that did.
    """

    case: Case
    allowed: bool
    decided: tuple[str, ...]


def load_cases(path: Path) -> Cases:
    """The cases of a file.

    Raises:
        InputError: It is missing or malformed, has two cases of one name, or changes what the question in order does not have.
    """
    found = read_rules(path, TypeAdapter(Cases), "the cases", "GATEHOUSE_POLICIES")
    seen: set[str] = set()
    for item in found.cases:
        where = f"{path}: {item.case}"
        if item.case in seen:
            raise InputError("two cases have one name", where=where, advice="give each its own")
        seen.add(item.case)
        if item.action not in found.in_order:
            raise InputError(f"nothing says what is in order for {item.action}", where=where, advice=f"add in_order.{item.action}")
        unknown = sorted(item.context.keys() - found.in_order[item.action].keys())
        if unknown:
            advice = f"take it out, or add it to in_order.{item.action}"
            raise InputError(f"the question of {item.action} has no {unknown[0]}", where=where, advice=advice)
    return found


def failures(policy: Policy, cases: Cases) -> Iterator[Failure]:
    """The cases that the policy decides otherwise than expected."""
    for case in cases.cases:
        decision = policy.ask(question(cases, case))
        if set(decision.reasons) != set(case.expect) or decision.allowed != (len(decision.reasons) == 1 and decision.reasons[0] in _YES):
            yield Failure(case, decision.allowed, decision.reasons)


def question(cases: Cases, case: Case) -> Question:
    """The question that a case asks."""
    asker = cases.asker.model_copy(update=case.asker.model_dump(exclude_none=True))
    context: Mapping[str, Fact] = cases.in_order[case.action] | case.context
    return Question(
        action=case.action,
        person="person@example.org",
        authentic=asker.authentic,
        clearance=asker.clearance,
        pipeline="" if case.action in ABOUT_NO_PIPELINE else "pipeline",
        tenant="tenant",
        environment=asker.environment,
        tier=asker.tier,
        context=context,
        roles=frozenset(asker.roles) if case.action in get_args(ActAction) else None,
    )
