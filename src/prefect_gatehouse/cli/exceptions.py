"""``gatehouse exceptions``: grant, list, revoke and review exceptions to the policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prefect_gatehouse.cli.output import emit, gatehouse_command, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect_gatehouse.ledger.store import Event
    from prefect_gatehouse.operate.exceptions import Known


@click.group("exceptions", short_help="Grant, list, revoke and review exceptions to the policy.")
def command() -> None:
    """Grant, list, revoke and review exceptions to single rules of the policy; each is signed with your key and ends by itself."""


@click.argument("rule")
@click.option("--tenant", required=True, help="Whose runs, as the manifests spell it.")
@click.option("--pipeline", default="", help="Only this pipeline of the tenant.")
@click.option("--owner", required=True, metavar="PERSON", help="Who answers for it; somebody else than you.")
@click.option("--ticket", required=True, help="Where it was decided.")
@click.option("--risk", required=True, help="What is left to go wrong.")
@click.option("--control", required=True, help="What is done instead of the rule.")
@click.option("--until", required=True, metavar="YYYY-MM-DD", help="Last day on which it holds, in UTC; 90 days ahead at most.")
@click.option("--reason", required=True, help="Why, for whoever asks later.")
def _grant(as_json: bool, **wanted: str) -> None:
    """Grant an exception to RULE, an identifier such as backend-not-in-tier; it holds for plans that are made from now on.

    Only rules that the policies mark with @except("granted") have exceptions. Your own runs are not covered.
    """
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.exceptions import Wanted, grant
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        event = grant(settings, ledger, Wanted.model_validate(wanted))
    fact = event.fact
    data = {"exception": fact.exception, "event": event.seq, "rule": fact.rule, "person": fact.person, "expires": fact.expires.isoformat()}
    emit(data, as_json, lambda: click.echo(f"exception {event.seq} to {fact.rule} until {fact.expires:%Y-%m-%d %H:%M} UTC; signed by {fact.person}"))


@click.argument("exception")
@click.option("--reason", required=True, help="Why, for whoever asks later.")
def _revoke(exception: str, reason: str, as_json: bool) -> None:
    """End EXCEPTION, named by its event's number, at once; a run that needs it is denied at its next question."""
    from prefect_gatehouse.operate.exceptions import revoke

    _act(revoke, exception, reason, "is revoked", as_json)


@click.argument("exception")
@click.option("--reason", required=True, help="What you found.")
def _review(exception: str, reason: str, as_json: bool) -> None:
    """Sign that you have looked at EXCEPTION and that it stays; neither its owner nor who granted it may."""
    from prefect_gatehouse.operate.exceptions import review

    _act(review, exception, reason, "was reviewed", as_json)


def _act(act: Callable[..., Event[Any]], exception: str, reason: str, done: str, as_json: bool) -> None:
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        event = act(settings, ledger, exception, reason)
    data = {"exception": event.fact.exception, "event": event.seq, "person": event.fact.person}
    emit(data, as_json, lambda: click.echo(f"exception {exception} {done}; signed by {event.fact.person} [{event.seq}]"))


@click.option("--all", "everything", is_flag=True, help="Also those that do not count any more, and why.")
def _list(everything: bool, as_json: bool) -> None:
    """List the exceptions that hold: to what, for whom, until when, who owns and who granted them, how many runs used them, who has looked since."""
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.exceptions import known
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        found = [each for each in known(settings, ledger) if everything or not each.granted.void]

    def render() -> None:
        if not found:
            click.echo("no exception holds")
            return
        headers = ("Event", "Rule", "For", "Until (UTC)", "Owner", "Granted by", "Ticket", "Runs", "Reviewed", *(("State",) if everything else ()))
        table("Exceptions", headers, [_row(each, everything) for each in found])
        for each in found:
            fact = each.granted.event.fact
            click.echo(f"{each.granted.event.seq}: risk: {fact.residual_risk}; instead: {fact.compensating_control}; why: {fact.reason}")

    emit([_as_dict(each) for each in found], as_json, render)


def _row(each: Known, everything: bool) -> tuple[str, ...]:
    event = each.granted.event
    fact = event.fact
    whose = f"{fact.tenant}/{fact.pipeline}" if fact.pipeline else fact.tenant
    reviewed = f"{each.reviews[-1].at[:10]} {each.reviews[-1].fact.person}" if each.reviews else "never"
    cells = (str(event.seq), fact.rule, whose, f"{fact.expires:%Y-%m-%d %H:%M}", fact.owner, fact.person, fact.ticket, str(each.runs), reviewed)
    return (*cells, each.granted.void or "holds") if everything else cells


def _as_dict(each: Known) -> dict[str, Any]:
    event = each.granted.event
    reviews = [{"person": review.fact.person, "at": review.at, "reason": review.fact.reason} for review in each.reviews]
    said = {**event.fact.model_dump(mode="json", exclude={"signature", "key", "action"}), "event": event.seq, "at": event.at}
    return {**said, "holds": not each.granted.void, "why_not": each.granted.void, "runs": each.runs, "reviews": reviews}


command.add_command(gatehouse_command("grant", "Grant an exception to a rule.")(_grant))
command.add_command(gatehouse_command("list", "List the exceptions that hold.")(_list))
command.add_command(gatehouse_command("revoke", "End an exception at once.")(_revoke))
command.add_command(gatehouse_command("review", "Sign that you have looked at an exception.")(_review))
