"""``gatehouse review`` and ``gatehouse reviews``: say that a signed commit of somebody else's was read, and look after what was said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prefect_gatehouse.cli.acts import ALL, WHY, Listing, end, fields
from prefect_gatehouse.cli.output import emit, gatehouse_command
from prefect_gatehouse.cli.paths import PATH
from prefect_gatehouse.plurals import counted

if TYPE_CHECKING:
    from prefect_gatehouse.operate.review import Reading
    from prefect_gatehouse.policy.reviews import Review


@click.argument("manifest", type=PATH)
@click.option("--commit", default="", metavar="ID", help="All digits of the commit; the one that is checked out unless given.")
@click.option("--reason", default="", help="What was looked at, for whoever asks later.")
@click.option("--check", is_flag=True, help="Say whether there is such a commit, and whose; sign nothing.")
def _review(manifest: Path, commit: str, reason: str, check: bool, as_json: bool) -> None:
    """Sign that you have read what MANIFEST would run: the manifest, its workload and its suites, exactly as a signed commit has them.

    The commit is signed with an SSH key of somebody in the registry; somebody else reviews it, and it does not serve the reviewer's own runs. Any
    change of the files needs another commit and another review.
    """
    from prefect_gatehouse.errors import InputError
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.review import reading, review
    from prefect_gatehouse.settings import load_settings

    if not reason and not check:
        raise InputError("the option is missing", where="--reason", advice="or look first: gatehouse review MANIFEST --check")
    settings = load_settings()
    if check:
        found = reading(settings, manifest, commit)
        emit(_reading(found), as_json, lambda: _show(found))
        return
    with open_ledger(settings) as ledger:
        event = review(settings, ledger, manifest, reason, commit)
    fact = event.fact
    data = {"review": fact.review, "event": event.seq, "commit": fact.commit, "author": fact.author, "person": fact.person}
    said = f"review {event.seq}: commit {fact.commit[:12]} of {fact.pipeline}, signed by {fact.author}"
    emit(data, as_json, lambda: click.echo(f"{said}; reviewed by {fact.person}"))


def _reading(found: Reading) -> dict[str, Any]:
    signed, manifest = found.signed, found.manifest
    of = {"pipeline": manifest.name, "tenant": manifest.tenant, "content": found.content.digest}
    return {**of, "commit": signed.commit, "author": signed.author, "key": signed.key, "committed": signed.at.isoformat()}


def _show(found: Reading) -> None:
    signed, manifest = found.signed, found.manifest
    files = counted(len(found.content.files), "file")
    click.echo(f"{manifest.name} of {manifest.tenant}: the manifest and {files} beside it are exactly those of commit {signed.commit}")
    click.echo(f"signed by {signed.author} with {signed.key} on {signed.at:%Y-%m-%d %H:%M} UTC, by the commit's own word")
    click.echo("somebody else who has read them runs: gatehouse review MANIFEST --reason REASON")


@click.group("reviews", short_help="List and withdraw reviews.")
def reviews() -> None:
    """List and withdraw the reviews of signed commits."""


@ALL
def _list(everything: bool, as_json: bool) -> None:
    """List the reviews that count: which commit, whose, read by whom."""
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.review import known
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        found = known(settings, ledger)

    _REVIEWS.show(found, everything, as_json)


def _row(each: Review) -> tuple[str, ...]:
    event = each.event
    fact = event.fact
    at = event.at[:16].replace("T", " ")
    return (str(event.seq), f"{fact.tenant}/{fact.pipeline}", fact.commit[:12], fact.author, at, fact.person, fact.reason)


def _as_dict(each: Review) -> dict[str, Any]:
    return {**fields(each.event), "counts": not each.void, "why_not": each.void}


@click.argument("review")
@WHY
def _withdraw(review: str, reason: str, as_json: bool) -> None:
    """End REVIEW, named by its event's number, at once; a run that stands on it is denied at its next submission."""
    from prefect_gatehouse.operate.review import withdraw

    end(withdraw, review, reason, "review", "is withdrawn", as_json)


_REVIEWS = Listing(
    title="Reviews",
    headers=("Event", "Pipeline", "Commit", "Signed by", "On (UTC)", "Reviewed by", "Reason"),
    row=_row,
    as_dict=_as_dict,
    nothing="no review counts",
)

review = gatehouse_command("review", "Say that you have read a signed commit of somebody else's.")(_review)
reviews.add_command(gatehouse_command("list", "List the reviews that count.")(_list))
reviews.add_command(gatehouse_command("withdraw", "End a review at once.")(_withdraw))
