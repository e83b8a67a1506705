"""``gatehouse policy``: whether the installation's policies decide as people have written down that they should."""

from __future__ import annotations

from pathlib import Path

import click

from prefect_gatehouse.cli.output import emit, gatehouse_command, table
from prefect_gatehouse.errors import Denied

DENIED = Denied.exit_code


@click.group("policy", short_help="Check the policies.")
def command() -> None:
    """Check what decides who may do what."""


@click.option("--policies", type=click.Path(path_type=Path), help="Folder of schema, policies and cases; the installation's unless given.")
@click.option("--cases", "cases_file", type=click.Path(path_type=Path), help="File of expected decisions; cases.yaml in that folder unless given.")
def _check(policies: Path | None, cases_file: Path | None, as_json: bool) -> None:
    """Check policies against their schema, tiers and classes against their forms, and every expected decision of cases.yaml.

    Exit code 3 if a case is decided otherwise.
    """
    from prefect_gatehouse.policy.cases import NAME, failures, load_cases
    from prefect_gatehouse.policy.cedar import load_policy
    from prefect_gatehouse.policy.class_rules import load_class_rules
    from prefect_gatehouse.policy.tiers import load_tiers
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    folder = policies or settings.policies
    policy = load_policy(folder)
    load_tiers(settings.tiers)
    load_class_rules(settings.classes)
    cases = load_cases(cases_file or folder / NAME)
    failed = list(failures(policy, cases))

    def render() -> None:
        if failed:
            rows = [(each.case.case, each.case.action, ", ".join(each.case.expect), ", ".join(each.decided)) for each in failed]
            table("Decided otherwise", ("Case", "Action", "Expected", "Decided by"), rows)
        click.echo(f"{len(cases.cases)} cases, {len(failed)} failed; policies {policy.digest[:12]}")

    data = {
        "cases": len(cases.cases),
        "failed": len(failed),
        "policies": policy.digest,
        "failures": [
            {"case": each.case.case, "action": each.case.action, "expected": list(each.case.expect), "decided": list(each.decided)} for each in failed
        ],
    }
    emit(data, as_json, render)
    if failed:
        raise click.exceptions.Exit(DENIED)


command.add_command(gatehouse_command("check", "Check policies, tiers, classes and expected decisions.")(_check))
