"""``gatehouse classes``: the classes of a source's columns, as its data owner signs them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
@click.option("--reason", required=True, help="Why, for whoever asks later.")
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


@click.option("--all", "everything", is_flag=True, help="Also those that do not count any more, and why.")
def _list(everything: bool, as_json: bool) -> None:
    """List the classifications that count, newest first; of one source the newest is asked alone."""
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.classification import known
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        found = [each for each in known(settings, ledger) if everything or not each.void]

    def render() -> None:
        if not found:
            click.echo("no classification counts")
            return
        headers = ("Event", "Tenant", "Source", "On (UTC)", "By", "Columns", *(("State",) if everything else ()))
        table("Classifications", headers, [_row(each, everything) for each in found])

    emit([_as_dict(each) for each in found], as_json, render)


def _row(each: Classification, everything: bool) -> tuple[str, ...]:
    event = each.event
    fact = event.fact
    columns = ", ".join(f"{name}: {data_class}" for name, data_class in fact.columns.items())
    cells = (str(event.seq), fact.tenant, fact.named, event.at[:16].replace("T", " "), fact.person, columns)
    return (*cells, each.void or "counts") if everything else cells


def _as_dict(each: Classification) -> dict[str, Any]:
    event = each.event
    said = {**event.fact.model_dump(mode="json", exclude={"signature", "key", "action"}), "event": event.seq, "at": event.at}
    return {**said, "counts": not each.void, "why_not": each.void}


@click.argument("classification")
@click.option("--reason", required=True, help="Why, for whoever asks later.")
def _withdraw(classification: str, reason: str, as_json: bool) -> None:
    """End CLASSIFICATION, named by its event's number, at once: every column of the source is restricted until somebody signs again."""
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.classification import withdraw
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        event = withdraw(settings, ledger, classification, reason)
    data = {"classification": event.fact.classification, "event": event.seq, "person": event.fact.person}
    emit(data, as_json, lambda: click.echo(f"classification {classification} is withdrawn; signed by {event.fact.person} [{event.seq}]"))


command.add_command(gatehouse_command("sign", "Sign the classes of a source.")(_sign))
command.add_command(gatehouse_command("list", "List the classifications that count.")(_list))
command.add_command(gatehouse_command("withdraw", "End a classification at once.")(_withdraw))
