"""What would be written back, as people read and sign it before they release it: its shape, its checks and where it goes; not a value of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.identity.statement import plain_line
from prefect_gatehouse.manifest.columns import Tokenise
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.plurals import counted
from prefect_gatehouse.policy.classes import in_words, target_of
from prefect_gatehouse.run.plan_words import asked_by
from prefect_gatehouse.run.section import Section, printable
from prefect_gatehouse.run.values import FrameColumn, Plan, ValidatedOutcome
from prefect_gatehouse.validation.report import CheckResult
from prefect_gatehouse.value import Digest, Value
from prefect_gatehouse.vocabulary import Label


class OutcomeBody(Value):
    """What the outcome digest covers; any change voids the releases."""

    run_id: str
    plan_digest: Digest
    rows: int
    rows_digest: Digest
    frame_sha256: Digest
    columns: tuple[FrameColumn, ...]
    key: str
    label: Label
    data_class: DataClass
    system: str
    endpoint: str
    table: str
    mode: Literal["append", "replace", "upsert"]
    backends: tuple[str, ...]
    suite_sha256: Digest
    checks: tuple[CheckResult, ...]
    count_checks: tuple[CheckResult, ...]


@dataclass(frozen=True)
class Outcome:
    """What people are asked to release.

    Attributes:
        validated: What passed its checks.
        body: What is said of it.
        checked_at: From when on it can be released.
    """

    validated: ValidatedOutcome
    body: OutcomeBody
    checked_at: datetime

    @cached_property
    def digest(self) -> str:
        """The outcome digest, 64 hexadecimal digits: over the RFC 8785 form of every field of the body."""
        return digest(json.loads(self.body.model_dump_json(by_alias=True)))

    @property
    def plan(self) -> Plan:
        """The plan that it came of."""
        return self.validated.raw.approved.plan


def outcome_of(validated: ValidatedOutcome) -> Outcome:
    """What is to be released of an outcome that passed its checks.

    Raises:
        Tampered: Nobody recorded its shape, although the tier asks for a release.
    """
    shape, raw = validated.shape, validated.raw
    plan = raw.approved.plan
    output = plan.admitted.manifest.output
    if shape is None:
        raise Tampered("the ledger has not the shape of what is to be released", where="validate_output", advice="run: gatehouse verify")
    body = OutcomeBody(
        run_id=plan.body.run_id,
        plan_digest=plan.digest,
        rows=raw.frame.rows,
        rows_digest=shape.rows_digest,
        frame_sha256=raw.frame.sha256,
        columns=shape.columns,
        key=output.key,
        label=raw.label,
        data_class=plan.body.classes.output_class,
        system=output.target.system,
        endpoint=plan.body.endpoint(output.target.system),
        table=output.target.table,
        mode=output.mode,
        backends=raw.backends,
        suite_sha256=validated.report.suite_sha256,
        checks=validated.report.results,
        count_checks=validated.checks,
    )
    return Outcome(validated, body, shape.checked_at)


def words_of_outcome(outcome: Outcome) -> tuple[tuple[str, str], ...]:
    """What people sign of an outcome, a line each; made from the ledger, so whoever was shown another one signs nothing that is valid."""
    body, admitted, who = outcome.body, outcome.plan.admitted, outcome.plan.admitted.requester
    lines = (
        ("Pipeline", f"{admitted.manifest.name}, tier {outcome.plan.body.tier.name}"),
        ("Requester", asked_by(who)),
        ("Plan approved by", ", ".join(each.person for each in outcome.validated.raw.approved.approvals)),
        ("Rows", _rows(outcome)),
        ("Columns", ", ".join(f"{each.name} ({each.type})" for each in body.columns)),
        ("Checks passed", _checks(outcome)),
        ("Result", f"{body.label}, from {', '.join(body.backends)}"),
        ("Target", f"{body.system} at {body.endpoint}, table {body.table}, {body.mode} by {body.key}, rows of class {body.data_class}"),
    )
    return tuple((name, plain_line(value)) for name, value in lines)


def outcome_sections(outcome: Outcome) -> list[Section]:
    """What would be written where, of which shape, and what was checked: no row of it."""
    body, plan = outcome.body, outcome.plan
    manifest = plan.admitted.manifest
    about = (
        *((name, value) for name, value in words_of_outcome(outcome) if name in {"Requester", "Plan approved by", "Checks passed", "Result"}),
        ("Ticket", manifest.ticket),
        ("Purpose", manifest.purpose),
        ("Run", body.run_id),
        ("Plan digest", body.plan_digest),
        ("Outcome digest", outcome.digest),
    )
    system = target_of(manifest)
    written = (
        ("Target", f"{body.system} ({printable(body.endpoint)}), table {body.table}"),
        ("Rows", _rows(outcome)),
        ("Mode", f"{body.mode} by {body.key}{_turned_back(plan)}"),
        ("Class", in_words(body.data_class, plan.body.classes.because)),
        ("The target takes", f"up to {system.highest_class}"),
        ("Rows digest", body.rows_digest),
    )
    classes = {each.column: str(each.data_class) for each in plan.body.classes.outputs}
    columns = tuple((each.name, each.type, classes.get(each.name, str(body.data_class))) for each in body.columns)
    checks = tuple((each.type, each.column or "the table", "passed" if each.success else "failed") for each in body.checks)
    counts = Counter((each.type, each.success) for each in body.count_checks)
    rounds = tuple((kind, f"{number} times", "passed" if success else "failed") for (kind, success), number in sorted(counts.items()))
    return [
        Section("What came of the plan", ("", ""), about),
        Section("What will be written", ("", ""), written),
        Section("Columns", ("Column", "Type", "Class"), columns),
        Section("Checks of the rows", ("Check", "Of", "Result"), checks, f"Suite {outcome.validated.report.suite}"),
        Section("Checks of the counts", ("Check", "Of", "Result"), rounds),
    ]


def _rows(outcome: Outcome) -> str:
    """How many, beside what the plan lets one expect."""
    given = outcome.plan.validated.minimised.artifact.rows
    apart = given - outcome.body.rows
    less = "as many as the workload was given" if not apart else f"{counted(abs(apart), 'row')} {'fewer' if apart > 0 else 'more'} than it was given"
    return f"{outcome.body.rows}, {less}"


def _checks(outcome: Outcome) -> str:
    """How many of how many, of rows and of counts."""
    return "; ".join(_passed(what, found) for what, found in (("rows", outcome.body.checks), ("counts", outcome.body.count_checks)))


def _passed(what: str, checks: tuple[CheckResult, ...]) -> str:
    return f"{sum(each.success for each in checks)} of {len(checks)} of the {what}"


def _turned_back(plan: Plan) -> str:
    output = plan.admitted.manifest.output
    return ", its tokens turned back" if isinstance(plan.admitted.manifest.data.columns[output.key], Tokenise) else ""
