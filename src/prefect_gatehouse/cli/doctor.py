"""``gatehouse doctor``: which cell there is, how registry, policies and tickets stand, and what Prefect's server has that it should not have."""

from __future__ import annotations

from prefect_gatehouse.cli.output import emit, gatehouse_command, table


def _doctor(as_json: bool) -> None:
    """Look over the cell of this machine, registry, policies and tickets, and work pools and deployments on the Prefect server.

    Of the latter placeholders, commands and entry points. Without a server the rest is told all the same. Exits with 1 where something should be
    changed or could not be looked at.
    """
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.operate.doctor import examine

    found = examine()

    def render() -> None:
        table("Doctor", ("", "Where", "What", "Do"), [(each.level, each.where, each.message, each.advice) for each in found])

    emit([each.model_dump() for each in found], as_json, render)
    if any(each.level == "problem" for each in found):
        raise SystemExit(1)


command = gatehouse_command("doctor", "Look over the cell, work pools and deployments.")(_doctor)
