"""``gatehouse exceptions``: grant, list, revoke and review exceptions to the policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prefect_gatehouse.cli.acts import ALL, WHY, Listing, end, fields
from prefect_gatehouse.cli.output import emit, gatehouse_command

if TYPE_CHECKING:
    from prefect_gatehouse.operate.exceptions import Known


@click.group("exceptions", short_help="Grant, list, revoke and review exceptions to the policy.")
def command() -> None:
    """Grant, list, revoke and review exceptions to single rules of the policy; each is signed with your key and ends by itself."""


@click.argument("rule")
@click.option("--tenant", required=True, help="Whose runs, as the manifests spell it.")
@click.option("--pipeline", help="Only this pipeline of the tenant.")
@click.option("--owner", required=True, metavar="PERSON", help="Who answers for it; somebody else than you.")
@click.option("--ticket", required=True, help="Where it was decided.")
@click.option("--risk", required=True, help="What is left to go wrong.")
@click.option("--control", required=True, help="What is done instead of the rule.")
@click.option("--until", required=True, metavar="YYYY-MM-DD", help="Last day on which it holds, in UTC; 90 days ahead at most.")
@WHY
def _grant(as_json: bool, **wanted: str | None) -> None:
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
@WHY
def _revoke(exception: str, reason: str, as_json: bool) -> None:
    """End EXCEPTION, named by its event's number, at once; a run that needs it is denied at its next question."""
    from prefect_gatehouse.operate.exceptions import revoke

    end(revoke, exception, reason, "exception", "is revoked", as_json)


@click.argument("exception")
@click.option("--reason", required=True, help="What you found.")
def _review(exception: str, reason: str, as_json: bool) -> None:
    """Sign that you have looked at EXCEPTION and that it stays; neither its owner nor who granted it may."""
    from prefect_gatehouse.operate.exceptions import review

    end(review, exception, reason, "exception", "was reviewed", as_json)


@ALL
def _list(everything: bool, as_json: bool) -> None:
    """List the exceptions that hold: to what, for whom, until when, who owns and who granted them, how many runs used them, who has looked since."""
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.exceptions import known
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        found = known(settings, ledger)

    _EXCEPTIONS.show(found, everything, as_json)


def _behind(each: Known) -> str:
    fact = each.granted.event.fact
    return f"{each.granted.event.seq}: risk: {fact.residual_risk}; instead: {fact.compensating_control}; why: {fact.reason}"


def _row(each: Known) -> tuple[str, ...]:
    event = each.granted.event
    fact = event.fact
    whose = f"{fact.tenant}/{fact.pipeline}" if fact.pipeline else fact.tenant
    reviewed = f"{each.reviews[-1].at[:10]} {each.reviews[-1].fact.person}" if each.reviews else "never"
    return (str(event.seq), fact.rule, whose, f"{fact.expires:%Y-%m-%d %H:%M}", fact.owner, fact.person, fact.ticket, str(each.runs), reviewed)


def _as_dict(each: Known) -> dict[str, Any]:
    reviews = [{"person": review.fact.person, "at": review.at, "reason": review.fact.reason} for review in each.reviews]
    void = each.granted.void
    return {**fields(each.granted.event), "holds": not void, "why_not": void, "runs": each.runs, "reviews": reviews}


_EXCEPTIONS = Listing(
    title="Exceptions",
    headers=("Event", "Rule", "For", "Until (UTC)", "Owner", "Granted by", "Ticket", "Runs", "Reviewed"),
    row=_row,
    as_dict=_as_dict,
    void=lambda each: each.granted.void,
    counts="holds",
    nothing="no exception holds",
    more=_behind,
)

command.add_command(gatehouse_command("grant", "Grant an exception to a rule.")(_grant))
command.add_command(gatehouse_command("list", "List the exceptions that hold.")(_list))
command.add_command(gatehouse_command("revoke", "End an exception at once.")(_revoke))
command.add_command(gatehouse_command("review", "Sign that you have looked at an exception.")(_review))
