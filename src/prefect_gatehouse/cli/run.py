"""``gatehouse run``: sign a request, start a run, follow it."""

from __future__ import annotations

from pathlib import Path

import click

from prefect_gatehouse.cli.output import emit, gatehouse_command
from prefect_gatehouse.cli.paths import PATH


@click.argument("file", type=PATH)
@click.option("--unsigned", is_flag=True, help="Do not sign: only the prototype tier admits that.")
@click.option("--deployment", default="governed-pipeline/governed-pipeline", show_default=True, help="FLOW/DEPLOYMENT to run.")
@click.option("--follow", is_flag=True, help="Follow the run until it waits or ends.")
def _run(file: Path, unsigned: bool, deployment: str, follow: bool, as_json: bool) -> None:
    """Sign a request for the manifest FILE with your key and start a run of it."""
    from prefect_gatehouse.operate.check import require_good

    require_good(file)
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.operate.runs import start
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    run_id = start(settings, file, signed=not unsigned, deployment=deployment)

    def render() -> None:
        click.echo(f"run {run_id}")
        click.echo(f"  see it:     gatehouse show {run_id[:8]}\n  approve it: gatehouse approve {run_id[:8]}")

    emit({"run": run_id}, as_json, render)
    if follow:
        from prefect_gatehouse.cli.follow import follow_to_the_end

        follow_to_the_end(settings, run_id, quiet=as_json)


command = gatehouse_command("run", "Sign a request and start a run.")(_run)
