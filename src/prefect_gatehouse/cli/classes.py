"""``gatehouse classes``: the classes of a source's columns, as its data owner signs them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prefect_gatehouse.cli.acts import ALL, WHY, Listing, end, fields
from prefect_gatehouse.cli.output import emit, gatehouse_command, table
from prefect_gatehouse.cli.paths import PATH
from prefect_gatehouse.plurals import counted

if TYPE_CHECKING:
    from prefect_gatehouse.policy.classifications import Classification


@click.group("classes", short_help="Sign, list and withdraw the classes of sources, as their data owner.")
def command() -> None:
    """Sign, list and withdraw the classes of sources, as their data owner; above the prototype tier an unsigned column is restricted."""


@click.argument("manifest", type=PATH)
@click.option("--class", "changed", multiple=True, metavar="COLUMN=CLASS", help="What you say otherwise, or of a column that it does not name.")
@WHY
def _sign(manifest: Path, changed: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Sign the classes that MANIFEST declares for the columns of its source, with what you say otherwise; nobody's word counts for their own runs.

    They replace what was signed for this source before, and count for every pipeline of the tenant that reads exactly this source.
    """
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.classification import sign
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        event = sign(settings, ledger, manifest, changed, reason)
    fact = event.fact
    data = {"classification": fact.classification, "event": event.seq, "source": fact.named, "columns": fact.columns, "person": fact.person}

    def render() -> None:
        table("Signed classes", ("Column", "Class"), [(name, str(data_class)) for name, data_class in fact.columns.items()])
        click.echo(f"classification {event.seq} of {fact.named}: {counted(len(fact.columns), 'column')}; signed by {fact.person}")

    emit(data, as_json, render)


@ALL
def _list(everything: bool, as_json: bool) -> None:
    """List the classifications that count, newest first; of one source the newest is asked alone."""
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.classification import known
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        found = known(settings, ledger)

    _CLASSIFICATIONS.show(found, everything, as_json)


def _row(each: Classification) -> tuple[str, ...]:
    event = each.event
    fact = event.fact
    columns = ", ".join(f"{name}: {data_class}" for name, data_class in fact.columns.items())
    return (str(event.seq), fact.tenant, fact.named, event.at[:16].replace("T", " "), fact.person, columns)


def _as_dict(each: Classification) -> dict[str, Any]:
    return {**fields(each.event), "counts": not each.void, "why_not": each.void}


@click.argument("classification")
@WHY
def _withdraw(classification: str, reason: str, as_json: bool) -> None:
    """End CLASSIFICATION, named by its event's number, at once: every column of the source is restricted until somebody signs again."""
    from prefect_gatehouse.operate.classification import withdraw

    end(withdraw, classification, reason, "classification", "is withdrawn", as_json)


_CLASSIFICATIONS = Listing(
    title="Classifications",
    headers=("Event", "Tenant", "Source", "On (UTC)", "By", "Columns"),
    row=_row,
    as_dict=_as_dict,
    nothing="no classification counts",
)

command.add_command(gatehouse_command("sign", "Sign the classes of a source.")(_sign))
command.add_command(gatehouse_command("list", "List the classifications that count.")(_list))
command.add_command(gatehouse_command("withdraw", "End a classification at once.")(_withdraw))
