"""``gatehouse clean-up``: the sweeper, once, by hand."""

from __future__ import annotations

import click

from prefect_gatehouse.cli.output import emit, gatehouse_command, table


def _clean_up(as_json: bool) -> None:
    """Sweep once: end runs that expired, were cancelled or deleted while nobody drove them, or were not resumed in time; seal the ledger."""
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.flows.clean_up import sweep
    from prefect_gatehouse.operate.runs import server
    from prefect_gatehouse.settings import load_settings

    with server():
        pass
    swept = sweep(load_settings())

    def render() -> None:
        if swept:
            table("Swept", ("Run", "Ending", "Note"), [(row["run"], row["ending"], row["note"]) for row in swept])
        else:
            click.echo("nothing to clean up")

    emit(swept, as_json, render)


command = gatehouse_command("clean-up", "Sweep once.")(_clean_up)
