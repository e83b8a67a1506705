"""``gatehouse resume`` and ``abandon``: what becomes of a run that failed."""

from __future__ import annotations

import json

import click

from prefect_gatehouse.cli.output import command as make
from prefect_gatehouse.cli.output import emit


@click.argument("run")
@click.option("--follow", is_flag=True, help="Follow the run until it waits or ends.")
@click.option("--dead", is_flag=True, help="You know that the run's process is dead, although Prefect calls it running.")
def _resume(run: str, follow: bool, dead: bool, as_json: bool) -> None:
    """Go on with RUN where it stopped: gates that were passed are not passed again."""
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.cli.follow import follow_to_the_end
    from prefect_gatehouse.evidence import find_run
    from prefect_gatehouse.flows import control
    from prefect_gatehouse.ledger.store import Ledger
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    settings.folder("")
    ledger = Ledger(settings.ledger())
    try:
        run_id = find_run(ledger, run)
        control.resume(ledger, run_id, dead=dead)
    finally:
        ledger.close()
    emit({"run": run_id, "resumed": True}, as_json, lambda: click.echo(f"run {run_id}: scheduled again"))
    if follow:
        follow_to_the_end(settings, run_id, quiet=as_json)


@click.argument("run")
def _abandon(run: str, as_json: bool) -> None:
    """End RUN and clean up: its key is shredded, its artifacts are deleted, and it can't be resumed."""
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.evidence import find_run
    from prefect_gatehouse.flows import control
    from prefect_gatehouse.ledger.store import Ledger
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    settings.folder("")
    ledger = Ledger(settings.ledger())
    try:
        receipt = control.abandon(settings, ledger, find_run(ledger, run))
    finally:
        ledger.close()

    def render() -> None:
        click.echo(f"run {receipt.run_id}: abandoned, {len(receipt.deletions)} artifacts deleted")
        for item in receipt.obligations:
            click.echo(f"  still open: {item}")

    emit(json.loads(receipt.model_dump_json()), as_json, render)


resume = make("resume", "Go on with a run that failed for an operational reason.")(_resume)
abandon = make("abandon", "End a run that nobody will resume, and clean up.")(_abandon)
