"""``gatehouse retention``: keep what there is of a run longer, and see what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import click

from prefect_gatehouse.cli.acts import WHY, fields
from prefect_gatehouse.cli.outlook import in_utc
from prefect_gatehouse.cli.output import emit, gatehouse_command, table
from prefect_gatehouse.vocabulary import KeptKind

if TYPE_CHECKING:
    from prefect_gatehouse.operate.retention import Kept


@click.group("retention", short_help="Keep what there is of a run longer; list what is kept.")
def command() -> None:
    """Keep what there is of a run longer than its manifest says, as a data owner, and list what is kept until when."""


@click.argument("run")
@click.option("--until", required=True, metavar="YYYY-MM-DD", help="Last day on which it stays, in UTC.")
@WHY
@click.option("--ticket", required=True, metavar="KEY", help="Where it was decided.")
@click.option("--only", type=click.Choice(get_args(KeptKind)), multiple=True, help="Only this kind; may be repeated.")
def _extend(run: str, until: str, reason: str, ticket: str, only: tuple[KeptKind, ...], as_json: bool) -> None:
    """Sign that what is kept of RUN now (pages, circuits to run again, results to reuse, artifacts of a run that failed) stays until a later day.

    Signed by a data owner. It only lengthens, and never beyond what the class of the data allows, counted from now. What was deleted is gone, and so
    are the encrypted artifacts of a run that has ended: their key was destroyed.
    """
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.retention import extend
    from prefect_gatehouse.run.retained import in_words
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        made = extend(settings, ledger, run, until, reason, ticket, only)
    fact = made.event.fact

    def render() -> None:
        click.echo(
            f"extension {made.event.seq}: {in_words(fact.kept)} of run {fact.run[:8]} until {fact.until:%Y-%m-%d %H:%M} UTC; signed by {fact.person}"
        )
        for line in made.left:
            click.echo(f"not among it: {line}")

    emit({**fields(made.event), "left": made.left}, as_json, render)


@click.argument("run", required=False, default="")
def _list(run: str, as_json: bool) -> None:
    """List what is kept of RUN, or of every run: until when, by whose word, the nearest end first."""
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.retention import kept
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        found = kept(settings, ledger, run)

    def render() -> None:
        if not found:
            click.echo("nothing is kept")
            return
        table("Kept", ("Run", "What", "Name", "Until (UTC)", "Owner", "By"), [_row(each) for each in found])

    emit([_as_dict(each) for each in found], as_json, render)


def _row(each: Kept) -> tuple[str, ...]:
    item = each.item
    until = in_utc(each.until) if each.until is not None else "the run's end"
    # A request's name is a digest, of which nobody reads more.
    return (item.run[:8], item.kind, item.uri.rpartition("/")[2][:24], until, item.owner, _word(each))


def _word(each: Kept) -> str:
    """By whose word it stays that long."""
    if each.by is not None:
        fact = each.by.event.fact
        return f"{fact.person}, {fact.ticket} [{each.by.event.seq}]"
    return "the tier" if each.item.kind == "artifacts" else "the manifest"


def _as_dict(each: Kept) -> dict[str, Any]:
    item = each.item
    entered = {"run": item.run, "what": item.kind, "uri": item.uri, "owner": item.owner, "entered_until": item.until, "until": each.until}
    by = each.by.as_dict() if each.by is not None else None
    return {**entered, "by": _word(each), "extension": by}


command.add_command(gatehouse_command("extend", "Keep what there is of a run longer.")(_extend))
command.add_command(gatehouse_command("list", "List what is kept, until when, by whose word.")(_list))
