"""``gatehouse resume`` and ``abandon``: what becomes of a run that failed."""

from __future__ import annotations

import json

import click

from prefect_gatehouse.cli.outlook import next_step
from prefect_gatehouse.cli.output import confirm, emit, gatehouse_command
from prefect_gatehouse.errors import InputError


@click.argument("run")
@click.option("--follow", is_flag=True, help="Follow the run until it waits or ends.")
@click.option("--dead", is_flag=True, help="You know that the run's process is dead, although Prefect calls it running.")
def _resume(run: str, follow: bool, dead: bool, as_json: bool) -> None:
    """Go on with RUN where it stopped: gates that were passed are not passed again."""
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.cli.follow import follow_to_the_end
    from prefect_gatehouse.evidence.questions import find_run
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate import runs as control
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        run_id = find_run(ledger, run)
        row = ledger.run(run_id)
        assert row is not None  # find_run listed it
        control.resume(ledger, run_id, dead=dead)
    emit({"run": run_id, "resumed": True}, as_json, lambda: click.echo(f"run {run_id}: scheduled again"))
    if follow:
        # What the attempt before left behind, its failure above all, is not what this one comes to.
        follow_to_the_end(settings, run_id, since=row.attempt, quiet=as_json)


@click.argument("run")
@click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can answer, as in a script.")
def _abandon(run: str, yes: bool, as_json: bool) -> None:
    """End RUN and clean up: its key is shredded, its artifacts are deleted, and it can't be resumed. Asks first."""
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.evidence.questions import find_run
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        run_id = find_run(ledger, run)
        row = ledger.run(run_id)
        assert row is not None  # find_run listed it
        if row.ending is not None:
            raise InputError(f"the run has ended ({row.ending})", where=run_id, advice=f"nothing to abandon; look at: gatehouse show {run_id}")
        if not yes:
            confirm(f"{row.pipeline or 'The run'} {next_step(row)}.\nEnd run {run_id} for good, shred its key and delete its artifacts?")
        from prefect_gatehouse.operate import runs as control  # seconds of imports, which a question need not wait for

        receipt = control.abandon(settings, ledger, run_id)

    def render() -> None:
        click.echo(f"run {receipt.run_id}: abandoned, {len(receipt.deletions)} artifacts deleted")
        for item in receipt.obligations:
            click.echo(f"  still open: {item}")

    emit(json.loads(receipt.model_dump_json()), as_json, render)


resume = gatehouse_command("resume", "Go on with a run that failed for an operational reason.")(_resume)
abandon = gatehouse_command("abandon", "End a run that nobody will resume, and clean up.")(_abandon)
