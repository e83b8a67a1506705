"""``gatehouse plan``: the plan that a run would ask approval for."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from prefect_gatehouse.cli.output import console, emit, gatehouse_command, table
from prefect_gatehouse.cli.paths import PATH
from prefect_gatehouse.errors import InputError, WorkloadFailed
from prefect_gatehouse.plurals import counted

if TYPE_CHECKING:
    from prefect_gatehouse.run.matter import Matter
    from prefect_gatehouse.run.section import Section
    from prefect_gatehouse.run.values import Plan
    from prefect_gatehouse.workload.drawing import Drawings


@click.argument("file", type=PATH)
@click.option("--unsigned", is_flag=True, help="As for a request that nobody signs: only the prototype tier admits that.")
def _plan(file: Path, unsigned: bool, as_json: bool) -> None:
    """Dry run up to the plan: the real gates over the real data, in a throw-away home. Nothing leaves, nobody is asked."""
    from prefect_gatehouse.operate.check import require_good

    require_good(file)
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.cli.progress import bars
    from prefect_gatehouse.operate.dry_run import dry_run_plan
    from prefect_gatehouse.settings import load_settings

    seen: list[Drawings] = []
    try:
        with bars(hidden=as_json) as progress:
            plan = dry_run_plan(load_settings(), file, progress, signed=not unsigned, drawn=seen.append)
    except WorkloadFailed as error:  # a run that waits for a mended workload is resumed; here is none
        raise InputError(error.message, where=error.where, advice=error.advice) from None
    (drawings,) = seen
    templates = [{**asdict(each), "gates": dict(each.gates)} for each in drawings.first]
    data = {**json.loads(plan.model_dump_json(by_alias=True)), "drawings": {"templates": templates, "left_out": drawings.left_out}}
    emit(data, as_json, lambda: print_plan(plan, drawings))


def print_matter(matter: Matter) -> None:
    """Prints what people are asked about: the plan, or the outcome that is to be released."""
    from prefect_gatehouse.run.outcome import outcome_sections
    from prefect_gatehouse.run.values import Plan

    if isinstance(matter, Plan):
        print_plan(matter)
        return
    _print_sections(outcome_sections(matter))
    console().print(f"outcome {matter.digest[:12]} of plan {matter.plan.digest[:12]}; the plan: gatehouse show --plan {matter.body.run_id[:8]}")


def _print_sections(sections: list[Section]) -> None:
    for section in sections:
        table(f"{section.title}: {section.summary}" if section.summary else section.title, section.headers, section.rows)


def print_plan(plan: Plan, drawings: Drawings | None = None) -> None:
    """Prints a plan's tables and, where there are any, its drawings."""
    from prefect_gatehouse.run.plan_view import sections

    _print_sections(sections(plan))
    if drawings is not None:
        _print_drawings(drawings)
    checks = plan.validated.report
    failed = sum(not item.success for item in checks.results)
    console().print(f"plan {plan.digest[:12]}: {counted(len(checks.results) - failed, 'check')} passed, {failed} failed")


def _print_drawings(drawings: Drawings) -> None:
    out = console()
    for each in drawings.first:
        out.print(f"{each.heading}\n{each.text}".rstrip() + "\n", markup=False, soft_wrap=True)
    if drawings.rest:
        out.print(f"{drawings.rest}\n")


command = gatehouse_command("plan", "Dry run up to the plan; nothing leaves.")(_plan)
