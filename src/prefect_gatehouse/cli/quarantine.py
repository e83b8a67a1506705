"""``gatehouse quarantine``: stop a tenant, a person, a pipeline or a backend at once; another person lets it go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prefect_gatehouse.cli.acts import WHY
from prefect_gatehouse.cli.output import emit, gatehouse_command, table

if TYPE_CHECKING:
    from prefect_gatehouse.ledger.acts import QuarantineImposed
    from prefect_gatehouse.ledger.store import Event
    from prefect_gatehouse.operate.quarantine import Done
    from prefect_gatehouse.policy.quarantine import Quarantine


class _Group(click.Group):
    """What is no subcommand is what to stop: in an emergency nobody looks a verb up."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self.commands.get(cmd_name, self.commands["impose"])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = ["impose", *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in {"-h", "--help"}:
            args = ["impose", *args]  # an option before the name
        return super().parse_args(ctx, args)


@click.group("quarantine", cls=_Group, short_help="Stop a tenant, person, pipeline or backend at once.")
def command() -> None:
    """Stop a tenant, a person or service, a pipeline or a backend at once: gatehouse quarantine NAME --reason WHY.

    NAME is one that this installation knows, or tenant:NAME, principal:NAME, pipeline:NAME, backend:NAME. Signed with your key
    (GATEHOUSE_IDENTITY) and recorded. Another person who may approve lets it go on: gatehouse quarantine release NAME --reason WHY.
    """


@click.argument("name")
@WHY
def _impose(name: str, reason: str, as_json: bool) -> None:
    """Put NAME into quarantine: nothing of it is admitted, approved, submitted or written back from now on.

    Then runs that are under way are ended: their jobs are cancelled at the providers, their leases revoked. What can't be cancelled now is an
    obligation that reconcile keeps trying. Deployments of Prefect with a manifest of it are paused. Runs that wait stay, and can't go on.
    """
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.known_names import is_known, known_names, nearest
    from prefect_gatehouse.operate.quarantine import carry_out, impose
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        event = impose(settings, ledger, name, reason)
        fact = event.fact
        if not as_json:  # at once: what follows may take minutes
            click.echo(f"{fact.scope} {fact.name} is in quarantine; signed by {fact.person} [{event.seq}]")
        done = carry_out(settings, ledger, event)
        names = known_names(settings, ledger)
        known, near = is_known(names, fact.scope, fact.name), nearest(names, fact.name)
    data = {
        "scope": fact.scope,
        "name": fact.name,
        "person": fact.person,
        "reason": fact.reason,
        "event": event.seq,
        "at": event.at,
        "known": known,
        "nearest": [] if known else near,
        **_as_data(done),
    }

    def render() -> None:
        _tell(done)
        if not known:
            click.echo(_doubt(event, known, near))

    emit(data, as_json, render)


def _doubt(event: Event[QuarantineImposed], known: bool | None, near: list[str]) -> str:
    """That a name may be a slip of the finger; it is in quarantine all the same."""
    fact = event.fact
    if known is None:
        return f"whether there is a {fact.scope} of this name can't be told now"
    like = f"; like it are {', '.join(near)}" if near else ""
    again = f"if it is mistyped, stop the right one, and have somebody else run: gatehouse quarantine release {event.seq} --reason WHY"
    return f"nothing here knows a {fact.scope} of this name{like}\n  {again}"


def _as_data(done: Done) -> dict[str, Any]:
    ended = [{"run": run_id, "still_open": list(left)} for run_id, left in done.ended]
    return {"ended": ended, "held": done.held, "paused": done.paused, "not_done": done.not_done}


def _tell(done: Done) -> None:
    for run_id, left in done.ended:
        click.echo(f"run {run_id}: ended, its jobs are cancelled")
        for item in left:
            click.echo(f"  still open, reconcile keeps trying: {item}")
    for run_id in done.held:
        click.echo(f"run {run_id}: stays as it is, and can't go on")
    for name in done.paused:
        click.echo(f"deployment {name}: paused")
    for line in done.not_done:
        click.echo(f"not done: {line}")


@click.argument("name")
@WHY
def _release(name: str, reason: str, as_json: bool) -> None:
    """Let NAME, or the quarantine of an event's number, go on; only somebody else than who imposed it may.

    Deployments that were paused stay so until somebody resumes them in Prefect, and runs that were ended have ended.
    """
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.quarantine import release
    from prefect_gatehouse.run.holding import holding
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        found = release(settings, ledger, name, reason)
        left = [each for each in holding(settings, ledger).all() if each.event.fact.quarantine in {event.fact.quarantine for event in found}]
    data = [{"quarantine": event.fact.quarantine, "person": event.fact.person, "event": event.seq} for event in found]

    def render() -> None:
        for event in found:
            click.echo(f"{name} is out of quarantine; signed by {event.fact.person} [{event.seq}]")
        for each in left:
            click.echo(f"{each.name} still is in quarantine: {each.void[-1]}")
        click.echo("deployments that were paused stay so until somebody resumes them in Prefect")

    emit(data, as_json, render)


def _list(as_json: bool) -> None:
    """List what is in quarantine: since when, by whom, why, and why a release of it does not count."""
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.run.holding import holding
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        found = holding(settings, ledger).all()

    def render() -> None:
        if not found:
            click.echo("nothing is in quarantine")
            return
        rows = [
            (str(each.event.seq), each.event.fact.scope, each.event.fact.name, each.event.at[:16], _by(each), each.event.fact.reason)
            for each in found
        ]
        table("In quarantine", ("Event", "What", "Name", "Since (UTC)", "By", "Why"), rows)
        for line in (line for each in found for line in each.void):
            click.echo(line)

    emit([_as_dict(each) for each in found], as_json, render)


def _by(each: Quarantine) -> str:
    return each.event.fact.person if each.authentic else f"{each.event.fact.person}, not signed by that key: run gatehouse verify"


def _as_dict(each: Quarantine) -> dict[str, Any]:
    fact = each.event.fact
    said = {"scope": fact.scope, "name": fact.name, "since": each.event.at, "person": fact.person, "reason": fact.reason, "event": each.event.seq}
    return {**said, "authentic": each.authentic, "releases_that_do_not_count": list(each.void)}


command.add_command(gatehouse_command("impose", "Put something into quarantine.")(_impose))
command.add_command(gatehouse_command("release", "Let it go on; needs another person.")(_release))
command.add_command(gatehouse_command("list", "List what is in quarantine.")(_list))
