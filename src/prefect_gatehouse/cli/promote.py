"""``gatehouse promote`` and ``gatehouse promotions``: let workloads into the next tier, and look after those that were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prefect_gatehouse.cli.acts import ALL, WHY, Listing, end, fields
from prefect_gatehouse.cli.output import emit, gatehouse_command
from prefect_gatehouse.cli.paths import PATH
from prefect_gatehouse.plurals import counted

if TYPE_CHECKING:
    from prefect_gatehouse.operate.promotion import Candidate
    from prefect_gatehouse.policy.promotions import Promotion


@click.argument("manifest", type=PATH)
@click.option("--ticket", default="", help="Where it was decided; the manifest's ticket unless given.")
@click.option("--reason", default="", help="Why, for whoever asks later.")
@click.option("--check", is_flag=True, help="Say what the workload did and what is missing; sign nothing.")
def _promote(manifest: Path, ticket: str, reason: str, check: bool, as_json: bool) -> None:
    """Sign that the workload beside MANIFEST may run in the tier that the manifest names.

    It rests on completed runs of exactly these files in the tier below, in this ledger, which is verified first. Signed by an approver: the owner
    whom the manifest names, where that is somebody in the registry, and nobody who asked for one of the runs. Any change of the files needs it again.
    """
    from prefect_gatehouse.errors import Denied, InputError
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.promotion import candidate, promote
    from prefect_gatehouse.settings import load_settings

    if not reason and not check:
        raise InputError("the option is missing", where="--reason", advice="or look first: gatehouse promote MANIFEST --check")
    settings = load_settings()
    with open_ledger(settings) as ledger:
        if check:
            found = candidate(settings, ledger, manifest)
            emit(_candidate(found), as_json, lambda: _show(found))
            if found.missing:
                raise SystemExit(Denied.exit_code)
            return
        event = promote(settings, ledger, manifest, ticket, reason)
    fact = event.fact
    data = {"promotion": fact.promotion, "event": event.seq, "workload": fact.workload, "tier": fact.tier, "person": fact.person, "runs": fact.runs}
    runs = f"{counted(len(fact.runs), 'run')} of {fact.below}"
    said = f"promotion {event.seq}: workload {fact.workload[:12]} of {fact.pipeline} into {fact.tier}, on {runs}"
    emit(data, as_json, lambda: click.echo(f"{said}; signed by {fact.person}"))


def _candidate(found: Candidate) -> dict[str, Any]:
    manifest, record = found.manifest, found.record
    named = {"pipeline": manifest.name, "tenant": manifest.tenant, "tier": manifest.tier, "below": found.below, "workload": found.workload}
    did = {"runs": record.runs, "jobs": record.jobs, "fallbacks": record.fallbacks, "checks": record.checks}
    return {**named, **did, "missing": found.missing, "ready": not found.missing}


def _show(found: Candidate) -> None:
    manifest, record = found.manifest, found.record
    click.echo(f"{manifest.name} of {manifest.tenant}, workload {found.workload[:12]}, from {found.below} into {manifest.tier}")
    click.echo(f"completed runs: {len(record.runs)}; jobs: {record.jobs}, {record.fallbacks} of them on another backend than the first")
    click.echo(f"expectations that data and results met: {record.checks}")
    for each in found.missing:
        click.echo(f"missing: {each}")
    if not found.missing:
        click.echo("nothing is missing: gatehouse promote MANIFEST --reason REASON")


@click.group("promotions", short_help="List and withdraw promotions.")
def promotions() -> None:
    """List and withdraw the promotions of workloads into tiers."""


@ALL
def _list(everything: bool, as_json: bool) -> None:
    """List the promotions that count: which workload, into which tier, on what, by whom."""
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.promotion import known
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        found = known(settings, ledger)

    _PROMOTIONS.show(found, everything, as_json)


def _row(each: Promotion) -> tuple[str, ...]:
    event = each.event
    fact = event.fact
    at, rests = event.at[:16].replace("T", " "), (str(len(fact.runs)), f"{fact.fallbacks} of {fact.jobs}")
    return (str(event.seq), f"{fact.tenant}/{fact.pipeline}", fact.workload[:12], fact.tier, at, fact.person, fact.ticket, *rests)


def _as_dict(each: Promotion) -> dict[str, Any]:
    return {**fields(each.event), "counts": not each.void, "why_not": each.void}


@click.argument("promotion")
@WHY
def _withdraw(promotion: str, reason: str, as_json: bool) -> None:
    """End PROMOTION, named by its event's number, at once; a run that stands on it is denied at its next submission."""
    from prefect_gatehouse.operate.promotion import withdraw

    end(withdraw, promotion, reason, "promotion", "is withdrawn", as_json)


_PROMOTIONS = Listing(
    title="Promotions",
    headers=("Event", "Pipeline", "Workload", "Into", "On (UTC)", "By", "Ticket", "Runs", "Fallbacks"),
    row=_row,
    as_dict=_as_dict,
    nothing="no promotion counts",
)

promote = gatehouse_command("promote", "Let a workload into the next tier, on what it did in the tier below.")(_promote)
promotions.add_command(gatehouse_command("list", "List the promotions that count.")(_list))
promotions.add_command(gatehouse_command("withdraw", "End a promotion at once.")(_withdraw))
