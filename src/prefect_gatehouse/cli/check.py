"""``gatehouse check``: every problem of a manifest, as compilers tell them."""

from __future__ import annotations

from pathlib import Path

import click

from prefect_gatehouse.cli.output import emit, gatehouse_command, plain
from prefect_gatehouse.cli.paths import PATH
from prefect_gatehouse.plurals import counted


@click.argument("file", type=PATH, required=False)
@click.option("--schema", is_flag=True, help="Print the manifest's JSON Schema, for editors.")
def _check(file: Path | None, schema: bool, as_json: bool) -> None:
    """Report every problem of a manifest at once: FILE:LINE:COLUMN: field: message."""
    if schema:
        from prefect_gatehouse.manifest.schema import json_schema

        emit(json_schema(), True, lambda: None)
        return
    if file is None:
        raise click.UsageError("give the manifest's file, or --schema")
    from prefect_gatehouse.operate.check import check_manifest

    problems = check_manifest(file)

    def render() -> None:
        for problem in problems:
            advice = f" ({problem.advice})" if problem.advice else ""
            click.echo(plain(f"{problem.place()}: {problem.message}{advice}"))
        click.echo(f"{file}: good" if not problems else counted(len(problems), "problem"))

    emit({"file": str(file), "good": not problems, "problems": [problem.as_dict() for problem in problems]}, as_json, render)
    if problems:
        raise SystemExit(2)


command = gatehouse_command("check", "Report every problem of a manifest.")(_check)
