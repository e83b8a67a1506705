"""``gatehouse reconcile``: what the deployment of this name does every few minutes, once, by hand."""

from __future__ import annotations

import click

from prefect_gatehouse.cli.output import emit, gatehouse_command, table


def _reconcile(as_json: bool) -> None:
    """Ask every provider about all open jobs once, resume the runs that can go on, and put away what ended runs have left."""
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.flows.reconcile import look_after
    from prefect_gatehouse.operate.runs import server
    from prefect_gatehouse.settings import load_settings

    with server():
        pass
    told = look_after(load_settings())

    def render() -> None:
        if told:
            table("Reconciled", ("Run or job", "Done", "Note"), [(row["about"], row["done"], row["note"]) for row in told])
        else:
            click.echo("nothing to do")

    emit(told, as_json, render)


command = gatehouse_command("reconcile", "Look after open jobs once.")(_reconcile)
